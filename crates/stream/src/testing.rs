//! The other ends, as small as tests need them: a WebSocket client and a SPDY client over any connection.
use crate::spdy::frame::{self as spdy, Frame};
use crate::spdy::headers::{Headers, Packer, Unpacker};
use crate::websocket::frame::{self as websocket, Event, Side};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MASK: [u8; 4] = [1, 2, 3, 4];

pub struct WebSocketClient<IO> {
    pub io: IO,
    buffer: BytesMut,
    decoder: websocket::Decoder,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> WebSocketClient<IO> {
    pub fn new(io: IO) -> Self {
        WebSocketClient { io, buffer: BytesMut::new(), decoder: websocket::Decoder::new(Side::Client) }
    }

    pub async fn send(&mut self, opcode: u8, data: &[u8]) {
        self.io.write_all(&websocket::encode(opcode, &[data], Some(MASK))).await.unwrap();
    }

    pub async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.decoder.next(&mut self.buffer).unwrap() {
                return Some(event);
            }
            if self.io.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next whole message; `None` at a close or the end.
    pub async fn message(&mut self) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            match self.event().await? {
                Event::Piece(piece) => {
                    message.extend_from_slice(&piece.data);
                    if piece.last {
                        return Some(message);
                    }
                }
                Event::Close(_) => return None,
                _ => {}
            }
        }
    }
}

pub struct SpdyClient<IO> {
    pub io: IO,
    buffer: BytesMut,
    decoder: spdy::Decoder,
    packer: Packer,
    unpacker: Unpacker,
    next_id: u32,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> SpdyClient<IO> {
    pub fn new(io: IO) -> Self {
        let (decoder, packer, unpacker) = Default::default();
        SpdyClient { io, buffer: BytesMut::new(), decoder, packer, unpacker, next_id: 1 }
    }

    pub async fn write(&mut self, bytes: Bytes) {
        self.io.write_all(&bytes).await.unwrap();
    }

    /// Opens a stream and waits for the reply.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let id = self.open_unanswered(headers).await;
        match self.frame().await {
            Some(Frame::Reply { id: replied, block, .. }) if replied == id => assert!(self.unpacker.unpack(&block).is_ok()),
            other => panic!("{other:?}"),
        }
        id
    }

    pub async fn open_unanswered(&mut self, headers: &[(&str, &str)]) -> u32 {
        let id = self.next_id;
        self.next_id += 2;
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let block = self.packer.pack(&Headers(headers));
        self.write(spdy::encode_open(id, false, &block)).await;
        id
    }

    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            if self.io.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// All data of a stream until it or the connection ends; that of others is left out.
    pub async fn rest(&mut self, stream: u32) -> String {
        let mut all = Vec::new();
        while let Some(frame) = self.frame().await {
            match frame {
                Frame::Data { id, finished, data } if id == stream => {
                    all.extend_from_slice(&data);
                    if finished {
                        break;
                    }
                }
                Frame::Reset { id, .. } if id == stream => break,
                _ => {}
            }
        }
        String::from_utf8(all).unwrap()
    }
}
