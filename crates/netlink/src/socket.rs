//! A netlink socket: requests go out, acknowledgements come back. Blocking, but the kernel answers at once.
use crate::message::{Incoming, Message, incoming};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::fs::File;
use std::path::Path;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const BUFFER_BYTES: usize = 1 << 18;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("netlink: {0}")]
    Socket(#[from] Errno),
    /// What the kernel said to one request.
    #[error("the kernel refused {what}: {error}")]
    Refused { what: &'static str, error: Errno },
    #[error("the network namespace {path} cannot be entered: {error}")]
    Namespace { path: String, error: std::io::Error },
}

impl Error {
    pub fn is(&self, errno: Errno) -> bool {
        matches!(self, Error::Refused { error, .. } | Error::Socket(error) if *error == errno)
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    Route,
    Netfilter,
}

pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// In the network namespace of the calling thread.
    pub fn open(protocol: Protocol) -> Result<Socket, Error> {
        let protocol = match protocol {
            Protocol::Route => None, // number 0, the family's own

            Protocol::Netfilter => Some(netlink::NETFILTER),
        };
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        // Large batches need room; without the privilege to force it the default has to do.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&fd, 8 << 20);
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&fd, 8 << 20);
        Ok(Socket { fd, sequence: 0 })
    }

    /// Sends one request that asks for an acknowledgement, and waits for it.
    pub fn acknowledge(&mut self, what: &'static str, message: Message) -> Result<(), Error> {
        self.send(vec![message])?;
        let sequence = self.sequence;
        let mut outcome = None;
        self.receive(|message| {
            if message.kind == ERROR && message.sequence == sequence {
                outcome = Some(code(message.payload));
            }
            outcome.is_some()
        })?;
        refused(what, outcome.unwrap_or(0))
    }

    /// Sends messages as one datagram. Their sequence numbers count up from the one returned.
    pub fn send(&mut self, messages: Vec<Message>) -> Result<u32, Error> {
        let first = self.sequence + 1;
        let mut bytes = Vec::new();
        for message in messages {
            self.sequence += 1;
            bytes.extend_from_slice(&message.finish(self.sequence));
        }
        rustix::net::send(&self.fd, &bytes, SendFlags::empty())?;
        Ok(first)
    }

    /// Hands every incoming message to `take` until it says that it has enough.
    pub fn receive(&mut self, mut take: impl FnMut(&Incoming) -> bool) -> Result<(), Error> {
        let mut buffer = vec![0u8; BUFFER_BYTES];
        loop {
            let (count, _) = rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::empty())?;
            for message in incoming(&buffer[..count]) {
                if take(&message) {
                    return Ok(());
                }
            }
        }
    }

    /// The one answer to a request, as its payload.
    pub fn ask(&mut self, what: &'static str, message: Message) -> Result<Vec<u8>, Error> {
        self.send(vec![message])?;
        let (sequence, mut answer) = (self.sequence, Ok(Vec::new()));
        self.receive(|message| {
            let own = message.sequence == sequence;
            if own {
                answer = if message.kind == ERROR { Err(code(message.payload)) } else { Ok(message.payload.to_vec()) };
            }
            own
        })?;
        answer.or_else(|code| refused(what, code).map(|()| Vec::new()))
    }

    /// All answers to a dump request, each as its payload.
    pub fn dump(&mut self, what: &'static str, message: Message) -> Result<Vec<Vec<u8>>, Error> {
        self.send(vec![message])?;
        let (mut answers, mut failure) = (Vec::new(), 0);
        self.receive(|message| match message.kind {
            DONE => true,
            ERROR => {
                failure = code(message.payload);
                true
            }
            _ => {
                answers.push(message.payload.to_vec());
                false
            }
        })?;
        refused(what, failure).map(|()| answers)
    }

    pub fn as_fd(&self) -> impl AsFd {
        &self.fd
    }
}

/// The errno of an error message: zero is an acknowledgement.
pub fn code(payload: &[u8]) -> i32 {
    payload.first_chunk::<4>().map_or(0, |code| -i32::from_ne_bytes(*code))
}

pub fn refused(what: &'static str, code: i32) -> Result<(), Error> {
    if code == 0 { Ok(()) } else { Err(Error::Refused { what, error: Errno::from_raw_os_error(code) }) }
}

/// Runs `work` on a thread of its own that has entered the network namespace at `path`.
pub fn in_namespace<R: Send>(path: &Path, work: impl FnOnce() -> R + Send) -> Result<R, Error> {
    let failed = |error| Error::Namespace { path: path.display().to_string(), error };
    let file = File::open(path).map_err(failed)?;
    let run = || rustix::thread::move_into_link_name_space(file.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network)).map(|()| work());
    let entered = std::thread::scope(|scope| scope.spawn(run).join());
    entered.expect("work in a namespace does not panic").map_err(|errno| failed(errno.into()))
}
