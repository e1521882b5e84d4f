//! The container's view of the file system. Sources are opened as detached trees in the host's view; then the root is mounted,
//! entered, and everything else is attached below it by path. As the old root is gone by then, no link of an image or a volume
//! can lead a mount out of the container. All of it lives in the container's mount namespace: the host sees no mount.
use crate::problem::{Doing, Outcome, Problem};
use crate::spec::{Propagation, Root, Source, StartSpec};
use crate::sys::{self, mount, mount::Change};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const SAFE: u64 = libc::MS_NOSUID | libc::MS_NOEXEC | libc::MS_NODEV;

/// What was opened in the host's view, one for each mount of the spec, and the root if it is a plain folder.
pub struct Sources {
    root: Option<OwnedFd>,
    mounts: Vec<Option<OwnedFd>>,
}

pub fn open_sources(spec: &StartSpec) -> Outcome<Sources> {
    let root = match &spec.root {
        Root::Folder(path) => Some(mount::open_tree(path, false).doing(format_args!("open root {}", path.display()))?),
        _ => None,
    };
    let open = |one: &crate::spec::Mount| match &one.source {
        Source::Host(path) => {
            // A private bind of a folder takes along what is mounted below it, as everywhere else.
            mount::open_tree(path, true).map(Some).doing(format_args!("open {} for {}", path.display(), one.destination))
        }
        Source::Layers { .. } => Ok(None),
    };
    Ok(Sources { root, mounts: spec.mounts.iter().map(open).collect::<Outcome<_>>()? })
}

pub fn build(spec: &StartSpec, sources: Sources) -> Outcome<()> {
    let images = mount_images(spec)?;
    mount_root(spec, sources.root)?;
    mount::pivot_into(&spec.mount_point).doing("change into the root")?;
    mount_system(spec)?;
    let mut mounts: Vec<_> = spec.mounts.iter().zip(sources.mounts.into_iter().zip(images)).collect();
    // A mount on /a must come before one on /a/b; else the order is the caller's.
    mounts.sort_by_key(|(one, _)| Path::new(&one.destination).components().count());
    for (one, (host, image)) in mounts {
        if let Some(tree) = host.or(image) {
            attach(one, tree)?;
        }
    }
    make_devices(spec)?;
    for path in &spec.read_only_paths {
        protect(Path::new(path))?;
    }
    for path in &spec.masked_paths {
        mask(Path::new(path))?;
    }
    if spec.read_only_root {
        mount::change_path(Path::new("/"), Change { read_only: true, ..Default::default() }).doing("make the root read-only")?;
    }
    Ok(())
}

fn overlay_options(lower: &[String], rest: &str) -> String {
    format!("lowerdir={}{rest}", lower.join(":"))
}

fn mount_root(spec: &StartSpec, folder: Option<OwnedFd>) -> Outcome<()> {
    match (&spec.root, folder) {
        (Root::Overlay { layers, lower, upper, work }, _) => {
            // Relative names keep the options below the kernel's limit of a page.
            std::env::set_current_dir(layers).doing("enter the layers")?;
            let rest = format!(",upperdir={},workdir={}", upper.display(), work.display());
            let flags = if spec.privileged { 0 } else { libc::MS_NODEV };
            mount::mount("overlay", &spec.mount_point, flags, &overlay_options(lower, &rest)).doing("mount the root")
        }
        (_, Some(tree)) => mount::attach(tree, &spec.mount_point).doing("mount the root"),
        _ => Err(Problem::failed("the container has no root")),
    }
}

/// Mounts each image that the spec asks for as a volume, for a moment at the mount point, and takes it off as a tree.
fn mount_images(spec: &StartSpec) -> Outcome<Vec<Option<OwnedFd>>> {
    spec.mounts
        .iter()
        .map(
            |one| {
                if let Source::Layers { layers, lower, path } = &one.source { image(spec, layers, lower, path).map(Some) } else { Ok(None) }
            },
        )
        .collect()
}

fn image(spec: &StartSpec, layers: &Path, lower: &[String], path: &str) -> Outcome<OwnedFd> {
    std::env::set_current_dir(layers).doing("enter the layers")?;
    let tree = if let [only] = lower {
        mount::open_tree(Path::new(only), false).doing("open the image")?
    } else {
        mount::mount("overlay", &spec.mount_point, libc::MS_RDONLY, &overlay_options(lower, "")).doing("mount the image")?;
        mount::open_tree(&spec.mount_point, false).doing("open the image")?
    };
    if path.is_empty() || path == "." {
        if lower.len() > 1 {
            mount::detach(&spec.mount_point).doing("unmount the image")?;
        }
        return Ok(tree);
    }
    // The path within is the user's: it is resolved without leaving the image.
    if lower.len() == 1 {
        mount::attach(&tree, &spec.mount_point).doing("mount the image")?;
    }
    let root = std::fs::File::open(&spec.mount_point).doing("open the image")?;
    let inner = sys::open_in_root(std::os::fd::AsFd::as_fd(&root), Path::new(path), libc::O_PATH)
        .doing(format_args!("find {path} in the image"))?;
    let link = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&inner)));
    let tree = mount::open_tree(&link, false).doing("open the image")?;
    mount::detach(&spec.mount_point).doing("unmount the image")?;
    Ok(tree)
}

