//! One SPDY connection: the streams that the client opens, each an input and an output. One task reads and hands out, one queue
//! leaves. A frame against the rules ends the connection, a stream against the rules ends alone.
use super::frame::{self, Decoder, Frame, go_away, reset};
use super::headers::{Headers, Packer, Unpacker};
use crate::flow::{Framing, Input, Line, Output, carry, fill};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// How many streams of one connection may be open.
pub const STREAMS_LIMIT: usize = 1000;
/// How many opened streams may wait to be taken.
const ACCEPT_LIMIT: usize = 8;

/// The server's pings have even numbers.
const OUR_PING: u32 = 2;

/// Says why a stream with such headers is refused.
pub type Check = fn(&Headers) -> Result<(), String>;

pub struct Connection {
    opened: mpsc::Receiver<Stream>,
    pub(crate) line: Line,
}

/// A stream that the client has opened and that has been replied to.
pub struct Stream {
    pub id: u32,
    pub headers: Headers,
    pub input: Input,
    pub output: Output,
}

impl Connection {
    /// The next stream that the client opens; `None` when it is gone.
    pub async fn next(&mut self) -> Option<Stream> {
        self.opened.recv().await
    }
}

/// Speaks SPDY on an upgraded connection.
pub fn serve<IO: AsyncRead + AsyncWrite + Send + 'static>(io: IO, check: Check) -> Connection {
    let (opening, opened) = mpsc::channel(ACCEPT_LIMIT);
    let line = carry(io, frame::encode_ping(OUR_PING), |reading, line| Server::new(line, check, opening).run(reading));
    Connection { opened, line }
}

/// The farewell of a connection that has done what it was for.
pub(crate) fn farewell() -> Bytes {
    frame::encode_go_away(0, go_away::OK)
}

#[derive(Default)]
struct Table(Mutex<HashMap<u32, Entry>>);

struct Entry {
    /// Where its bytes go, until the client has finished.
    inbox: Option<mpsc::Sender<Bytes>>,
    /// Our side has not finished.
    open: bool,
}

impl Table {
    /// Changes an entry, and forgets it when neither side has more to say.
    fn change<T>(&self, id: u32, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut entries = self.0.lock();
        let entry = entries.get_mut(&id)?;
        let changed = change(entry);
        if entry.inbox.is_none() && !entry.open {
            entries.remove(&id);
        }
        Some(changed)
    }
}

/// Our side of one stream.
pub(crate) struct Handle {
    id: u32,
    table: Arc<Table>,
}

impl Handle {
    /// `None` when the stream is closed.
    pub fn data(&self, data: &[u8]) -> Option<Bytes> {
        let open = self.table.0.lock().get(&self.id).is_some_and(|entry| entry.open);
        open.then(|| frame::encode_data(self.id, false, data))
    }

    pub fn finish(&self) -> Option<Bytes> {
        let was_open = self.table.change(self.id, |entry| std::mem::take(&mut entry.open))?;
        was_open.then(|| frame::encode_data(self.id, true, &[]))
    }

    pub fn reset(&self) -> Option<Bytes> {
        self.table.0.lock().remove(&self.id)?;
        Some(frame::encode_reset(self.id, reset::CANCEL))
    }
}

struct Server {
    line: Line,
    check: Check,
    opening: mpsc::Sender<Stream>,
    table: Arc<Table>,
    packer: Packer,
    unpacker: Unpacker,
    last_id: u32,
    /// The client has said that it opens no more.
    gone_away: bool,
}

/// The connection cannot go on.
struct Broken(String);

impl Server {
    fn new(line: Line, check: Check, opening: mpsc::Sender<Stream>) -> Server {
        let (packer, unpacker) = (Packer::default(), Unpacker::default());
        Server { line, check, opening, table: Arc::default(), packer, unpacker, last_id: 0, gone_away: false }
    }

    async fn run(mut self, mut io: impl AsyncRead + Unpin) {
        let (mut buffer, mut decoder) = (BytesMut::new(), Decoder::default());
        loop {
            let handled = match decoder.next(&mut buffer) {
                Ok(Some(frame)) => self.handle(frame).await,
                Ok(None) if fill(&mut io, &mut buffer).await => Ok(()),
                Ok(None) => break,
                Err(violation) => Err(Broken(violation.to_string())),
            };
            if let Err(Broken(why)) = handled {
                tracing::debug!(why, "a SPDY connection was refused");
                self.line.send_last(frame::encode_go_away(self.last_id, go_away::PROTOCOL_ERROR)).await;
                break;
            }
        }
        self.table.0.lock().clear();
    }

    async fn handle(&mut self, frame: Frame) -> Result<(), Broken> {
        match frame {
            Frame::Open { id, finished, one_way, block } => {
                let headers = self.unpack(&block)?;
                self.open(id, finished, one_way, headers).await;
            }
            // The server opens none, so a reply answers nothing; but its headers belong to the compressed stream.
            Frame::Reply { block, .. } => drop(self.unpack(&block)?),
            Frame::Headers { id, finished, block } => {
                self.unpack(&block)?;
                self.finish_input(id, finished);
            }
            Frame::Data { id, finished, data } => {
                self.deliver(id, data).await;
                self.finish_input(id, finished);
            }
            Frame::Reset { id, .. } => drop(self.table.0.lock().remove(&id)),
            // The client's have odd numbers; an even one would be the answer to ours.
            Frame::Ping(id) if id % 2 == 1 => self.send(frame::encode_ping(id)).await,
            Frame::GoAway { .. } => self.gone_away = true,
            Frame::Ping(_) | Frame::Ignored => {}
        }
        Ok(())
    }

    fn unpack(&mut self, block: &[u8]) -> Result<Headers, Broken> {
        self.unpacker.unpack(block).map_err(|bad| Broken(bad.to_string()))
    }

    /// A connection that is being closed takes no more; what the client still says is heard out.
    async fn send(&self, frame: Bytes) {
        self.line.send(frame).await.ok();
    }

    async fn open(&mut self, id: u32, finished: bool, one_way: bool, headers: Headers) {
        if id.is_multiple_of(2) || id <= self.last_id {
            return self.send(frame::encode_reset(id, reset::PROTOCOL_ERROR)).await;
        }
        self.last_id = id;
        if self.gone_away || self.table.0.lock().len() >= STREAMS_LIMIT {
            return self.send(frame::encode_reset(id, reset::REFUSED_STREAM)).await;
        }
        if let Err(why) = (self.check)(&headers) {
            tracing::debug!(id, why, "a stream was refused");
            return self.send(frame::encode_reset(id, reset::CANCEL)).await;
        }
        let (inbox, input) = Input::new();
        self.table.0.lock().insert(id, Entry { inbox: (!finished).then_some(inbox), open: !one_way });
        let block = self.packer.pack(&Headers::default());
        self.send(frame::encode_reply(id, &block)).await;
        let output = Output::new(self.line.clone(), Framing::Stream(Handle { id, table: self.table.clone() }));
        // Nobody takes streams any more: it stays open and silent until the connection ends.
        self.opening.send(Stream { id, headers, input, output }).await.ok();
    }

    async fn deliver(&self, id: u32, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let inbox = self.table.0.lock().get(&id).and_then(|entry| entry.inbox.clone());
        if let Some(inbox) = inbox {
            // A reader that has gone does not end the others.
            inbox.send(data).await.ok();
        }
    }

    fn finish_input(&self, id: u32, finished: bool) {
        if finished {
            self.table.change(id, |entry| entry.inbox = None);
        }
    }
}
