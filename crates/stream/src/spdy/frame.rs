//! SPDY/3 frames: taken apart as bytes arrive, and put together. Pure: no I/O, no headers' compression. Data comes in pieces, so a
//! long frame costs no memory.
use crate::flow::take_piece;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest control frame that is taken.
pub const CONTROL_LIMIT_BYTES: usize = 64 * 1024;
const VERSION: u16 = 3;
const HEADER_BYTES: usize = 8;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

const FIN: u8 = 1;
/// The stream's opener wants no answer on it.
const UNIDIRECTIONAL: u8 = 2;

/// Why a stream ends (RST_STREAM).
pub mod reset {
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const REFUSED_STREAM: u32 = 3;
    pub const CANCEL: u32 = 5;
}

/// Why a connection ends (GOAWAY).
pub mod go_away {
    pub const OK: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A stream opens; `block` holds its headers, compressed.
    Open {
        id: u32,
        finished: bool,
        one_way: bool,
        block: Bytes,
    },
    Reply {
        id: u32,
        finished: bool,
        block: Bytes,
    },
    Headers {
        id: u32,
        finished: bool,
        block: Bytes,
    },
    Reset {
        id: u32,
        status: u32,
    },
    Ping(u32),
    GoAway {
        last: u32,
        status: u32,
    },
    /// A piece of data; `finished` with the last piece of a frame that says so.
    Data {
        id: u32,
        finished: bool,
        data: Bytes,
    },
    /// SETTINGS and WINDOW_UPDATE, which change nothing here.
    Ignored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("version {0} is not SPDY/3")]
    Version(u16),
    #[error("unknown control frame {0}")]
    UnknownFrame(u16),
    #[error("control frame {0} has a bad length")]
    Length(u16),
    #[error("stream 0 does not exist")]
    StreamZero,
}

/// Between frames, or within a frame of data until its last byte.
#[derive(Debug, Default)]
pub struct Decoder {
    within: Option<Data>,
}

#[derive(Debug)]
struct Data {
    id: u32,
    finished: bool,
    left: u32,
}

impl Decoder {
    /// The next frame in the buffer; `None` when it needs more bytes.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Violation> {
        if self.within.is_none() {
            let Some(&[a, b, c, d, flags, ref length @ ..]) = buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
            let length = u32::from_be_bytes([0, length[0], length[1], length[2]]);
            let word = u32::from_be_bytes([a, b, c, d]);
            if word & 0x8000_0000 != 0 {
                return control((word >> 16 & 0x7fff) as u16, word as u16, flags, length as usize, buffer);
            }
            if word == 0 {
                return Err(Violation::StreamZero);
            }
            buffer.advance(HEADER_BYTES);
            self.within = Some(Data { id: word, finished: flags & FIN != 0, left: length });
        }
        Ok(self.take_data(buffer))
    }

    fn take_data(&mut self, buffer: &mut BytesMut) -> Option<Frame> {
        let within = self.within.as_mut()?;
        if within.left > 0 && buffer.is_empty() {
            return None;
        }
        let data = take_piece(buffer, u64::from(within.left)).freeze();
        within.left -= data.len() as u32;
        let whole = within.left == 0;
        let frame = Frame::Data { id: within.id, finished: whole && within.finished, data };
        if whole {
            self.within = None;
        }
        Some(frame)
    }
}

fn control(version: u16, kind: u16, flags: u8, length: usize, buffer: &mut BytesMut) -> Result<Option<Frame>, Violation> {
    if version != VERSION {
        return Err(Violation::Version(version));
    }
    // Told by the header alone, so that nothing is gathered for a frame that is refused.
    let fits = match kind {
        SYN_STREAM => length >= 10,
        SYN_REPLY | HEADERS | SETTINGS => length >= 4,
        RST_STREAM | GOAWAY | WINDOW_UPDATE => length == 8,
        PING => length == 4,
        _ => return Err(Violation::UnknownFrame(kind)),
    };
    if !fits || length > CONTROL_LIMIT_BYTES {
        return Err(Violation::Length(kind));
    }
    if buffer.len() < HEADER_BYTES + length {
        return Ok(None);
    }
    buffer.advance(HEADER_BYTES);
    let mut body = buffer.split_to(length).freeze();
    let first = body.get_u32() & 0x7fff_ffff;
    if first == 0 && !matches!(kind, SETTINGS | GOAWAY | WINDOW_UPDATE | PING) {
        return Err(Violation::StreamZero);
    }
    let finished = flags & FIN != 0;
    Ok(Some(match kind {
        SYN_STREAM => Frame::Open { id: first, finished, one_way: flags & UNIDIRECTIONAL != 0, block: body.slice(6..) },
        SYN_REPLY => Frame::Reply { id: first, finished, block: body },
        HEADERS => Frame::Headers { id: first, finished, block: body },
        RST_STREAM => Frame::Reset { id: first, status: body.get_u32() },
        PING => Frame::Ping(first),
        GOAWAY => Frame::GoAway { last: first, status: body.get_u32() },
        _ => Frame::Ignored,
    }))
}

