//! The daemon's way to the keeper: finds or starts it, asks, and hears of exits. One short connection per question.
use crate::keeper::protocol::{Exit, Held, LINE_LIMIT_BYTES, Reply, Request};
use crate::keeper::{KEEPER, SOCKET};
use crate::problem::{Doing, Outcome, Problem};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// How long a new keeper may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct KeeperClient {
    state: PathBuf,
    program: PathBuf,
}

pub type Lines = tokio::io::Take<BufReader<UnixStream>>;

impl KeeperClient {
    /// Connects to the keeper of the state folder, starting one if there is none.
    pub async fn open(state: &Path, program: &Path) -> Outcome<KeeperClient> {
        let client = KeeperClient { state: state.to_owned(), program: program.to_owned() };
        client.ensure().await?;
        Ok(client)
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    async fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.state.join(SOCKET)).await
    }

    pub async fn ensure(&self) -> Outcome<()> {
        if self.connect().await.is_ok() {
            return Ok(());
        }
        let mut command = tokio::process::Command::new(&self.program);
        command.arg(KEEPER).arg(&self.state).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let ended = command.stderr(std::process::Stdio::null()).status().await.doing("start the keeper")?;
        let started = tokio::time::Instant::now();
        while started.elapsed() < START_LIMIT {
            if self.connect().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let why = std::fs::read_to_string(self.state.join("keeper.error")).unwrap_or_default();
        Err(Problem::failed(format_args!("the keeper does not answer ({ended}): {why}")))
    }

    /// Asks one question.
    pub async fn ask(&self, request: &Request) -> Outcome<Reply> {
        let mut lines = self.open_with(request).await?;
        next_reply(&mut lines).await?.ok_or_else(|| Problem::failed("the keeper hung up"))
    }

    async fn open_with(&self, request: &Request) -> Outcome<Lines> {
        let mut stream = self.connect().await.doing("connect to the keeper")?;
        let mut line = serde_json::to_vec(request).map_err(Problem::failed)?;
        line.push(b'\n');
        stream.write_all(&line).await.doing("ask the keeper")?;
        Ok(BufReader::new(stream).take(LINE_LIMIT_BYTES as u64))
    }

    async fn done(&self, request: &Request) -> Outcome<()> {
        match self.ask(request).await? {
            Reply::Failed(text) => Err(Problem::Failed(text)),
            Reply::NotFound(text) => Err(Problem::NotFound(text)),
            _ => Ok(()),
        }
    }

    pub async fn signal(&self, id: &str, signal: i32) -> Outcome<()> {
        self.done(&Request::Signal { id: id.into(), signal }).await
    }

    pub async fn reopen_log(&self, id: &str) -> Outcome<()> {
        self.done(&Request::ReopenLog { id: id.into() }).await
    }

    pub async fn forget(&self, id: &str) -> Outcome<()> {
        self.done(&Request::Forget { id: id.into() }).await
    }

    pub async fn quit(&self) -> Outcome<()> {
        self.done(&Request::Quit).await
    }

    pub async fn list(&self) -> Outcome<Vec<Held>> {
        match self.ask(&Request::List).await? {
            Reply::Held(held) => Ok(held),
            other => Err(Problem::failed(format_args!("the keeper answered {other:?}"))),
        }
    }

    /// A connection on which `next_exit` hears of every exit from now on.
    pub async fn subscribe(&self) -> Outcome<Lines> {
        let mut lines = self.open_with(&Request::Subscribe).await?;
        next_reply(&mut lines).await?;
        Ok(lines)
    }

    /// A connection that carries frames of the container's input and output.
    pub async fn attach(&self, id: &str, stdin: bool, stdout: bool, stderr: bool) -> Outcome<BufReader<UnixStream>> {
        let mut lines = self.open_with(&Request::Attach { id: id.into(), stdin, stdout, stderr }).await?;
        match next_reply(&mut lines).await? {
            Some(Reply::Done) => Ok(lines.into_inner()),
            Some(Reply::Failed(text) | Reply::NotFound(text)) => Err(Problem::Failed(text)),
            other => Err(Problem::failed(format_args!("the keeper answered {other:?}"))),
        }
    }
}

/// The next exit; `None` when the keeper is gone.
pub async fn next_exit(lines: &mut Lines) -> Outcome<Option<Exit>> {
    loop {
        match next_reply(lines).await? {
            Some(Reply::Exited(exit)) => return Ok(Some(exit)),
            Some(_) => {}
            None => return Ok(None),
        }
    }
}

async fn next_reply(lines: &mut Lines) -> Outcome<Option<Reply>> {
    let mut line = Vec::new();
    lines.set_limit(16 * LINE_LIMIT_BYTES as u64);
    if lines.read_until(b'\n', &mut line).await.doing("hear the keeper")? == 0 {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| Problem::failed(format_args!("the keeper's answer: {error}")))
}
