//! A level-triggered epoll set, the heart of the keeper's one thread.
use super::{check, owned};
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

pub struct Epoll(OwnedFd);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interest {
    pub read: bool,
    pub write: bool,
}

pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// Closed from the other side, both ways.
    pub broken: bool,
}

/// How many events one call to `wait` brings at most.
const BATCH: usize = 64;

impl Epoll {
    pub fn new() -> Result<Epoll> {
        // SAFETY: no memory is passed.
        check(i64::from(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })).map(|fd| Epoll(owned(fd)))
    }

    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    pub fn remove(&self, fd: impl AsFd) {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest { read: false, write: false }).ok();
    }

    fn control(&self, operation: i32, fd: impl AsFd, token: u64, interest: Interest) -> Result<()> {
        let read = if interest.read { libc::EPOLLIN } else { 0 };
        let write = if interest.write { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: (read | write) as u32, u64: token };
        // SAFETY: `event` lives through the call, both descriptors are open.
        check(i64::from(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd.as_fd().as_raw_fd(), &mut event) })).map(drop)
    }

    /// Blocks until something is ready.
    pub fn wait(&self) -> Result<Vec<Ready>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        // SAFETY: the array has room for BATCH events.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), BATCH as i32, -1) };
        if count < 0 {
            let error = Error::last_os_error();
            return if error.raw_os_error() == Some(libc::EINTR) { Ok(Vec::new()) } else { Err(error) };
        }
        Ok(events[..count as usize]
            .iter()
            .map(|event| {
                let (flags, token) = (event.events as i32, event.u64);
                let broken = flags & (libc::EPOLLHUP | libc::EPOLLERR) != 0;
                Ready { token, readable: flags & libc::EPOLLIN != 0 || broken, writable: flags & libc::EPOLLOUT != 0 || broken, broken }
            })
            .collect())
    }
}
