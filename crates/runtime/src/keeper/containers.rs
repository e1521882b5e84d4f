//! The containers in the keeper's hands: starting a helper, hearing its reports, moving bytes, recording the end.
use super::connection::Waiting;
use super::log::Log;
use super::protocol::{Exit, Held, Reply, Start, frame};
use super::{Interest, Keeper, Source, Stream};
use crate::problem::{Doing, Outcome, Problem};
use crate::spec::{Identity, Report};
use crate::sys::process::{self, Forked};
use crate::sys::{self, socket};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// How much is read from a container at once.
const READ_BYTES: usize = 64 * 1024;
/// How often one container is read before the others have their turn; and when it has ended, before what is left of it waits.
const READS_IN_TURN: usize = 8;
const READS_AT_END: usize = 1024;
/// How much input waits for a container that does not read; beyond it the attached client is not read either.
pub const INPUT_LIMIT_BYTES: usize = 256 * 1024;

pub struct Kept {
    pub start: Start,
    pub pid: Option<i32>,
    started_at_ns: i64,
    identity: Identity,
    log: Option<Log>,
    stdout: Option<File>,
    stderr: Option<File>,
    /// The writing end of standard input, or the terminal again.
    stdin: Option<File>,
    pub input: Vec<u8>,
    input_token: Option<u64>,
    end_input: bool,
    pub reports: Option<OwnedFd>,
    failure: Option<String>,
    /// The connection that waits for the start.
    waiting: Option<Waiting>,
    /// Its process is gone, its last words may not be read yet.
    ending: bool,
    pub exit: Option<Exit>,
}

fn now_ns() -> i64 {
    jiff::Timestamp::now().as_nanosecond() as i64
}

impl Keeper {
    /// Starts a helper; the answer comes when the container's program runs or has failed.
    pub(super) fn start(&mut self, start: Start, waiting: Waiting) -> Outcome<()> {
        if let Some(kept) = self.names.get(&start.id).and_then(|number| self.kept.get_mut(number)) {
            // The daemon was killed while it asked, and asks again.
            if kept.is_starting() {
                kept.waiting = Some(waiting);
                return Ok(());
            }
            let held = kept.held();
            self.answer(waiting, &Reply::Started(held));
            return Ok(());
        }
        let log = start.log.as_deref().map(|path| Log::open(path).doing(format_args!("open log {}", path.display()))).transpose()?;
        let (reports, report_end) = socket::pair().doing("make a socket")?;
        let (stdin, input_end) = input_pipe(&start)?;
        let (stdout, out_end) = output_pipe(!start.terminal)?;
        let (stderr, err_end) = output_pipe(!start.terminal)?;
        match process::fork().doing("fork")? {
            Forked::Child => become_helper(&start, [input_end, out_end, err_end, report_end]),
            Forked::Parent(_) => {}
        }
        self.next += 1;
        let number = self.next;
        self.watch(&reports, Source::Reports(number))?;
        for (output, stream) in [(&stdout, Stream::Stdout), (&stderr, Stream::Stderr)] {
            if let Some(output) = output {
                self.watch(output, Source::Output(number, stream))?;
            }
        }
        if let Some(stdin) = &stdin {
            process::set_nonblocking(stdin).doing("prepare input")?;
        }
        self.names.insert(start.id.clone(), number);
        let kept = Kept {
            start,
            pid: None,
            started_at_ns: 0,
            identity: Identity::default(),
            log,
            stdout,
            stderr,
            stdin,
            input: Vec::new(),
            input_token: None,
            end_input: false,
            reports: Some(reports),
            failure: None,
            waiting: Some(waiting),
            ending: false,
            exit: None,
        };
        self.kept.insert(number, kept);
        Ok(())
    }