fn encode_control(kind: u16, flags: u8, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + length);
    frame.put_u16(0x8000 | VERSION);
    frame.put_u16(kind);
    frame.put_u32(u32::from(flags) << 24 | length as u32);
    for part in parts {
        frame.put_slice(part);
    }
    frame.freeze()
}

fn flag(finished: bool) -> u8 {
    if finished { FIN } else { 0 }
}

/// A stream opens, of the highest priority.
pub fn encode_open(id: u32, finished: bool, block: &[u8]) -> Bytes {
    encode_control(SYN_STREAM, flag(finished), &[&id.to_be_bytes(), &[0; 6], block])
}

pub fn encode_reply(id: u32, block: &[u8]) -> Bytes {
    encode_control(SYN_REPLY, 0, &[&id.to_be_bytes(), block])
}

pub fn encode_reset(id: u32, status: u32) -> Bytes {
    encode_control(RST_STREAM, 0, &[&id.to_be_bytes(), &status.to_be_bytes()])
}

pub fn encode_ping(id: u32) -> Bytes {
    encode_control(PING, 0, &[&id.to_be_bytes()])
}

pub fn encode_go_away(last: u32, status: u32) -> Bytes {
    encode_control(GOAWAY, 0, &[&last.to_be_bytes(), &status.to_be_bytes()])
}

/// At most 2^24 - 1 bytes.
pub fn encode_data(id: u32, finished: bool, data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + data.len());
    frame.put_u32(id);
    frame.put_u32(u32::from(flag(finished)) << 24 | data.len() as u32);
    frame.put_slice(data);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn decode(chunks: &[&[u8]]) -> String {
        let (mut decoder, mut buffer, mut lines) = (Decoder::default(), BytesMut::new(), Vec::new());
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            loop {
                match decoder.next(&mut buffer) {
                    Ok(Some(frame)) => lines.push(format!("{frame:?}")),
                    Ok(None) => break,
                    Err(violation) => return lines.into_iter().chain([format!("refused: {violation}")]).collect::<Vec<_>>().join("\n"),
                }
            }
        }
        lines.join("\n")
    }

    fn check(bytes: &[u8], expected: Expect) {
        expected.assert_eq(&decode(&[bytes]));
        // The arrival's cut is of no meaning but for data.
        if !decode(&[bytes]).contains("Data") {
            let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(decode(&pieces), decode(&[bytes]));
        }
    }

    #[test]
    fn frames_come_back() {
        let frames = [
            encode_open(1, false, b"block"),
            encode_open(3, true, b""),
            encode_reply(1, b"block"),
            encode_data(1, false, b"hello"),
            encode_data(1, true, b""),
            encode_reset(3, reset::CANCEL),
            encode_ping(7),
            encode_control(SETTINGS, 0, &[&[0, 0, 0, 0]]),
            encode_control(WINDOW_UPDATE, 0, &[&[0, 0, 0, 1, 0, 1, 0, 0]]),
            encode_go_away(3, go_away::OK),
        ];
        check(
            &frames.concat(),
            expect![[r#"
                Open { id: 1, finished: false, one_way: false, block: b"block" }
                Open { id: 3, finished: true, one_way: false, block: b"" }
                Reply { id: 1, finished: false, block: b"block" }
                Data { id: 1, finished: false, data: b"hello" }
                Data { id: 1, finished: true, data: b"" }
                Reset { id: 3, status: 5 }
                Ping(7)
                Ignored
                Ignored
                GoAway { last: 3, status: 0 }"#]],
        );
        // RST_STREAM as the draft draws it (2.6.3).
        assert_eq!(encode_reset(1, 5)[..], [0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 5]);
    }

    #[test]
    fn frames_against_the_rules_are_refused() {
        check(&[0x80, 2, 0, 1, 0, 0, 0, 10], expect!["refused: version 2 is not SPDY/3"]);
        check(&[0x80, 3, 0, 5, 0, 0, 0, 0], expect!["refused: unknown control frame 5"]);
        check(&[0x80, 3, 0, 1, 0, 0, 0, 9], expect!["refused: control frame 1 has a bad length"]);
        check(&[0x80, 3, 0, 2, 0, 0xff, 0xff, 0xff], expect!["refused: control frame 2 has a bad length"]);
        check(&[0, 0, 0, 0, 0, 0, 0, 1], expect!["refused: stream 0 does not exist"]);
        check(&encode_open(0, false, b""), expect!["refused: stream 0 does not exist"]);
    }

    #[test]
    fn data_comes_in_pieces() {
        let long = encode_data(5, true, &[7; 100_000]);
        let (mut decoder, mut buffer, mut got) = (Decoder::default(), BytesMut::from(&long[..]), 0);
        while let Some(Frame::Data { id: 5, finished, data }) = decoder.next(&mut buffer).unwrap() {
            assert!(data.len() <= crate::flow::PIECE_LIMIT_BYTES);
            got += data.len();
            assert_eq!(finished, got == 100_000);
        }
        assert_eq!(got, 100_000);
    }
}
