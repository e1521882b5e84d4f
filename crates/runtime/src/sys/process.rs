//! Processes: fork for single-threaded programs, exec, waiting, signals, terminals.
use super::{check, owned, pointers};
use std::ffi::CString;
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

pub enum Forked {
    Child,
    Parent(i32),
}

/// Forks. Only for the keeper and the helpers, which have a single thread: in such a process the child may allocate and run on.
pub fn fork() -> Result<Forked> {
    // SAFETY: the process has one thread (see above), so no lock can be left held in the child.
    match check(i64::from(unsafe { libc::fork() }))? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid as i32)),
    }
}

/// Replaces the program. Returns only the error.
pub fn exec(program: &std::path::Path, arguments: &[CString], environment: &[CString]) -> Error {
    let program = match super::c_path(program) {
        Ok(program) => program,
        Err(error) => return error,
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: null-terminated arrays of C strings that live through the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Error::last_os_error()
}

/// Ends at once, without running exit handlers (for forked children).
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit never returns and touches no memory.
    unsafe { libc::_exit(code) }
}

/// One ended child: (pid, exit code; 128 + signal when killed by one). `None` when no child has ended.
pub fn reap_one() -> Option<(i32, i32)> {
    wait_for(-1, libc::WNOHANG)
}

/// Waits until the child `pid` has ended.
pub fn wait(pid: i32) -> Option<i32> {
    wait_for(pid, 0).map(|(_, code)| code)
}

fn wait_for(pid: i32, flags: i32) -> Option<(i32, i32)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place for the result.
        let got = unsafe { libc::waitpid(pid, &mut status, flags) };
        if got < 0 && Error::last_os_error().raw_os_error() == Some(libc::EINTR) {
            continue;
        }
        if got <= 0 {
            return None;
        }
        let code = if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) };
        return Some((got, code));
    }
}

pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(i64::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// A descriptor that stands for the process, whatever becomes of its number.
pub fn open_process(pid: i32) -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).map(owned)
}

pub fn signal_process(process: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: the descriptor is open; no siginfo is passed.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, std::ptr::null::<u8>(), 0) };
    check(sent).map(drop)
}

pub fn new_session() -> Result<()> {
    // SAFETY: no memory is passed.
    check(i64::from(unsafe { libc::setsid() })).map(drop)
}

/// Orphaned descendants come to this process.
pub fn become_subreaper() -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1)
}

/// The kernel sends `signal` when the parent ends.
pub fn die_with_parent(signal: i32) -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as u64)
}

pub fn no_new_privileges() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

pub(super) fn prctl(option: i32, value: u64) -> Result<()> {
    // SAFETY: options used here take one number.
    check(i64::from(unsafe { libc::prctl(option, value, 0, 0, 0) })).map(drop)
}

/// Gives a program that is about to start default signal handling and an empty mask.
pub fn reset_signals() {
    // SAFETY: the sigset is plain old data; SIG_DFL needs no handler.
    unsafe {
        for signal in 1..=64 {
            if signal != libc::SIGKILL && signal != libc::SIGSTOP {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// Blocks `signals` and gives a descriptor that becomes readable when one arrives.
pub fn signal_descriptor(signals: &[i32]) -> Result<OwnedFd> {
    // SAFETY: the sigset is plain old data and lives through the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        check(i64::from(libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())))?;
        check(i64::from(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))).map(owned)
    }
}

/// Blocks until a child ends or a signal comes.
pub fn pause() {
    // SAFETY: touches no memory.
    unsafe { libc::pause() };
}

pub fn ignore_signal(signal: i32) {
    // SAFETY: SIG_IGN needs no handler.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// A handler that does nothing, so that the signal interrupts `pause`.
pub fn notice_signal(signal: i32) {
    extern "C" fn noticed(_: i32) {}
    // SAFETY: the handler touches nothing.
    unsafe { libc::signal(signal, noticed as extern "C" fn(i32) as libc::sighandler_t) };
}

/// Puts `fd` in the place of descriptor `number`, kept across exec.
pub fn place_descriptor(fd: impl AsFd, number: i32) -> Result<()> {
    // SAFETY: replacing descriptors 0 to 2 and 3 of a process that is about to exec; nobody owns them there.
    unsafe {
        if fd.as_fd().as_raw_fd() == number {
            return check(i64::from(libc::fcntl(number, libc::F_SETFD, 0))).map(drop);
        }
        check(i64::from(libc::dup2(fd.as_fd().as_raw_fd(), number))).map(drop)
    }
}

/// Marks every descriptor from `first` on to be closed at exec.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: only flags of descriptors change.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// A pipe: (reading end, writing end), both closed at exec.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both ends.
    check(i64::from(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }))?;
    Ok((owned(i64::from(ends[0])), owned(i64::from(ends[1]))))
}

pub fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: reads and sets flags of an open descriptor.
    unsafe {
        let flags = check(i64::from(libc::fcntl(fd, libc::F_GETFL)))? as i32;
        check(i64::from(libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK))).map(drop)
    }
}

