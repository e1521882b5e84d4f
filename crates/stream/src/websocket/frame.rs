//! WebSocket frames: taken apart piece by piece as bytes arrive, and put together. Pure: no I/O. A long message is never held as a
//! whole, so its length costs no memory.
use crate::flow::take_piece;
use bytes::{BufMut, Bytes, BytesMut};

/// The longest message, fragments together; what the original's library takes.
pub const MESSAGE_LIMIT_BYTES: u64 = 32 * 1024 * 1024;
/// The longest payload of a control frame (RFC 6455, 5.5).
pub const CONTROL_LIMIT_BYTES: u64 = 125;

const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

pub mod close {
    pub const NORMAL: u16 = 1000;
    pub const PROTOCOL_ERROR: u16 = 1002;
    pub const TOO_BIG: u16 = 1009;
    pub const INTERNAL_ERROR: u16 = 1011;
}

/// Who reads: a server takes masked frames only, a client unmasked ones only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Piece(Piece),
    Ping(Bytes),
    Pong,
    Close(Option<u16>),
}

/// A part of a message. Parts of one message come in order and without others between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub last: bool,
    pub data: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("reserved bits are set")]
    ReservedBits,
    #[error("unknown opcode {0}")]
    UnknownOpcode(u8),
    #[error("a control frame is fragmented or too long")]
    BadControlFrame,
    #[error("the frame is masked wrongly for its direction")]
    WrongMask,
    #[error("a message continues that has not begun, or begins within another")]
    WrongFragment,
    #[error("the message is longer than {MESSAGE_LIMIT_BYTES} bytes")]
    TooLong,
}

impl Violation {
    pub fn close_code(self) -> u16 {
        if self == Violation::TooLong { close::TOO_BIG } else { close::PROTOCOL_ERROR }
    }
}

/// `Between` frames until a header is whole; within a data frame until its last byte.
#[derive(Debug)]
enum State {
    Between,
    Within { last: bool, left: u64, mask: Option<[u8; 4]> },
}

#[derive(Debug)]
pub struct Decoder {
    side: Side,
    state: State,
    /// Bytes of the message so far, while one is open.
    message: Option<u64>,
}

impl Decoder {
    pub fn new(side: Side) -> Decoder {
        Decoder { side, state: State::Between, message: None }
    }

    /// The next event in the buffer; `None` when it needs more bytes.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, Violation> {
        if let State::Between = self.state {
            let Some(header) = Header::read(buffer, self.side)? else { return Ok(None) };
            if header.opcode >= CLOSE {
                return Ok(header.take_control(buffer));
            }
            self.begin(&header)?;
            buffer.advance_past(header.length_bytes);
            self.state = State::Within { last: header.last, left: header.payload, mask: header.mask };
        }
        Ok(self.take_data(buffer))
    }

    fn begin(&mut self, header: &Header) -> Result<(), Violation> {
        let so_far = match (header.opcode, self.message) {
            (CONTINUATION, Some(so_far)) => so_far,
            (TEXT | BINARY, None) => 0,
            _ => return Err(Violation::WrongFragment),
        };
        let size = so_far.saturating_add(header.payload);
        if size > MESSAGE_LIMIT_BYTES {
            return Err(Violation::TooLong);
        }
        self.message = (!header.last).then_some(size);
        Ok(())
    }

    fn take_data(&mut self, buffer: &mut BytesMut) -> Option<Event> {
        let State::Within { last, left, mask } = &mut self.state else { return None };
        if *left > 0 && buffer.is_empty() {
            return None;
        }
        let mut data = take_piece(buffer, *left);
        if let Some(mask) = mask {
            apply_mask(&mut data, *mask);
            mask.rotate_left(data.len() % 4);
        }
        *left -= data.len() as u64;
        let (whole, last) = (*left == 0, *last);
        if whole {
            self.state = State::Between;
        }
        Some(Event::Piece(Piece { last: whole && last, data: data.freeze() }))
    }
}

struct Header {
    last: bool,
    opcode: u8,
    mask: Option<[u8; 4]>,
    payload: u64,
    /// The header's own length.
    length_bytes: usize,
}

impl Header {
    fn read(buffer: &[u8], side: Side) -> Result<Option<Header>, Violation> {
        let &[first, second, ref rest @ ..] = buffer else { return Ok(None) };
        let (last, opcode, masked) = (first & 0x80 != 0, first & 0x0f, second & 0x80 != 0);
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(Violation::UnknownOpcode(opcode));
        }
        if masked != (side == Side::Server) {
            return Err(Violation::WrongMask);
        }
        let (payload, width) = match second & 0x7f {
            126 => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 2),
            127 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 8),
            short => (Some(u64::from(short)), 0),
        };
        if opcode >= CLOSE && (!last || second & 0x7f > CONTROL_LIMIT_BYTES as u8) {
            return Err(Violation::BadControlFrame);
        }
        let Some(payload) = payload else { return Ok(None) };
        let mask = if masked {
            let Some(mask) = rest.get(width..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
            Some(*mask)
        } else {
            None
        };
        Ok(Some(Header { last, opcode, mask, payload, length_bytes: 2 + width + if masked { 4 } else { 0 } }))
    }

    /// A control frame is short and taken as a whole.
    fn take_control(&self, buffer: &mut BytesMut) -> Option<Event> {
        let payload = self.payload as usize;
        if buffer.len() < self.length_bytes + payload {
            return None;
        }
        buffer.advance_past(self.length_bytes);
        let mut data = buffer.split_to(payload);
        if let Some(mask) = self.mask {
            apply_mask(&mut data, mask);
        }
        Some(match self.opcode {
            PING => Event::Ping(Bytes::copy_from_slice(&data)),
            PONG => Event::Pong,
            _ => Event::Close(data.first_chunk().map(|code| u16::from_be_bytes(*code))),
        })
    }
}

trait AdvancePast {
    fn advance_past(&mut self, count: usize);
}

impl AdvancePast for BytesMut {
    fn advance_past(&mut self, count: usize) {
        bytes::Buf::advance(self, count);
    }
}

fn apply_mask(data: &mut [u8], mask: [u8; 4]) {
    for (index, byte) in data.iter_mut().enumerate() {
        *byte ^= mask[index % 4];
    }
}

/// One whole message or control frame of the given parts; a client gives a mask.
pub fn encode(opcode: u8, parts: &[&[u8]], mask: Option<[u8; 4]>) -> Bytes {
    encode_fragment(opcode, true, parts, mask)
}

fn encode_fragment(opcode: u8, last: bool, parts: &[&[u8]], mask: Option<[u8; 4]>) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(14 + length);
    frame.put_u8(opcode | if last { 0x80 } else { 0 });
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match length {
        0..=125 => frame.put_u8(masked | length as u8),
        126..=0xffff => {
            frame.put_u8(masked | 126);
            frame.put_u16(length as u16);
        }
        _ => {
            frame.put_u8(masked | 127);
            frame.put_u64(length as u64);
        }
    }
    frame.put_slice(mask.as_ref().map_or(&[], |mask| mask));
    let payload = frame.len();
    for part in parts {
        frame.put_slice(part);
    }
    if let Some(mask) = mask {
        apply_mask(&mut frame[payload..], mask);
    }
    frame.freeze()
}

pub fn ping() -> Bytes {
    encode(PING, &[], None)
}

/// A close frame with its reason's number.
pub fn encode_close(code: u16) -> Bytes {
    encode(CLOSE, &[&code.to_be_bytes()], None)
}

#[cfg(test)]
mod tests;
