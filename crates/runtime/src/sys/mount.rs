//! Mounts. Sources are held as detached trees (`open_tree`), so that they are opened in the host's view and attached in the
//! container's. Needs Linux 5.12 (`mount_setattr`).
use super::{c_path, c_string, check, owned};
use std::ffi::OsStr;
use std::io::Result;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// What `change` sets on a mount.
#[derive(Default, Clone, Copy)]
pub struct Change {
    pub read_only: bool,
    pub no_exec: bool,
    pub no_suid: bool,
    pub no_dev: bool,
    /// MS_PRIVATE, MS_SLAVE, MS_SHARED or 0.
    pub propagation: u64,
    pub recursive: bool,
}

/// A detached copy of the mounts at `path`, in the same peer groups; `recursive` takes what is mounted below as well.
pub fn open_tree(path: &Path, recursive: bool) -> Result<OwnedFd> {
    let path = c_path(path)?;
    let mut flags = libc::OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint;
    if recursive {
        flags |= libc::AT_RECURSIVE as libc::c_uint;
    }
    // SAFETY: `path` lives through the call.
    check(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) }).map(owned)
}

/// Attaches a detached tree at `path`.
pub fn attach(tree: impl AsFd, path: &Path) -> Result<()> {
    let path = c_path(path)?;
    let tree = tree.as_fd().as_raw_fd();
    // SAFETY: descriptor and both strings live through the call.
    let moved =
        unsafe { libc::syscall(libc::SYS_move_mount, tree, c"".as_ptr(), libc::AT_FDCWD, path.as_ptr(), libc::MOVE_MOUNT_F_EMPTY_PATH) };
    check(moved).map(drop)
}

/// Changes the attributes of the mount behind a descriptor.
pub fn change(mount: impl AsFd, change: Change) -> Result<()> {
    change_at(mount.as_fd().as_raw_fd(), c"", libc::AT_EMPTY_PATH, change)
}

/// Changes the attributes of the mount at `path`.
pub fn change_path(path: &Path, change: Change) -> Result<()> {
    change_at(libc::AT_FDCWD, &c_path(path)?, 0, change)
}

fn change_at(folder: i32, path: &std::ffi::CStr, flags: i32, change: Change) -> Result<()> {
    let set = |on: bool, attribute: u64| if on { attribute } else { 0 };
    let flags = flags | if change.recursive { libc::AT_RECURSIVE } else { 0 };
    let attributes = libc::mount_attr {
        attr_set: set(change.read_only, libc::MOUNT_ATTR_RDONLY)
            | set(change.no_exec, libc::MOUNT_ATTR_NOEXEC)
            | set(change.no_suid, libc::MOUNT_ATTR_NOSUID)
            | set(change.no_dev, libc::MOUNT_ATTR_NODEV),
        attr_clr: 0,
        propagation: change.propagation,
        userns_fd: 0,
    };
    // SAFETY: mount_attr is passed with its own size, all pointers live through the call.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, folder, path.as_ptr(), flags, &attributes, size_of::<libc::mount_attr>()) })
        .map(drop)
}

/// mount(2) with a file system type.
pub fn mount(kind: &str, target: &Path, flags: u64, options: &str) -> Result<()> {
    let (kind, target, options) = (c_string(OsStr::new(kind))?, c_path(target)?, c_string(OsStr::new(options))?);
    // SAFETY: all strings live through the call.
    check(i64::from(unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) })).map(drop)
}

/// Binds `source` (a file or folder) onto `target`.
pub fn bind(source: &Path, target: &Path) -> Result<()> {
    let (source, target) = (c_path(source)?, c_path(target)?);
    // SAFETY: both strings live through the call; type and data may be null for a bind.
    let bound = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), std::ptr::null(), libc::MS_BIND, std::ptr::null()) };
    check(i64::from(bound)).map(drop)
}

/// Sets the propagation of every mount of the current namespace.
pub fn propagate_all(flags: u64) -> Result<()> {
    // SAFETY: only the constant target is passed.
    let set = unsafe { libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), flags | libc::MS_REC, std::ptr::null()) };
    check(i64::from(set)).map(drop)
}

/// Detaches whatever is mounted at `path`.
pub fn detach(path: &Path) -> Result<()> {
    let path = c_path(path)?;
    // SAFETY: `path` lives through the call.
    check(i64::from(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) })).map(drop)
}

/// Makes the mount point `root` the root of the current mount namespace and lets go of the old one.
pub fn pivot_into(root: &Path) -> Result<()> {
    std::env::set_current_dir(root)?;
    // SAFETY: constant strings. With "." twice the old root lies on top of the new one and is detached next.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    // SAFETY: constant string.
    check(i64::from(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }))?;
    std::env::set_current_dir("/")
}
