//! The keeper's side of a connection: requests in lines, or frames once attached. A client that does not read loses the
//! connection, not the container: what waits for it is bounded.
use super::containers::INPUT_LIMIT_BYTES;
use super::protocol::{Held, LINE_LIMIT_BYTES, Reply, Request, frame};
use super::{Interest, Keeper};
use crate::problem::{Outcome, Problem};
use crate::sys::epoll::Ready;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// How much may wait for a client that does not read.
const BACKLOG_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The connection that gets an answer later.
pub type Waiting = u64;

pub struct Connection {
    stream: UnixStream,
    token: u64,
    received: Vec<u8>,
    waiting: Vec<u8>,
    subscribed: bool,
    attached: Option<Attached>,
    /// Not read while the container does not take its input.
    held_back: bool,
    close_when_sent: bool,
}

struct Attached {
    container: u64,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl Connection {
    pub fn new(stream: UnixStream, token: u64) -> Connection {
        let (received, waiting) = (Vec::new(), Vec::new());
        Connection { stream, token, received, waiting, subscribed: false, attached: None, held_back: false, close_when_sent: false }
    }

    fn interest(&self) -> Interest {
        Interest { read: !self.held_back, write: !self.waiting.is_empty() }
    }

    /// Sends what it can; false when the connection is of no more use.
    fn flush(&mut self) -> bool {
        while !self.waiting.is_empty() {
            match self.stream.write(&self.waiting) {
                Ok(0) => return false,
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.waiting.len() <= BACKLOG_LIMIT_BYTES,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        !self.close_when_sent
    }

    /// Reads what is there; false at the end.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend(&buffer[..count]);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

impl Keeper {
    pub(super) fn serve(&mut self, number: u64, ready: &Ready) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if ready.writable && !connection.flush() || ready.broken && connection.held_back {
            return self.close(number);
        }
        let open = !ready.readable || connection.held_back || connection.fill();
        self.handle_received(number);
        if open { self.update(number) } else { self.close(number) }
    }

    fn handle_received(&mut self, number: u64) {
        loop {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            if connection.attached.is_some() {
                return self.handle_frames(number);
            }
            let Some(end) = connection.received.iter().position(|byte| *byte == b'\n') else {
                if connection.received.len() > LINE_LIMIT_BYTES {
                    self.close(number);
                }
                return;
            };
            let line: Vec<u8> = connection.received.drain(..=end).collect();
            let done = match serde_json::from_slice(&line) {
                Ok(request) => self.handle(number, request),
                Err(error) => Err(Problem::invalid(format_args!("request: {error}"))),
            };
            match done {
                Ok(None) => {}
                Ok(Some(reply)) => self.answer(number, &reply),
                Err(Problem::NotFound(text)) => self.answer(number, &Reply::NotFound(text)),
                Err(problem) => self.answer(number, &Reply::Failed(problem.to_string())),
            }
        }
    }

    fn handle(&mut self, number: u64, request: Request) -> Outcome<Option<Reply>> {
        let done = |()| Some(Reply::Done);
        match request {
            Request::Start(start) => self.start(start, number).map(|()| None),
            Request::Signal { id, signal } => self.signal(&id, signal).map(done),
            Request::ReopenLog { id } => self.reopen_log(&id).map(done),
            Request::Forget { id } => self.forget(&id).map(done),
            Request::Quit => self.try_quit().map(done),
            Request::List => {
                let held: Vec<Held> = self.kept.values().filter(|kept| !kept.is_starting()).map(|kept| kept.held()).collect();
                Ok(Some(Reply::Held(held)))
            }
            Request::Subscribe => {
                self.connections.get_mut(&number).expect("it is being served").subscribed = true;
                Ok(Some(Reply::Done))
            }
            Request::Attach { id, stdin, stdout, stderr } => {
                let container = self.find(&id)?;
                if self.kept[&container].exit.is_some() {
                    return Err(Problem::failed(format_args!("{id} has ended")));
                }
                let attached = Attached { container, stdin, stdout, stderr };
                self.answer(number, &Reply::Done);
                if let Some(connection) = self.connections.get_mut(&number) {
                    connection.attached = Some(attached);
                }
                Ok(None)
            }
        }
    }

    fn handle_frames(&mut self, number: u64) {
        loop {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            let Some(attached) = &connection.attached else { return };
            if connection.received.len() > LINE_LIMIT_BYTES + frame::HEADER_BYTES {
                return self.close(number);
            }
            let (container, stdin) = (attached.container, attached.stdin);
            let Some((kind, length)) = frame::decode(&connection.received) else { return };
            let data: Vec<u8> = connection.received.drain(..frame::HEADER_BYTES + length).skip(frame::HEADER_BYTES).collect();
            match (kind, data.as_slice()) {
                (frame::STDIN, data) if stdin => self.take_input(container, data, false),
                (frame::STDIN_END, _) if stdin => self.end_input(container),
                (frame::RESIZE, [a, b, c, d]) => self.resize(container, u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])),
                _ => {}
            }
            let full = self.kept.get(&container).is_some_and(|kept| kept.input.len() > INPUT_LIMIT_BYTES);
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.held_back = full;
            }
        }
    }

