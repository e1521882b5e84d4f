//! Processes with streams: executing in a container, attaching to one, connecting to a port inside a sandbox. These are plain
//! handles; how they travel to a client is `streaming`'s affair.
use crate::keeper::protocol::frame;
use crate::namespaces;
use crate::problem::{Doing, Outcome, Problem};
use crate::runtime::Runtime;
use crate::spec::{ExecSpec, Report};
use crate::sys::{process, socket};
use futures::future::BoxFuture;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;
use tokio::sync::watch;

/// The most that `exec_sync` gives back of each stream; what is beyond is dropped.
const SYNC_OUTPUT_LIMIT_BYTES: usize = 16 * 1024 * 1024;

pub type Reading = Box<dyn AsyncRead + Send + Unpin>;
pub type Writing = Box<dyn AsyncWrite + Send + Unpin>;
/// Columns, rows.
pub type Resize = Arc<dyn Fn(u16, u16) + Send + Sync>;

/// What runs, or is attached to.
pub struct Process {
    pub stdin: Option<Writing>,
    pub stdout: Option<Reading>,
    pub stderr: Option<Reading>,
    pub resize: Option<Resize>,
    /// Ends it; of no effect on an attached container.
    pub kill: Arc<dyn Fn() + Send + Sync>,
    /// The exit code. For an attached container: when it ends or the connection does.
    pub exit: BoxFuture<'static, Outcome<i32>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub terminal: bool,
}

impl Runtime {
    /// Starts a program in a running container.
    pub async fn exec_process(&self, container: &str, command: &[String], streams: Streams) -> Outcome<Process> {
        let spec = self.exec_spec(container, command, streams.terminal)?;
        let path = self.config.state_dir.join(format!("exec-{}.json", crate::image::store::random_name()));
        crate::record::save(&path, &spec)?;
        let started = start_helper(&self.config.program, &path, streams).await;
        if started.is_err() {
            std::fs::remove_file(&path).ok();
        }
        started
    }

    fn exec_spec(&self, id: &str, command: &[String], terminal: bool) -> Outcome<ExecSpec> {
        let container = self.container(id)?;
        let record = container.record.lock().clone();
        if !record.is_running() {
            return Err(Problem::failed(format_args!("container {id:?} is not running")));
        }
        let spec: crate::spec::StartSpec = crate::record::load(&self.container_folder(&record.id).join("spec.json"))?;
        let mut process = spec.process;
        process.arguments = command.to_vec();
        process.terminal = terminal;
        Ok(ExecSpec { pid: record.pid, cgroups: self.cgroups.joins(&record.cgroup), oom_score_adj: spec.oom_score_adj, process })
    }

    /// Runs a program to its end: output, errors, exit code. `None` when it took longer than `limit`.
    pub async fn exec_and_wait(
        &self,
        container: &str,
        command: &[String],
        limit: Option<Duration>,
    ) -> Outcome<Option<(Vec<u8>, Vec<u8>, i32)>> {
        let streams = Streams { stdout: true, stderr: true, ..Default::default() };
        let process = self.exec_process(container, command, streams).await?;
        let (ending, ended) = watch::channel(false);
        let (stdout, stderr) = (collect(process.stdout, ended.clone()), collect(process.stderr, ended));
        let kill = process.kill.clone();
        let exit = async {
            let code = process.exit.await;
            ending.send_replace(true);
            code
        };
        let run = async { tokio::join!(stdout, stderr, exit) };
        let ended = match limit {
            None => Some(run.await),
            Some(limit) => tokio::time::timeout(limit, run).await.ok(),
        };
        match ended {
            Some((stdout, stderr, code)) => Ok(Some((stdout, stderr, code?))),
            None => {
                kill();
                Ok(None)
            }
        }
    }

    /// Joins the input and output of a running container.
    pub async fn attach_process(&self, id: &str, streams: Streams) -> Outcome<Process> {
        let container = self.container(id)?;
        let record = container.record.lock().clone();
        if !record.is_running() {
            return Err(Problem::failed(format_args!("container {id:?} is not running")));
        }
        let stdin = streams.stdin && record.config.stdin;
        let connection = self.keeper.attach(&record.id, stdin, streams.stdout, streams.stderr).await?;
        Ok(attached(connection, Streams { stdin, ..streams }))
    }

    /// Connects to a port of the sandbox's loopback address.
    pub async fn connect_port(&self, sandbox: &str, port: u16) -> Outcome<TcpStream> {
        let sandbox = self.sandbox(sandbox)?;
        let (id, ready) = {
            let record = sandbox.record.lock();
            (record.id.clone(), record.ready)
        };
        if !ready {
            return Err(Problem::failed(format_args!("sandbox {id:?} is not ready")));
        }
        let folder = self.sandbox_folder(&id);
        let connect = move || {
            namespaces::in_network(&folder, move || {
                let addresses =
                    [std::net::SocketAddr::from(([127, 0, 0, 1], port)), std::net::SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))];
                const PATIENCE: Duration = Duration::from_secs(10);
                let connected = std::net::TcpStream::connect_timeout(&addresses[0], PATIENCE);
                connected
                    .or_else(|first| std::net::TcpStream::connect_timeout(&addresses[1], PATIENCE).map_err(|_| first))
                    .doing(format_args!("failed to connect to localhost:{port} inside the pod"))
            })
        };
        let stream = tokio::task::spawn_blocking(connect).await.map_err(Problem::failed)??;
        stream.set_nonblocking(true).doing("use the connection")?;
        TcpStream::from_std(stream).doing("use the connection")
    }
}

