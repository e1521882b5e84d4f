//! Reads the client's messages in pieces. Pings are answered, a close is answered and ends it, a frame against the rules ends it with
//! its reason.
use super::frame::{self, Decoder, Event, Piece, Side, Violation};
use crate::flow::{Line, fill};
use bytes::BytesMut;
use tokio::io::AsyncRead;

pub(crate) struct Reader<R> {
    io: R,
    line: Line,
    buffer: BytesMut,
    decoder: Decoder,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(io: R, line: Line) -> Reader<R> {
        Reader { io, line, buffer: BytesMut::new(), decoder: Decoder::new(Side::Server) }
    }

    /// The next piece of a message; `None` when there is nothing more to expect.
    pub async fn next(&mut self) -> Option<Piece> {
        loop {
            match self.decoder.next(&mut self.buffer) {
                Ok(Some(Event::Piece(piece))) => return Some(piece),
                Ok(Some(Event::Ping(data))) => {
                    self.line.send(frame::encode(frame::PONG, &[&data], None)).await.ok();
                }
                Ok(Some(Event::Pong)) => {}
                Ok(Some(Event::Close(code))) => {
                    self.end(code.unwrap_or(frame::close::NORMAL)).await;
                    return None;
                }
                Ok(None) => {
                    if !fill(&mut self.io, &mut self.buffer).await {
                        return None;
                    }
                }
                Err(violation) => {
                    self.refuse(violation).await;
                    return None;
                }
            }
        }
    }

    async fn refuse(&mut self, violation: Violation) {
        tracing::debug!(%violation, "a WebSocket frame was refused");
        self.end(violation.close_code()).await;
    }

    pub async fn end(&mut self, code: u16) {
        self.line.send_last(frame::encode_close(code)).await;
    }
}