fn mount_system(spec: &StartSpec) -> Outcome<()> {
    let at = |kind: &str, path: &str, flags: u64, options: &str| {
        make_folder(path)?;
        mount::mount(kind, Path::new(path), flags, options).doing(format_args!("mount {kind} on {path}"))
    };
    at("proc", "/proc", SAFE, "")?;
    at("tmpfs", "/dev", libc::MS_NOSUID | libc::MS_STRICTATIME, "mode=755,size=65536k")?;
    // Group 5 is tty, as everywhere; an image's own idea of it does not matter for the owner's access.
    at("devpts", "/dev/pts", libc::MS_NOSUID | libc::MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")?;
    at("mqueue", "/dev/mqueue", SAFE, "")?;
    make_folder("/dev/shm")?;
    let read_only = if spec.privileged { 0 } else { libc::MS_RDONLY };
    at("sysfs", "/sys", SAFE | read_only, "")?;
    mount_cgroups(read_only)
}

/// The cgroup file systems, seen from the container's own cgroup downwards.
fn mount_cgroups(read_only: u64) -> Outcome<()> {
    let place = Path::new("/sys/fs/cgroup");
    let table = std::fs::read_to_string("/proc/self/cgroup").doing("read the own cgroups")?;
    let version_1: Vec<&str> = table.lines().filter_map(|line| line.split(':').nth(1)).filter(|names| !names.is_empty()).collect();
    if version_1.is_empty() {
        return mount::mount("cgroup2", place, SAFE | read_only, "").doing("mount the cgroups");
    }
    mount::mount("tmpfs", place, SAFE, "mode=755").doing("mount a place for cgroups")?;
    for names in version_1 {
        let name = names.strip_prefix("name=").unwrap_or(names);
        let folder = place.join(name);
        std::fs::create_dir(&folder).doing("make a place for a cgroup")?;
        for alias in name.split(',').filter(|_| name.contains(',')) {
            symlink(name, place.join(alias)).ok();
        }
        // A controller that this kernel does not let us mount is one that the container does without.
        mount::mount("cgroup", &folder, SAFE | read_only, names).ok();
    }
    if read_only != 0 {
        mount::change_path(place, Change { read_only: true, ..Default::default() }).doing("make the cgroups read-only")?;
    }
    Ok(())
}

fn make_folder(path: &str) -> Outcome<()> {
    std::fs::create_dir_all(path).doing(format_args!("make folder {path}"))
}

fn attach(one: &crate::spec::Mount, tree: OwnedFd) -> Outcome<()> {
    let name = &one.destination;
    let place = Path::new(name);
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&tree));
    let is_folder = std::fs::metadata(link).is_ok_and(|data| data.is_dir());
    if is_folder {
        make_folder(name)?;
    } else if !place.exists() {
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).doing(format_args!("make the parent of {name}"))?;
        }
        std::fs::File::create(place).doing(format_args!("make {name}"))?;
    }
    let propagation = match one.propagation {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::FromHost => libc::MS_SLAVE,
        Propagation::Both => libc::MS_SHARED,
    };
    mount::change(&tree, Change { propagation, recursive: true, ..Default::default() }).doing(format_args!("set propagation of {name}"))?;
    let flags = Change { read_only: one.read_only, no_exec: one.no_exec, no_suid: one.no_suid, no_dev: one.no_dev, ..Default::default() };
    mount::change(&tree, Change { recursive: one.recursive_read_only, ..flags }).doing(format_args!("set flags of {name}"))?;
    mount::attach(tree, place).doing(format_args!("mount {name}"))
}

const BASIC_DEVICES: [(&str, u32, u32); 6] =
    [("/dev/null", 1, 3), ("/dev/zero", 1, 5), ("/dev/full", 1, 7), ("/dev/random", 1, 8), ("/dev/urandom", 1, 9), ("/dev/tty", 5, 0)];

fn make_devices(spec: &StartSpec) -> Outcome<()> {
    sys::set_umask(0);
    for (path, major, minor) in BASIC_DEVICES {
        sys::make_node(Path::new(path), libc::S_IFCHR | 0o666, major, minor).doing(format_args!("make {path}"))?;
    }
    for device in &spec.devices {
        let path = Path::new(&device.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).doing(format_args!("make the parent of {}", device.path))?;
        }
        if std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_char_device() || data.file_type().is_block_device()) {
            std::fs::remove_file(path).ok();
        }
        let kind = if device.block { libc::S_IFBLK } else { libc::S_IFCHR };
        sys::make_node(path, kind | device.mode, device.major, device.minor).doing(format_args!("make {}", device.path))?;
        std::os::unix::fs::chown(path, Some(device.user), Some(device.group)).doing(format_args!("give away {}", device.path))?;
    }
    sys::set_umask(0o022);
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("pts/ptmx", "/dev/ptmx"),
    ];
    for (target, link) in links {
        if std::fs::symlink_metadata(link).is_err() {
            symlink(target, link).doing(format_args!("link {link}"))?;
        }
    }
    std::fs::set_permissions("/dev", std::fs::Permissions::from_mode(0o755)).ok();
    Ok(())
}

fn protect(path: &Path) -> Outcome<()> {
    if std::fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let tree = mount::open_tree(path, true).doing(format_args!("open {}", path.display()))?;
    mount::change(&tree, Change { read_only: true, ..Default::default() }).doing(format_args!("protect {}", path.display()))?;
    mount::attach(tree, path).doing(format_args!("protect {}", path.display()))
}

fn mask(path: &Path) -> Outcome<()> {
    match std::fs::metadata(path) {
        Err(_) => Ok(()),
        Ok(data) if data.is_dir() => {
            mount::mount("tmpfs", path, libc::MS_RDONLY | SAFE, "size=0k,mode=755").doing(format_args!("mask {}", path.display()))
        }
        Ok(_) => mount::bind(Path::new("/dev/null"), path).doing(format_args!("mask {}", path.display())),
    }
}