/// How long the output of a program that has ended is waited for, when something it left behind holds on to it.
const QUIET_AFTER_END: Duration = Duration::from_secs(2);

/// Reads what comes next; `None` at the end, or when the program has ended and nothing more has come for a while.
pub async fn next_piece(from: &mut Reading, buffer: &mut [u8], ended: &mut watch::Receiver<bool>) -> Option<usize> {
    let quiet = async {
        ended.wait_for(|ended| *ended).await.ok();
        tokio::time::sleep(QUIET_AFTER_END).await;
    };
    tokio::select! {
        biased;
        read = from.read(buffer) => read.ok().filter(|count| *count > 0),
        () = quiet => None,
    }
}

async fn collect(from: Option<Reading>, mut ended: watch::Receiver<bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(mut from) = from else { return bytes };
    let mut buffer = vec![0; 32 * 1024];
    while let Some(count) = next_piece(&mut from, &mut buffer, &mut ended).await {
        // What is beyond the limit is read all the same, so that the program does not hang.
        let room = SYNC_OUTPUT_LIMIT_BYTES.saturating_sub(bytes.len());
        bytes.extend(&buffer[..count.min(room)]);
    }
    bytes
}

async fn start_helper(program: &std::path::Path, spec: &std::path::Path, streams: Streams) -> Outcome<Process> {
    let (ours, theirs) = socket::pair().doing("make a socket")?;
    let mut command = std::process::Command::new(program);
    command.arg(crate::helper::HELPER).arg("exec").arg(spec).env_clear();
    let plain = |wanted: bool| wanted && !streams.terminal;
    let (stdin, stdin_end) = pipe_if(plain(streams.stdin))?;
    let (stdout_end, stdout) = pipe_if(plain(streams.stdout))?;
    let (stderr_end, stderr) = pipe_if(plain(streams.stderr))?;
    command.stdin(stdio(stdin)).stdout(stdio(stdout)).stderr(stdio(stderr));
    process::pass_as_third(&mut command, theirs);
    let mut command = tokio::process::Command::from(command);
    let mut child = command.spawn().doing("start the helper")?;
    // The command holds our copies of the other ends: with it they go.
    drop(command);
    process::set_nonblocking(&ours).doing("watch the helper")?;
    let reports = crate::sys::watch(ours).doing("watch the helper")?;
    let (pid, terminal) = match hear(&reports).await {
        Ok(heard) => heard,
        Err(problem) => {
            child.wait().await.ok();
            return Err(problem);
        }
    };
    let kill = Arc::new(move || drop(process::kill(pid, libc::SIGKILL)));
    let exit = async move {
        let status = child.wait().await.doing("wait for the helper")?;
        // The helper kills the program when this end closes.
        drop(reports);
        Ok(status.code().unwrap_or(255))
    };
    let mut process = Process { stdin: None, stdout: None, stderr: None, resize: None, kill, exit: Box::pin(exit) };
    match terminal {
        Some(terminal) => use_terminal(&mut process, terminal, streams)?,
        None => {
            process.stdin = stdin_end.map(sender).transpose()?;
            process.stdout = stdout_end.map(receiver).transpose()?;
            process.stderr = stderr_end.map(receiver).transpose()?;
        }
    }
    Ok(process)
}

fn pipe_if(wanted: bool) -> Outcome<(Option<OwnedFd>, Option<OwnedFd>)> {
    let Some((reading, writing)) = wanted.then(process::pipe).transpose().doing("make a pipe")? else { return Ok((None, None)) };
    Ok((Some(reading), Some(writing)))
}

fn stdio(fd: Option<OwnedFd>) -> Stdio {
    fd.map_or_else(Stdio::null, Stdio::from)
}

fn receiver(fd: OwnedFd) -> Outcome<Reading> {
    Ok(Box::new(pipe::Receiver::from_owned_fd(fd).doing("read the program's output")?))
}

fn sender(fd: OwnedFd) -> Outcome<Writing> {
    Ok(Box::new(pipe::Sender::from_owned_fd(fd).doing("write the program's input")?))
}