    /// Takes in what a helper reports; its silence for good means that the program runs.
    pub(super) fn hear(&mut self, number: u64) {
        loop {
            let Some(kept) = self.kept.get_mut(&number) else { return };
            let Some(reports) = &kept.reports else { return };
            match socket::receive(reports) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.started(number),
                Ok((packet, _)) if packet.is_empty() => return self.started(number),
                Ok((packet, descriptor)) => match serde_json::from_slice(&packet) {
                    Ok(Report::Pid(pid)) => kept.pid = Some(pid),
                    Ok(Report::User(identity)) => kept.identity = identity,
                    Ok(Report::Running) => {}
                    Ok(Report::Terminal) => self.take_terminal(number, descriptor),
                    Ok(Report::Failed(text)) => kept.failure = Some(text),
                    Err(error) => kept.failure = Some(format!("helper's report: {error}")),
                },
            }
        }
    }

    fn take_terminal(&mut self, number: u64, terminal: Option<OwnedFd>) {
        let Some(terminal) = terminal.map(File::from) else { return };
        if self.watch(&terminal, Source::Output(number, Stream::Stdout)).is_err() {
            return;
        }
        if let Some(kept) = self.kept.get_mut(&number) {
            kept.stdin = kept.start.stdin.then(|| terminal.try_clone().ok()).flatten();
            kept.stdout = Some(terminal);
        }
    }

    fn started(&mut self, number: u64) {
        self.forget_source(Source::Reports(number));
        let Some(kept) = self.kept.get_mut(&number) else { return };
        if let Some(reports) = kept.reports.take() {
            self.epoll.remove(&reports);
        }
        kept.started_at_ns = now_ns();
        let waiting = kept.waiting.take();
        if kept.pid.is_none() && kept.failure.is_none() {
            kept.failure = Some("the helper ended without a word".into());
        }
        let reply = match kept.failure.clone() {
            None => Reply::Started(kept.held()),
            Some(failure) => {
                let exit = Exit { code: 128, failure: Some(failure.clone()), ..kept.exit_now() };
                record(&kept.start.folder, &exit).ok();
                self.drop_kept(number);
                Reply::Failed(failure)
            }
        };
        if let Some(waiting) = waiting {
            self.answer(waiting, &reply);
        }
        let ended = self.kept.get(&number).and_then(|kept| kept.pid).and_then(|pid| self.early.remove(&pid));
        if let Some(code) = ended {
            self.finish(number, code);
        }
    }

    /// The container's process has ended with `code`: its last words are read, its end is written down, then told.
    pub(super) fn finish(&mut self, number: u64, code: i32) {
        if let Some(kept) = self.kept.get_mut(&number) {
            kept.ending = true;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.read_output(number, stream);
        }
        let Some(kept) = self.kept.get_mut(&number) else { return };
        let mut exit = Exit { code, ..kept.exit_now() };
        exit.oom_killed = code != 0 && kept.start.oom_file.as_deref().is_some_and(counts_a_kill);
        kept.exit = Some(exit.clone());
        kept.stdin = None;
        if let Err(problem) = record(&kept.start.folder, &exit) {
            std::fs::write(kept.start.folder.join("exit.error"), problem.to_string()).ok();
        }
        self.broadcast(&Reply::Exited(exit));
        self.end_attached(number, code);
    }

    /// Moves what a container wrote into its log and to those attached, until there is no more for now.
    pub(super) fn read_output(&mut self, number: u64, stream: Stream) {
        let mut buffer = vec![0; READ_BYTES];
        let ending = self.kept.get(&number).is_some_and(|kept| kept.exit.is_some() || kept.ending);
        for _ in 0..if ending { READS_AT_END } else { READS_IN_TURN } {
            let Some(kept) = self.kept.get_mut(&number) else { return };
            let output = if stream == Stream::Stdout { &mut kept.stdout } else { &mut kept.stderr };
            let Some(file) = output else { return };
            match file.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A terminal whose other side is closed answers EIO: that is its end.
                Ok(0) | Err(_) => {
                    let file = output.take();
                    if let Some(log) = &mut kept.log {
                        log.end(stream);
                    }
                    self.forget_source(Source::Output(number, stream));
                    if let Some(file) = file {
                        self.epoll.remove(&file);
                    }
                    return;
                }
                Ok(count) => {
                    if let Some(log) = &mut kept.log {
                        log.write(stream, &buffer[..count]);
                    }
                    let kind = if stream == Stream::Stdout { frame::STDOUT } else { frame::STDERR };
                    self.pass_on(number, kind, &buffer[..count]);
                }
            }
        }
    }

    /// Input from an attached client; `end` closes it after what is waiting.
    pub(super) fn take_input(&mut self, number: u64, data: &[u8], end: bool) {
        let Some(kept) = self.kept.get_mut(&number) else { return };
        if kept.stdin.is_none() {
            return;
        }
        kept.input.extend(data);
        kept.end_input |= end;
        self.write_input(number);
    }

    pub(super) fn write_input(&mut self, number: u64) {
        let Some(kept) = self.kept.get_mut(&number) else { return };
        let Some(stdin) = &mut kept.stdin else { return };
        let blocked = loop {
            if kept.input.is_empty() {
                break false;
            }
            match stdin.write(&kept.input) {
                Ok(count) => drop(kept.input.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => kept.input.clear(),
            }
        };
        let (was_watched, terminal) = (kept.input_token, kept.start.terminal);
        if blocked && was_watched.is_none() {
            let token = self.token(Source::Input(number));
            let kept = self.kept.get_mut(&number).expect("just seen");
            if let Some(stdin) = &kept.stdin {
                self.epoll.add(stdin, token, Interest { read: false, write: true }).ok();
            }
            kept.input_token = Some(token);
        } else if !blocked {
            if let (Some(token), Some(stdin)) = (kept.input_token.take(), &kept.stdin) {
                self.epoll.remove(stdin);
                self.sources.remove(&token);
            }
            if kept.end_input && !terminal {
                kept.stdin = None;
            }
            self.resume_readers(number);
        }
    }

    pub(super) fn resize(&mut self, number: u64, columns: u16, rows: u16) {
        if let Some(Kept { stdout: Some(terminal), start, .. }) = self.kept.get(&number)
            && start.terminal
        {
            process::resize_terminal(terminal, columns, rows).ok();
        }
    }

    pub(super) fn signal(&mut self, id: &str, signal: i32) -> Outcome<()> {
        // What has ended but is not reaped yet still holds its number, so this never hits a stranger.
        match &self.kept[&self.find(id)?] {
            Kept { exit: None, pid: Some(pid), .. } => process::kill(*pid, signal).doing(format_args!("signal {id}")),
            _ => Ok(()),
        }
    }

    pub(super) fn reopen_log(&mut self, id: &str) -> Outcome<()> {
        let number = self.find(id)?;
        match self.kept.get_mut(&number).and_then(|kept| kept.log.as_mut()) {
            Some(log) => log.reopen().doing("reopen the log"),
            None => Ok(()),
        }
    }

    pub(super) fn forget(&mut self, id: &str) -> Outcome<()> {
        let Some(number) = self.names.get(id).copied() else { return Ok(()) };
        if self.kept[&number].exit.is_none() {
            return Err(Problem::failed(format_args!("{id} is still running")));
        }
        self.drop_kept(number);
        Ok(())
    }

    fn drop_kept(&mut self, number: u64) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.forget_source(Source::Output(number, stream));
        }
        self.forget_source(Source::Input(number));
        self.forget_source(Source::Reports(number));
        if let Some(mut kept) = self.kept.remove(&number) {
            self.names.remove(&kept.start.id);
            for (stream, file) in [(Stream::Stdout, kept.stdout.take()), (Stream::Stderr, kept.stderr.take())] {
                if let Some(log) = &mut kept.log {
                    log.end(stream);
                }
                if let Some(file) = file {
                    self.epoll.remove(&file);
                }
            }
        }
    }

    /// Quits when nothing runs.
    pub(super) fn try_quit(&mut self) -> Outcome<()> {
        match self.kept.values().filter(|kept| kept.exit.is_none()).count() {
            0 => {
                self.quit = true;
                Ok(())
            }
            count => Err(Problem::failed(format_args!("{count} containers are still running"))),
        }
    }
}

