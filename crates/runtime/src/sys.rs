//! The system calls of this crate, as safe functions: mounts by file descriptor, namespaces, processes, credentials, epoll.
//! All unsafe code of the crate is here. It holds no policy: callers say what and in which order.
#![allow(unsafe_code)]
use std::ffi::{CStr, CString, OsStr};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub mod bpf;
pub mod credentials;
pub mod epoll;
pub mod mount;
pub mod process;
pub mod socket;

/// The result of a call that answers -1 and errno.
fn check(value: i64) -> Result<i64> {
    if value < 0 { Err(Error::last_os_error()) } else { Ok(value) }
}

fn c_path(path: &Path) -> Result<CString> {
    c_string(path.as_os_str())
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| Error::from_raw_os_error(libc::EINVAL))
}

/// Takes over a descriptor that a call has just returned.
fn owned(fd: i64) -> OwnedFd {
    // SAFETY: every caller passes the fresh, valid return value of a call that creates a descriptor, and nobody else keeps it.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// Moves the calling thread (or single-threaded process) into new namespaces.
pub fn unshare(flags: i32) -> Result<()> {
    // SAFETY: no memory is passed; CLONE_FILES and CLONE_FS of std's threads are not undone by the flags used here.
    check(i64::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// Joins the namespace behind `fd`; `kind` is the CLONE_NEW… flag, several with a pidfd.
pub fn join_namespace(fd: BorrowedFd<'_>, kind: i32) -> Result<()> {
    // SAFETY: `fd` is open for the length of the call.
    check(i64::from(unsafe { libc::setns(fd.as_raw_fd(), kind) })).map(drop)
}

pub fn set_host_name(name: &str) -> Result<()> {
    // SAFETY: pointer and length describe `name`.
    check(i64::from(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })).map(drop)
}

/// Brings the loopback link of the current network namespace up.
pub fn loopback_up() -> Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: ifreq is plain old data; the kernel reads and writes within it.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(i64::from(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request))).map(drop)
    }
}

/// Random bytes from the kernel.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: pointer and length describe `bytes`. Requests of up to 256 bytes are never cut short.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) };
    assert_eq!(got, N as isize, "the kernel gives random bytes");
    bytes
}

/// Creates a device node, character or block as `mode` says.
pub fn make_node(path: &Path, mode: u32, major: u32, minor: u32) -> Result<()> {
    let path = c_path(path)?;
    // SAFETY: `path` is a C string for the length of the call.
    check(i64::from(unsafe { libc::mknod(path.as_ptr(), mode, libc::makedev(major, minor)) })).map(drop)
}

pub fn set_umask(mask: u32) {
    // SAFETY: umask cannot fail and touches no memory.
    unsafe { libc::umask(mask) };
}

/// Sets an extended attribute without following a link at the end of `path`.
pub fn set_attribute(path: &Path, name: &str, value: &[u8]) -> Result<()> {
    let (path, name) = (c_path(path)?, c_string(OsStr::new(name))?);
    // SAFETY: all pointers live through the call, the length is that of `value`.
    check(i64::from(unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) })).map(drop)
}

/// Sets access and modification time without following a link.
pub fn set_times(path: &Path, seconds: i64, nanos: i64) -> Result<()> {
    let path = c_path(path)?;
    let time = libc::timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = [time, time];
    // SAFETY: the array of two timespecs lives through the call.
    check(i64::from(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) })).map(drop)
}

/// Opens `path` below `root` as if `root` were "/", so that no link leads out of it.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: i32) -> Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: open_how is plain old data of the size passed; `path` lives through the call.
    unsafe {
        let mut how: libc::open_how = std::mem::zeroed();
        how.flags = (flags | libc::O_CLOEXEC) as u64;
        how.resolve = libc::RESOLVE_IN_ROOT;
        check(libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), &how, size_of::<libc::open_how>())).map(owned)
    }
}

pub fn c_strings(texts: &[String]) -> Result<Vec<CString>> {
    texts.iter().map(|text| c_string(OsStr::new(text))).collect()
}

/// Waits on an owned descriptor in tokio.
pub fn watch<T: AsRawFd + std::os::fd::AsFd>(fd: T) -> Result<tokio::io::unix::AsyncFd<T>> {
    // SAFETY: the types used here (OwnedFd, File) keep their descriptor open and the same for as long as they live.
    unsafe { tokio::io::unix::AsyncFd::register(fd) }.map_err(Error::from)
}

/// Takes a shared lock on an open file; waits while another holds the exclusive one.
pub fn lock_shared(file: &std::fs::File) -> Result<()> {
    // SAFETY: the descriptor is open.
    check(i64::from(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH) })).map(drop)
}

/// Takes the exclusive lock of an open file, waiting for it.
pub fn lock(file: &std::fs::File) -> Result<()> {
    // SAFETY: the descriptor is open.
    check(i64::from(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) })).map(drop)
}

/// Tries to take the exclusive lock of an open file; false when another holds it.
pub fn try_lock(file: &std::fs::File) -> bool {
    // SAFETY: the descriptor is open.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|text| CStr::as_ptr(text)).chain([std::ptr::null()]).collect()
}

/// A descriptor that the program was started with and that stays open throughout.
pub fn descriptor(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: only for the helpers' descriptor 3, which their parent opened for them and which is never closed before exec.
    unsafe { BorrowedFd::borrow_raw(number) }
}