    /// The attached client has no more input: the container's ends only if it was asked to (`stdinOnce`).
    fn end_input(&mut self, container: u64) {
        if self.kept.get(&container).is_some_and(|kept| kept.start.stdin_once) {
            self.take_input(container, &[], true);
        }
    }

    /// The container takes input again.
    pub(super) fn resume_readers(&mut self, container: u64) {
        let held_back =
            |connection: &Connection| connection.held_back && connection.attached.as_ref().is_some_and(|one| one.container == container);
        let numbers: Vec<u64> = self.connections.iter().filter(|(_, one)| held_back(one)).map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.held_back = false;
            }
            self.update(number);
        }
    }

    pub(super) fn answer(&mut self, number: u64, reply: &Reply) {
        if let Ok(mut line) = serde_json::to_vec(reply) {
            line.push(b'\n');
            self.push(number, &line);
        }
    }

    fn push(&mut self, number: u64, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.waiting.extend(bytes);
        if connection.flush() { self.update(number) } else { self.close(number) }
    }

    pub(super) fn broadcast(&mut self, reply: &Reply) {
        let numbers: Vec<u64> = self.connections.iter().filter(|(_, one)| one.subscribed).map(|(number, _)| *number).collect();
        for number in numbers {
            self.answer(number, reply);
        }
    }

    fn attached_to(&self, container: u64, wants: impl Fn(&Attached) -> bool) -> Vec<u64> {
        let fits = |one: &Connection| one.attached.as_ref().is_some_and(|attached| attached.container == container && wants(attached));
        self.connections.iter().filter(|(_, one)| fits(one)).map(|(number, _)| *number).collect()
    }

    pub(super) fn pass_on(&mut self, container: u64, kind: u8, data: &[u8]) {
        let numbers = self.attached_to(container, |one| if kind == frame::STDOUT { one.stdout } else { one.stderr });
        if numbers.is_empty() {
            return;
        }
        let bytes = frame::encode(kind, data);
        for number in numbers {
            self.push(number, &bytes);
        }
    }

    pub(super) fn end_attached(&mut self, container: u64, code: i32) {
        let bytes = frame::encode(frame::EXIT, code.to_string().as_bytes());
        for number in self.attached_to(container, |_| true) {
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.close_when_sent = true;
            }
            self.push(number, &bytes);
        }
    }

    fn update(&mut self, number: u64) {
        if let Some(connection) = self.connections.get(&number) {
            self.epoll.modify(&connection.stream, connection.token, connection.interest()).ok();
        }
    }

    fn close(&mut self, number: u64) {
        let Some(connection) = self.connections.remove(&number) else { return };
        self.epoll.remove(&connection.stream);
        self.sources.remove(&connection.token);
        if let Some(Attached { container, stdin: true, .. }) = connection.attached {
            self.end_input(container);
        }
    }
}
