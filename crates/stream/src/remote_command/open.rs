//! Opens a session on an upgraded connection: WebSocket channels are there at once, SPDY streams are waited for.
use super::{End, Options, Protocol, Session, Sizes, Transport};
use crate::flow::{Framing, Input, Output, carry};
use crate::spdy;
use crate::websocket::Reader;
use crate::websocket::channels::Channels;
use crate::websocket::frame::ping;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long a client may take to open its streams.
const STREAM_CREATION_LIMIT: Duration = Duration::from_secs(30);

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("timed out waiting for client to create streams")]
    TimedOut,
    #[error("the client has gone before its streams were open")]
    Gone,
}

/// Opens the session that was agreed on.
pub async fn open<IO>(io: IO, protocol: Protocol, options: Options) -> Result<Session, OpenError>
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    match protocol.transport {
        Transport::WebSocket { base64 } => Ok(open_channels(io, protocol, options, base64).await),
        Transport::Spdy => {
            let opening = open_streams(spdy::serve(io, |_| Ok(())), protocol, options);
            tokio::time::timeout(STREAM_CREATION_LIMIT, opening).await.unwrap_or(Err(OpenError::TimedOut))
        }
    }
}

async fn open_channels<IO>(io: IO, protocol: Protocol, options: Options, base64: bool) -> Session
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let (stdin_inbox, stdin) = Input::new();
    let (resize_inbox, resizes) = Input::new();
    let mut inboxes = vec![None; usize::from(RESIZE) + 1];
    inboxes[usize::from(STDIN)] = options.stdin.then_some(stdin_inbox);
    inboxes[usize::from(RESIZE)] = Some(resize_inbox);
    let channels = Channels { inboxes, base64, close_signal: protocol.version >= 5 };
    let line = carry(io, ping(), |reading, line| channels.run(Reader::new(reading, line)));
    let output = |number: u8| Output::new(line.clone(), Framing::Channel { number, base64 });
    let session = Session {
        stdin: options.stdin.then_some(stdin),
        stdout: options.stdout.then(|| output(STDOUT)),
        stderr: options.stderr.then(|| output(STDERR)),
        sizes: Sizes::new(Some(resizes)),
        end: End { line: line.clone(), errors: output(ERROR), protocol },
    };
    // An empty message tells the client that the connection stands.
    let first = session.stdout.as_ref().or(session.stderr.as_ref()).unwrap_or(&session.end.errors);
    first.send_piece(&[]).await.ok();
    session
}

async fn open_streams(mut connection: spdy::Connection, protocol: Protocol, options: Options) -> Result<Session, OpenError> {
    let resizes = options.tty && protocol.version >= 3;
    let mut missing = 1 + [options.stdin, options.stdout, options.stderr, resizes].iter().filter(|wanted| **wanted).count();
    let (mut stdin, mut stdout, mut stderr, mut errors, mut sizes) = (None, None, None, None, None);
    while missing > 0 {
        let spdy::Stream { headers, input, output, .. } = connection.next().await.ok_or(OpenError::Gone)?;
        match headers.get("streamtype") {
            Some("error") => errors = Some(output),
            // Our side of it stays open: kubectl takes its end as the end of its own input.
            Some("stdin") => stdin = Some(input),
            Some("stdout") => stdout = Some(output),
            Some("stderr") => stderr = Some(output),
            Some("resize") => sizes = Some(input),
            other => {
                tracing::debug!(?other, "unexpected stream type");
                continue;
            }
        }
        missing -= 1;
    }
    let errors = errors.ok_or(OpenError::Gone)?;
    let end = End { line: connection.line.clone(), errors, protocol };
    Ok(Session { stdin, stdout, stderr, sizes: Sizes::new(sizes), end })
}
