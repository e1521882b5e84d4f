//! exec and attach: moves the bytes between a process and its client, until the process ends or the client goes. An executed program
//! whose client has gone is killed; an attached container goes on.
use crate::exec::{Process, Reading, Streams, Writing};
use crate::problem::{Outcome, Problem};
use crate::runtime::Runtime;
use cri::v1::{AttachRequest, ExecRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use stream::remote_command::{self, Exit, Options, Protocol, Session, Sizes};
use stream::{Input, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

const BUFFER_BYTES: usize = 32 * 1024;
/// A program that has ended may have left its output open to others; so long a silence ends it.
const SILENCE_AFTER_EXIT: Duration = Duration::from_millis(500);
/// A program with a terminal waits so long for the terminal's size, so that it hardly begins without one.
const FIRST_SIZE_LIMIT: Duration = Duration::from_millis(100);

pub async fn exec(runtime: Arc<Runtime>, asked: ExecRequest, io: TokioIo<Upgraded>, protocol: Protocol) {
    let streams = Streams { stdin: asked.stdin, stdout: asked.stdout, stderr: asked.stderr, terminal: asked.tty };
    let Some(mut session) = open(io, protocol, streams).await else { return };
    let size = if asked.tty { tokio::time::timeout(FIRST_SIZE_LIMIT, session.sizes.next()).await.ok().flatten() } else { None };
    let failed = |problem| Exit::Failed(format!("error executing command in container: {problem}"));
    match runtime.exec_process(&asked.container_id, &asked.cmd, streams).await {
        Ok(process) => {
            if let (Some(size), Some(resize)) = (size, &process.resize) {
                resize(size.width, size.height);
            }
            carry(session, process, false, |ended| ended.map_or_else(failed, Exit::Code)).await;
        }
        Err(problem) => {
            let exit = failed(Problem::Failed(format!("failed to exec in container: {problem}")));
            session.end.report(&exit).await;
        }
    }
}

pub async fn attach(runtime: Arc<Runtime>, asked: AttachRequest, io: TokioIo<Upgraded>, protocol: Protocol) {
    let streams = Streams { stdin: asked.stdin, stdout: asked.stdout, stderr: asked.stderr, terminal: asked.tty };
    let Some(session) = open(io, protocol, streams).await else { return };
    let failed = |problem| Exit::Failed(format!("error attaching to container: {problem}"));
    match runtime.attach_process(&asked.container_id, streams).await {
        Ok(process) => {
            // The end of the client's input is that of the container's own only where `stdinOnce` says so; elsewhere it is that of
            // the attachment, and the container waits for the next.
            let once = runtime.container(&asked.container_id).is_ok_and(|container| container.record.lock().config.stdin_once);
            let ends_with_input = process.stdin.is_some() && (asked.tty || !once);
            // How the container ended is told by its status, not here.
            carry(session, process, ends_with_input, |ended| ended.map_or_else(failed, |_| Exit::Code(0))).await;
        }
        Err(problem) => session.end.report(&failed(problem)).await,
    }
}

async fn open(io: TokioIo<Upgraded>, protocol: Protocol, streams: Streams) -> Option<Session> {
    let options = Options { stdin: streams.stdin, stdout: streams.stdout, stderr: streams.stderr, tty: streams.terminal };
    let opened = remote_command::open(io, protocol, options).await;
    opened.inspect_err(|error| tracing::debug!(%error, "a session was not opened")).ok()
}

/// Moves everything until the process or, if so told, its input ends, and reports it.
async fn carry(session: Session, process: Process, ends_with_input: bool, exit: impl FnOnce(Outcome<i32>) -> Exit) {
    let Session { stdin, stdout, stderr, sizes, end } = session;
    let ended = watch::Sender::new(false);
    let outputs = [(process.stdout, stdout), (process.stderr, stderr)].map(|(from, to)| pump_out(from, to, ended.subscribe()));
    let input = async {
        pump_in(stdin, process.stdin).await;
        if !ends_with_input {
            std::future::pending::<()>().await;
        }
    };
    // Kept to the last: without it no more output comes.
    let mut process_end = process.exit;
    let running = async {
        let code = tokio::select! {
            code = &mut process_end => code,
            () = input => Ok(0),
        };
        ended.send_replace(true);
        code
    };
    let sizes = async {
        pump_sizes(sizes, process.resize).await;
        std::future::pending::<()>().await;
    };
    let mut whole = std::pin::pin!(async { futures::join!(running, futures::future::join_all(outputs)) });
    tokio::select! {
        (code, _) = &mut whole => return end.report(&exit(code)).await,
        () = sizes => {}
        () = end.closed() => {}
    }
    (process.kill)();
    tokio::time::timeout(SILENCE_AFTER_EXIT, whole).await.ok();
}

async fn pump_out(from: Option<Reading>, to: Option<Output>, ended: watch::Receiver<bool>) {
    let (Some(mut from), Some(to)) = (from, to) else { return };
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = tokio::select! {
            biased;
            read = from.read(&mut buffer) => read,
            () = silence(ended.clone()) => break,
        };
        match read {
            Ok(count) if count > 0 => {
                if to.send(&buffer[..count]).await.is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    to.finish().await;
}

async fn silence(mut ended: watch::Receiver<bool>) {
    ended.wait_for(|ended| *ended).await.ok();
    tokio::time::sleep(SILENCE_AFTER_EXIT).await;
}

async fn pump_in(from: Option<Input>, to: Option<Writing>) {
    let (Some(mut from), Some(mut to)) = (from, to) else { return };
    while let Some(bytes) = from.next().await {
        if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    // Dropping it closes it: the program sees the end of its input.
    to.shutdown().await.ok();
}

async fn pump_sizes(mut sizes: Sizes, resize: Option<crate::exec::Resize>) {
    let Some(resize) = resize else { return };
    while let Some(size) = sizes.next().await {
        resize(size.width, size.height);
    }
}