impl Kept {
    pub fn held(&self) -> Held {
        Held {
            id: self.start.id.clone(),
            pid: self.pid.unwrap_or_default(),
            started_at_ns: self.started_at_ns,
            identity: self.identity.clone(),
            exit: self.exit.clone(),
        }
    }

    pub fn is_starting(&self) -> bool {
        self.reports.is_some()
    }

    fn exit_now(&self) -> Exit {
        Exit {
            id: self.start.id.clone(),
            pid: self.pid.unwrap_or_default(),
            started_at_ns: self.started_at_ns,
            finished_at_ns: now_ns(),
            ..Default::default()
        }
    }
}

fn input_pipe(start: &Start) -> Outcome<(Option<File>, OwnedFd)> {
    if start.stdin && !start.terminal {
        let (reading, writing) = process::pipe().doing("make a pipe")?;
        return Ok((Some(writing.into()), reading));
    }
    Ok((None, File::open("/dev/null").doing("open /dev/null")?.into()))
}

fn output_pipe(wanted: bool) -> Outcome<(Option<File>, OwnedFd)> {
    if wanted {
        let (reading, writing) = process::pipe().doing("make a pipe")?;
        return Ok((Some(reading.into()), writing));
    }
    Ok((None, File::options().write(true).open("/dev/null").doing("open /dev/null")?.into()))
}

/// In the forked child: puts the descriptors in place and runs the helper.
fn become_helper(start: &Start, descriptors: [OwnedFd; 4]) -> ! {
    process::reset_signals();
    process::restore_descriptor_limit();
    // The ends may lie on the numbers they go to: move them out of the way first.
    let high: Vec<OwnedFd> = descriptors.iter().filter_map(|fd| fd.try_clone().ok()).collect();
    for (number, fd) in high.iter().enumerate() {
        if process::place_descriptor(fd, number as i32).is_err() {
            process::exit_now(127);
        }
    }
    process::close_on_exec_from(4).ok();
    let spec = start.folder.join("spec.json").display().to_string();
    let arguments = [start.program.display().to_string(), crate::helper::HELPER.into(), "start".into(), spec];
    if let Ok(arguments) = sys::c_strings(&arguments) {
        process::exec(&start.program, &arguments, &[]);
        // The binary may have been replaced: this keeper's own still does.
        process::exec(Path::new("/proc/self/exe"), &arguments, &[]);
    }
    process::exit_now(127)
}

/// Whether the kernel counted an OOM kill in the cgroup (v1 `memory.oom_control`, v2 `memory.events`).
fn counts_a_kill(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
}

/// Writes `exit.json` so that it is on disk, whole, before anybody hears of the exit.
fn record(folder: &Path, exit: &Exit) -> Outcome<()> {
    let (draft, path) = (folder.join("exit.json.new"), folder.join("exit.json"));
    let mut file = File::create(&draft).doing("record the exit")?;
    file.write_all(&serde_json::to_vec(exit).map_err(Problem::failed)?).doing("record the exit")?;
    file.sync_data().doing("record the exit")?;
    std::fs::rename(&draft, &path).doing("record the exit")
}