/// A terminal from the current root's /dev/ptmx: the master, the slave and the slave's number.
pub fn open_terminal() -> Result<(OwnedFd, OwnedFd, u32)> {
    // SAFETY: constant path; the ioctls read or write one integer each.
    unsafe {
        let master = check(i64::from(libc::open(c"/dev/ptmx".as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC))).map(owned)?;
        let unlocked: libc::c_int = 0;
        check(i64::from(libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &unlocked)))?;
        let mut number: libc::c_uint = 0;
        check(i64::from(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &mut number)))?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let slave = check(i64::from(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags))).map(owned)?;
        Ok((master, slave, number))
    }
}

/// Makes the terminal on descriptor `fd` the controlling one of this session.
pub fn take_terminal(fd: impl AsFd) -> Result<()> {
    // SAFETY: the request takes a number.
    check(i64::from(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) })).map(drop)
}

pub fn resize_terminal(fd: impl AsFd, columns: u16, rows: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: winsize is plain old data that lives through the call.
    check(i64::from(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &size) })).map(drop)
}

pub fn change_owner(fd: impl AsFd, user: u32, group: u32) -> Result<()> {
    // SAFETY: the descriptor is open.
    check(i64::from(unsafe { libc::fchown(fd.as_fd().as_raw_fd(), user, group) })).map(drop)
}

/// Closes every descriptor from `first` on: only for a process that never uses one again.
pub fn close_all_from(first: u32) {
    // SAFETY: the caller owns no descriptor that it will use later; its owners are never dropped.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Closes descriptors 0 to 2, so that pipes end with the program that has them and not with its helper.
pub fn close_standard() {
    for number in 0..3 {
        // SAFETY: only for helpers, which use none of them from here on.
        unsafe { libc::close(number) };
    }
}

/// Lets `command` start with `fd` as descriptor 3.
pub fn pass_as_third(command: &mut std::process::Command, fd: OwnedFd) {
    use std::os::unix::process::CommandExt;
    let place = move || {
        if fd.as_raw_fd() == 3 {
            // SAFETY: changes a flag of an open descriptor.
            return check(i64::from(unsafe { libc::fcntl(3, libc::F_SETFD, 0) })).map(drop);
        }
        // SAFETY: dup2 is async-signal-safe; std's own descriptors are closed at exec or moved by then.
        check(i64::from(unsafe { libc::dup2(fd.as_raw_fd(), 3) })).map(drop)
    };
    // SAFETY: the closure makes one async-signal-safe call and does not allocate.
    unsafe { command.pre_exec(place) };
}

/// The limit of open descriptors as this program found it.
static FOUND_LIMIT: std::sync::OnceLock<(u64, u64)> = std::sync::OnceLock::new();

/// Lets this process open as many descriptors as it may.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: rlimit is plain old data that lives through both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            FOUND_LIMIT.get_or_init(|| (limit.rlim_cur, limit.rlim_max));
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Sets the limit back to what it was, for a child.
pub fn restore_descriptor_limit() {
    if let Some((current, most)) = FOUND_LIMIT.get() {
        let limit = libc::rlimit { rlim_cur: *current, rlim_max: *most };
        // SAFETY: rlimit is plain old data that lives through the call.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
}
