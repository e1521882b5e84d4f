//! The keeper: one small process per node that outlives the daemon. It starts helpers, holds the containers' output, input and
//! terminals, writes their logs, reaps them and records exit codes on disk, and tells the daemon over a unix socket.
//! It has one thread and one epoll set, knows nothing of pods or images, and decides nothing.
mod connection;
mod containers;
mod log;
pub mod protocol;

use crate::problem::{Doing, Outcome, Problem};
use crate::sys::epoll::{Epoll, Interest};
use crate::sys::{self, process};
use connection::Connection;
use containers::Kept;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// The first argument by which the binary knows that it is the keeper.
pub const KEEPER: &str = "runtime-keeper";
pub const SOCKET: &str = "keeper.sock";
const LOCK: &str = "keeper.lock";

/// How many connections the daemon may hold at once; more are refused.
const CONNECTION_LIMIT: usize = 4096;

/// What a token of the epoll set stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Listener,
    Signals,
    Connection(u64),
    Reports(u64),
    Output(u64, Stream),
    Input(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

struct Keeper {
    epoll: Epoll,
    listener: UnixListener,
    signals: OwnedFd,
    sources: HashMap<u64, Source>,
    next: u64,
    connections: HashMap<u64, Connection>,
    /// By number; `names` finds them by container id.
    kept: HashMap<u64, Kept>,
    names: HashMap<String, u64>,
    /// Ended children whose number no helper has reported yet.
    early: HashMap<i32, i32>,
    quit: bool,
}

/// Runs the keeper for the state folder given as the only argument. Ends with 0 when another keeper already serves it.
pub fn keeper_main(arguments: &[String]) -> i32 {
    let [state] = arguments else { return 2 };
    // Away from the daemon that starts it: no child of its, not in its session.
    match process::fork() {
        Ok(process::Forked::Parent(_)) => return 0,
        Ok(process::Forked::Child) => process::new_session().ok(),
        Err(_) => return 1,
    };
    match run(Path::new(state)) {
        Ok(()) => 0,
        Err(problem) => {
            std::fs::write(Path::new(state).join("keeper.error"), problem.to_string()).ok();
            1
        }
    }
}

fn run(state: &Path) -> Outcome<()> {
    let lock = std::fs::File::create(state.join(LOCK)).doing("open the keeper's lock")?;
    if !sys::try_lock(&lock) {
        return Ok(());
    }
    process::ignore_signal(libc::SIGPIPE);
    process::ignore_signal(libc::SIGHUP);
    process::raise_descriptor_limit();
    process::become_subreaper().doing("become subreaper")?;
    let signals = process::signal_descriptor(&[libc::SIGCHLD]).doing("watch for ended children")?;
    let socket = state.join(SOCKET);
    std::fs::remove_file(&socket).ok();
    sys::set_umask(0o077);
    let listener = UnixListener::bind(&socket).doing("listen on the keeper's socket")?;
    sys::set_umask(0o022);
    listener.set_nonblocking(true).doing("listen on the keeper's socket")?;
    std::env::set_current_dir("/").ok();
    let epoll = Epoll::new().doing("make an epoll set")?;
    let mut keeper = Keeper {
        epoll,
        listener,
        signals,
        sources: HashMap::new(),
        next: 0,
        connections: HashMap::new(),
        kept: HashMap::new(),
        names: HashMap::new(),
        early: HashMap::new(),
        quit: false,
    };
    keeper.watch_basics()?;
    while !keeper.quit {
        keeper.turn()?;
    }
    std::fs::remove_file(&socket).ok();
    std::fs::remove_file(state.join(LOCK)).ok();
    Ok(())
}

const READ: Interest = Interest { read: true, write: false };

impl Keeper {
    fn watch_basics(&mut self) -> Outcome<()> {
        let (listener, signals) = (self.token(Source::Listener), self.token(Source::Signals));
        self.epoll.add(&self.listener, listener, READ).doing("watch the socket")?;
        self.epoll.add(&self.signals, signals, READ).doing("watch for ended children")
    }

    fn token(&mut self, source: Source) -> u64 {
        self.next += 1;
        self.sources.insert(self.next, source);
        self.next
    }

    fn forget_source(&mut self, source: Source) {
        self.sources.retain(|_, known| *known != source);
    }

    fn turn(&mut self) -> Outcome<()> {
        for ready in self.epoll.wait().doing("wait for events")? {
            // A source may have gone while an earlier event of this batch was handled.
            let Some(source) = self.sources.get(&ready.token).copied() else { continue };
            match source {
                Source::Listener => self.accept(),
                Source::Signals => self.reap(),
                Source::Connection(number) => self.serve(number, &ready),
                Source::Reports(number) => self.hear(number),
                Source::Output(number, stream) => self.read_output(number, stream),
                Source::Input(number) => self.write_input(number),
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.connections.len() >= CONNECTION_LIMIT || stream.set_nonblocking(true).is_err() {
                continue;
            }
            self.next += 1;
            let number = self.next;
            let token = self.token(Source::Connection(number));
            if self.epoll.add(&stream, token, READ).is_ok() {
                self.connections.insert(number, Connection::new(stream, token));
            }
        }
    }

    /// Collects every ended child and finishes the containers among them.
    fn reap(&mut self) {
        let mut record = [0; 128];
        while std::io::Read::read(&mut &std::fs::File::from(self.signals.try_clone().expect("a spare descriptor")), &mut record)
            .is_ok_and(|got| got == record.len())
        {}
        let starting: Vec<u64> = self.kept.iter().filter(|(_, kept)| kept.reports.is_some()).map(|(number, _)| *number).collect();
        let mut ended = Vec::new();
        while let Some(one) = process::reap_one() {
            ended.push(one);
        }
        for number in starting {
            self.hear(number);
        }
        for (pid, code) in ended {
            match self.kept.iter().find(|(_, kept)| kept.pid == Some(pid) && kept.exit.is_none()).map(|(number, _)| *number) {
                Some(number) => self.finish(number, code),
                None if self.kept.values().any(|kept| kept.reports.is_some()) => {
                    self.early.insert(pid, code);
                }
                None => {}
            }
        }
        if !self.kept.values().any(|kept| kept.reports.is_some()) {
            self.early.clear();
        }
    }

    fn watch(&mut self, fd: &impl AsFd, source: Source) -> Outcome<()> {
        process::set_nonblocking(fd).doing("watch a descriptor")?;
        let token = self.token(source);
        self.epoll.add(fd, token, READ).doing("watch a descriptor")
    }

    fn find(&self, id: &str) -> Outcome<u64> {
        self.names.get(id).copied().ok_or_else(|| Problem::not_found(format_args!("the keeper does not hold {id}")))
    }
}