/// Hears the helper until the program runs: its number, and its terminal if it has one.
async fn hear(reports: &AsyncFd<OwnedFd>) -> Outcome<(i32, Option<OwnedFd>)> {
    let (mut pid, mut terminal) = (0, None);
    loop {
        let heard = reports.async_io(tokio::io::Interest::READABLE, |socket| socket::receive(socket)).await;
        let (packet, descriptor) = heard.doing("hear the helper")?;
        if packet.is_empty() {
            break;
        }
        match serde_json::from_slice(&packet).map_err(Problem::failed)? {
            Report::Pid(number) => pid = number,
            Report::Terminal => terminal = descriptor,
            Report::User(_) => {}
            // The helper stays to watch its child, so the socket is open: the program's start is told apart from here.
            Report::Running => break,
            Report::Failed(text) => return Err(Problem::Failed(text)),
        }
    }
    if pid == 0 {
        return Err(Problem::failed("the helper ended without a word"));
    }
    Ok((pid, terminal))
}

fn use_terminal(process: &mut Process, terminal: OwnedFd, streams: Streams) -> Outcome<()> {
    process::set_nonblocking(&terminal).doing("use the terminal")?;
    let terminal = Arc::new(crate::sys::watch(std::fs::File::from(terminal)).doing("use the terminal")?);
    process.stdin = streams.stdin.then(|| Box::new(Terminal(terminal.clone())) as Writing);
    process.stdout = Some(Box::new(Terminal(terminal.clone())));
    process.resize = Some(Arc::new(move |columns, rows| drop(process::resize_terminal(terminal.get_ref(), columns, rows))));
    Ok(())
}

/// A terminal's master. Its other side closed (EIO) is the end of the output.
struct Terminal(Arc<AsyncFd<std::fs::File>>);

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        loop {
            let mut guard = std::task::ready!(self.0.poll_read_ready(context))?;
            let read = guard.try_io(|terminal| std::io::Read::read(&mut terminal.get_ref(), buffer.initialize_unfilled()));
            match read {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        loop {
            let mut guard = std::task::ready!(self.0.poll_write_ready(context))?;
            if let Ok(written) = guard.try_io(|terminal| std::io::Write::write(&mut terminal.get_ref(), bytes)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// How much may lie between the keeper and a reader.
const PIPE_BYTES: usize = 64 * 1024;

/// Splits a connection of frames into streams.
fn attached(connection: tokio::io::BufReader<tokio::net::UnixStream>, streams: Streams) -> Process {
    let (mut reading, writing) = tokio::io::split(connection);
    let writing = Arc::new(tokio::sync::Mutex::new(writing));
    let (mut stdout, stdout_end) = tokio::io::duplex(PIPE_BYTES);
    let (mut stderr, stderr_end) = tokio::io::duplex(PIPE_BYTES);
    let demultiplex = async move {
        loop {
            let mut header = [0; frame::HEADER_BYTES];
            reading.read_exact(&mut header).await.doing("hear the container")?;
            let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
            if length > crate::keeper::protocol::LINE_LIMIT_BYTES {
                return Err(Problem::failed("the keeper's frame is too long"));
            }
            let mut data = vec![0; length];
            reading.read_exact(&mut data).await.doing("hear the container")?;
            match header[0] {
                // A reader that has gone does not end the others.
                frame::STDOUT => drop(stdout.write_all(&data).await),
                frame::STDERR => drop(stderr.write_all(&data).await),
                frame::EXIT => return Ok(String::from_utf8_lossy(&data).parse().unwrap_or(255)),
                _ => {}
            }
        }
    };
    let task = tokio::spawn(demultiplex);
    let guard = AbortOnDrop(task);
    let exit = async move { guard.wait().await };
    let resizer = writing.clone();
    let resize = move |columns: u16, rows: u16| {
        let writing = resizer.clone();
        let [a, b] = columns.to_be_bytes();
        let [c, d] = rows.to_be_bytes();
        tokio::spawn(async move { writing.lock().await.write_all(&frame::encode(frame::RESIZE, &[a, b, c, d])).await.ok() });
    };
    Process {
        stdin: streams.stdin.then(|| stdin_frames(writing)),
        stdout: streams.stdout.then(|| Box::new(stdout_end) as Reading),
        stderr: (streams.stderr && !streams.terminal).then(|| Box::new(stderr_end) as Reading),
        resize: streams.terminal.then(|| Arc::new(resize) as Resize),
        kill: Arc::new(|| {}),
        exit: Box::pin(exit),
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<Outcome<i32>>);

impl AbortOnDrop {
    async fn wait(mut self) -> Outcome<i32> {
        (&mut self.0).await.map_err(Problem::failed)?
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A writer whose bytes go to the keeper as frames of input.
fn stdin_frames(writing: Arc<tokio::sync::Mutex<tokio::io::WriteHalf<tokio::io::BufReader<tokio::net::UnixStream>>>>) -> Writing {
    let (near, mut far) = tokio::io::duplex(PIPE_BYTES);
    tokio::spawn(async move {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let (kind, count) = match far.read(&mut buffer).await {
                Ok(0) | Err(_) => (frame::STDIN_END, 0),
                Ok(count) => (frame::STDIN, count),
            };
            let sent = writing.lock().await.write_all(&frame::encode(kind, &buffer[..count])).await;
            if sent.is_err() || kind == frame::STDIN_END {
                return;
            }
        }
    });
    Box::new(near)
}
