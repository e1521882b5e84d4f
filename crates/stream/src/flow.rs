//! The streams of bytes that a connection carries, and the one queue by which everything leaves it.
//! Every queue is bounded: who does not read makes the other side wait, as TCP does. Neither protocol's own windows are kept,
//! because the clients there are (kubectl's `spdystream`) neither grant nor respect them.
use crate::spdy::Handle;
use crate::websocket::frame as websocket;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

/// The longest piece in which bytes are handed on, either way.
pub const PIECE_LIMIT_BYTES: usize = 32 * 1024;
/// How many pieces may wait for the reader of one stream before the whole connection waits.
const INBOX_LIMIT: usize = 32;
/// How many frames may wait to be written.
const OUTBOX_LIMIT: usize = 16;
/// Pieces this short are copied, so that they do not hold on to a whole read buffer.
const COPY_BELOW_BYTES: usize = 4 * 1024;
/// After so long without a frame the client is pinged: a client that vanished is noticed, though its streams be full and unread.
const PING_PERIOD: Duration = Duration::from_secs(30);
/// How long a finished connection waits for the other side to go first: closing it with unread bytes would discard what was sent.
const LINGER: Duration = Duration::from_secs(5);

/// The other side has closed the stream or the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client has closed the stream")]
pub struct Gone;

/// What the client sends on one stream.
pub struct Input(mpsc::Receiver<Bytes>);

impl Input {
    pub(crate) fn new() -> (mpsc::Sender<Bytes>, Input) {
        let (inbox, pieces) = mpsc::channel(INBOX_LIMIT);
        (inbox, Input(pieces))
    }

    /// The next bytes; `None` once the client has closed the stream or is gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.0.recv().await
    }
}

/// What goes to the client on one stream.
pub struct Output {
    line: Line,
    framing: Framing,
}

pub(crate) enum Framing {
    Channel { number: u8, base64: bool },
    Stream(Handle),
}

impl Output {
    pub(crate) fn new(line: Line, framing: Framing) -> Output {
        Output { line, framing }
    }

    /// Sends bytes, waiting while the client does not read.
    pub async fn send(&self, data: &[u8]) -> Result<(), Gone> {
        for piece in data.chunks(PIECE_LIMIT_BYTES) {
            self.send_piece(piece).await?;
        }
        Ok(())
    }

    /// One frame, even for no bytes at all.
    pub(crate) async fn send_piece(&self, piece: &[u8]) -> Result<(), Gone> {
        let frame = match &self.framing {
            Framing::Channel { number, base64: false } => websocket::encode(websocket::BINARY, &[&[*number], piece], None),
            Framing::Channel { number, base64: true } => {
                let text = STANDARD.encode(piece);
                websocket::encode(websocket::TEXT, &[&[b'0' + *number], text.as_bytes()], None)
            }
            Framing::Stream(handle) => handle.data(piece).ok_or(Gone)?,
        };
        self.line.send(frame).await
    }

    /// No more bytes will come. WebSocket channels have no way to say so; the end of the connection says it.
    pub async fn finish(&self) {
        if let Framing::Stream(handle) = &self.framing
            && let Some(frame) = handle.finish()
        {
            self.line.send(frame).await.ok();
        }
    }

    /// Ends both directions of the stream because something went wrong.
    pub async fn reset(&self) {
        if let Framing::Stream(handle) = &self.framing
            && let Some(frame) = handle.reset()
        {
            self.line.send(frame).await.ok();
        }
    }
}

/// The queue of frames to write. Clones write to the same connection.
#[derive(Clone)]
pub(crate) struct Line {
    frames: mpsc::Sender<Leaving>,
    closed: watch::Receiver<bool>,
}

enum Leaving {
    Frame(Bytes),
    /// Nothing is written after it.
    Last(Bytes),
}

impl Line {
    pub async fn send(&self, frame: Bytes) -> Result<(), Gone> {
        self.frames.send(Leaving::Frame(frame)).await.map_err(|_| Gone)
    }

    pub async fn send_last(&self, frame: Bytes) {
        self.frames.send(Leaving::Last(frame)).await.ok();
    }

    /// Returns when the client is gone.
    pub async fn closed(&self) {
        // The sender goes with the connection.
        self.closed.clone().wait_for(|closed| *closed).await.ok();
    }
}

/// Takes care of a connection in a task of its own: `read` is given the reading half and ends with the client; what is put on the
/// line is written until its last frame, and `ping` whenever it has been silent.
pub(crate) fn carry<IO, Reading>(io: IO, ping: Bytes, read: impl FnOnce(tokio::io::ReadHalf<IO>, Line) -> Reading) -> Line
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
    Reading: Future<Output = ()> + Send + 'static,
{
    let (reading, writing) = tokio::io::split(io);
    let (sender, frames) = mpsc::channel(OUTBOX_LIMIT);
    let (closing, closed) = watch::channel(false);
    let line = Line { frames: sender, closed };
    let reading = read(reading, line.clone());
    tokio::spawn(async move {
        tokio::pin!(reading);
        let writing = write(writing, frames, ping, PING_PERIOD);
        tokio::pin!(writing);
        tokio::select! {
            () = &mut reading => {
                closing.send_replace(true);
                // The reader may have put a farewell on the line.
                tokio::time::timeout(LINGER, writing).await.ok();
            }
            written = &mut writing => {
                closing.send_replace(true);
                if written.is_ok() {
                    tokio::time::timeout(LINGER, reading).await.ok();
                }
            }
        }
    });
    line
}

async fn write(mut io: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<Leaving>, ping: Bytes, period: Duration) -> io::Result<()> {
    loop {
        let frame = match tokio::time::timeout(period, frames.recv()).await {
            Err(_) => ping.clone(),
            Ok(Some(Leaving::Frame(frame))) => frame,
            Ok(Some(Leaving::Last(frame))) => {
                io.write_all(&frame).await?;
                break;
            }
            Ok(None) => break,
        };
        io.write_all(&frame).await?;
        if frames.is_empty() {
            io.flush().await?;
        }
    }
    io.flush().await?;
    io.shutdown().await
}

/// Reads more into the buffer; false at the end of the connection, however it came.
pub(crate) async fn fill(io: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> bool {
    if buffer.capacity() - buffer.len() < COPY_BELOW_BYTES {
        buffer.reserve(PIECE_LIMIT_BYTES);
    }
    matches!(io.read_buf(buffer).await, Ok(count) if count > 0)
}

/// Takes up to `wanted` bytes off the buffer, as one piece.
pub(crate) fn take_piece(buffer: &mut BytesMut, wanted: u64) -> BytesMut {
    let count = buffer.len().min(PIECE_LIMIT_BYTES).min(usize::try_from(wanted).unwrap_or(usize::MAX));
    let piece = buffer.split_to(count);
    if count < COPY_BELOW_BYTES { BytesMut::from(&piece[..]) } else { piece }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_vanished_client_is_noticed_in_silence() {
        let (mut near, far) = tokio::io::duplex(64);
        let (_sender, frames) = mpsc::channel(1);
        let writing = tokio::spawn(write(far, frames, Bytes::from_static(b"ping"), Duration::from_millis(1)));
        let mut heard = [0; 4];
        near.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ping");
        drop(near);
        assert!(writing.await.unwrap().is_err());
    }
}
