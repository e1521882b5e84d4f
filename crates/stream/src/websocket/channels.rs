//! Channels: each message begins with the number of the stream that the rest of it belongs to, plain or as base64 text. In protocol
//! v5 the number 255 closes the stream that is named after it.
use super::Reader;
use super::frame::{Piece, close};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

/// The longest message in base64: it is decoded as a whole.
const BASE64_LIMIT_BYTES: usize = 1024 * 1024;
const CLOSE_SIGNAL: u8 = 255;

/// Where incoming bytes go, by channel. `None` and numbers beyond are ignored.
pub(crate) struct Channels {
    pub inboxes: Vec<Option<mpsc::Sender<Bytes>>>,
    pub base64: bool,
    /// Protocol v5: the client can close one stream.
    pub close_signal: bool,
}

/// The place within a message. `Start` → `Within` its channel, or → `Closing` until the channel is named → `Closed`.
#[derive(Clone, Copy)]
enum Place {
    Start,
    Within(u8),
    Closing,
    Closed,
}

impl Channels {
    /// Hands out what arrives until the client goes.
    pub async fn run<R: AsyncRead + Unpin>(mut self, mut reader: Reader<R>) {
        let (mut place, mut text) = (Place::Start, BytesMut::new());
        while let Some(piece) = reader.next().await {
            let well = if self.base64 { self.take_text(&piece, &mut text).await } else { self.take(piece, &mut place).await };
            if let Err(code) = well {
                return reader.end(code).await;
            }
        }
    }

    async fn take(&mut self, piece: Piece, place: &mut Place) -> Result<(), u16> {
        let mut data = piece.data;
        while data.has_remaining() {
            match *place {
                Place::Start => {
                    let number = data.get_u8();
                    *place = if self.close_signal && number == CLOSE_SIGNAL { Place::Closing } else { Place::Within(number) };
                }
                Place::Within(number) => self.deliver(number, std::mem::take(&mut data)).await,
                Place::Closing => {
                    let inbox = self.inboxes.get_mut(usize::from(data.get_u8())).ok_or(close::PROTOCOL_ERROR)?;
                    *inbox = None;
                    *place = Place::Closed;
                }
                Place::Closed => return Err(close::PROTOCOL_ERROR),
            }
        }
        if piece.last {
            if let Place::Closing = place {
                return Err(close::PROTOCOL_ERROR);
            }
            *place = Place::Start;
        }
        Ok(())
    }

    async fn take_text(&mut self, piece: &Piece, text: &mut BytesMut) -> Result<(), u16> {
        if text.len() + piece.data.len() > BASE64_LIMIT_BYTES {
            return Err(close::TOO_BIG);
        }
        text.extend_from_slice(&piece.data);
        if !piece.last {
            return Ok(());
        }
        let message = text.split();
        // As the original does, a message that cannot be read is left out and the next one is tried.
        if let Some((number, encoded)) = message.split_first()
            && let Some(number) = number.checked_sub(b'0')
            && let Ok(data) = STANDARD.decode(encoded)
        {
            self.deliver(number, data.into()).await;
        }
        Ok(())
    }

    async fn deliver(&self, number: u8, data: Bytes) {
        if let Some(Some(inbox)) = self.inboxes.get(usize::from(number))
            && !data.is_empty()
        {
            // Nobody reads it any more: left out.
            inbox.send(data).await.ok();
        }
    }
}
