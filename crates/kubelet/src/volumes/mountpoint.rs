//! Mounts of the kubelet's own: tmpfs for memory volumes, binds for sub-paths, and finding what is mounted below a directory.
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Mount points at or below `dir`, deepest first.
pub fn below(dir: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    let mut found: Vec<PathBuf> = points.filter(|point| point.starts_with(dir)).collect();
    found.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    found
}

fn unescaped(text: &str) -> PathBuf {
    PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"))
}

pub fn is_mounted(dir: &Path) -> bool {
    below(dir).iter().any(|point| point == dir)
}

pub fn tmpfs(dir: &Path, size_bytes: Option<i64>) -> io::Result<()> {
    if is_mounted(dir) {
        return Ok(());
    }
    let options = size_bytes.map(|bytes| format!("size={bytes}")).unwrap_or_default();
    let options = CString::new(options).map_err(io::Error::other)?;
    Ok(mount("tmpfs", dir, "tmpfs", MountFlags::empty(), options.as_c_str())?)
}

/// Unmounts everything at or below `dir`, then says whether anything is left.
pub fn unmount_below(dir: &Path) -> io::Result<()> {
    for point in below(dir) {
        unmount(&point, UnmountFlags::NOFOLLOW).or_else(|_| unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW))?;
    }
    match below(dir).first() {
        None => Ok(()),
        Some(point) => Err(io::Error::other(format!("{} is still mounted", point.display()))),
    }
}

/// Opens `path` inside `root`, never outside of it whatever links stand in the way; missing directories are made.
pub fn open_inside(root: &Path, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = openat2(CWD, root, flags | OFlags::DIRECTORY, Mode::empty(), ResolveFlags::empty())?;
    match inside(root.as_fd(), Path::new(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_inside(root, Path::new(path)),
        result => result,
    }
}

fn inside(root: BorrowedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(openat2(root, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)?)
}

fn make_inside(root: OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&root)?.st_mode & 0o777);
    let mut made = PathBuf::new();
    let mut current = inside(root.as_fd(), Path::new("."))?;
    for part in path.components() {
        let Component::Normal(name) = part else { return Err(io::Error::from(io::ErrorKind::InvalidInput)) };
        made.push(name);
        current = match inside(root.as_fd(), &made) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                rustix::fs::mkdirat(&current, name, mode)?;
                let next = inside(root.as_fd(), &made)?;
                // The umask must not narrow what the volume's own directory allows.
                fs::set_permissions(by_fd(&next), std::os::unix::fs::PermissionsExt::from_mode(mode.as_raw_mode()))?;
                next
            }
            result => result?,
        };
    }
    Ok(current)
}

/// A path that names what is open, whatever happens to its name.
pub fn by_fd(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Binds what is open to `target`, which is made as a directory or a file to fit.
pub fn bind(source: &OwnedFd, target: &Path) -> io::Result<()> {
    if is_mounted(target) {
        unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::metadata(by_fd(source))?.is_dir() {
        fs::create_dir_all(target)?;
    } else if !target.exists() {
        fs::write(target, [])?;
    }
    Ok(mount_bind(by_fd(source), target)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_path_leads_out_of_a_volume() {
        let dir = crate::testing::scratch("inside");
        let (root, outside) = (dir.path.join("v"), dir.path.join("out"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&outside).unwrap();
        symlink(&outside, root.join("absolute")).unwrap();
        symlink("../out", root.join("relative")).unwrap();
        symlink("made", root.join("link")).unwrap();
        assert!(fs::metadata(by_fd(&open_inside(&root, "made/deep").unwrap())).unwrap().is_dir());
        assert!(root.join("made/deep").is_dir());
        assert!(open_inside(&root, "link/deep").is_ok());
        for path in ["absolute", "relative", "relative/x", "../out", "/etc"] {
            assert!(open_inside(&root, path).is_err(), "{path}");
        }
        assert!(fs::read_dir(&outside).unwrap().next().is_none());
    }
}
