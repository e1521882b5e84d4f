//! One netlink message: header, fixed part, attributes. All numbers are in the machine's order unless a protocol says otherwise.
pub const REQUEST: u16 = 0x1;
pub const ACK: u16 = 0x4;
pub const DUMP: u16 = 0x300;
pub const EXCL: u16 = 0x200;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;
pub const REPLACE: u16 = 0x100;

const NESTED: u16 = 0x8000;
pub const HEAD_BYTES: usize = 16;

#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// `fixed` is the protocol's own header (`ifinfomsg`, `nfgenmsg`, …).
    pub fn new(kind: u16, flags: u16, fixed: &[u8]) -> Message {
        let mut bytes = vec![0; HEAD_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes.extend_from_slice(fixed);
        let mut message = Message { bytes };
        message.pad();
        message
    }

    pub fn with_flags(mut self, flags: u16) -> Message {
        let old = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]);
        self.bytes[6..8].copy_from_slice(&(old | flags).to_ne_bytes());
        self
    }

    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Message {
        self.bytes.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// A text with its closing zero.
    pub fn text(self, kind: u16, value: &str) -> Message {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub fn u8(self, kind: u16, value: u8) -> Message {
        self.attribute(kind, &[value])
    }

    pub fn u32(self, kind: u16, value: u32) -> Message {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// In network order, as nftables has its numbers.
    pub fn be32(self, kind: u16, value: u32) -> Message {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub fn be64(self, kind: u16, value: u64) -> Message {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub fn nested(mut self, kind: u16, inside: impl FnOnce(Message) -> Message) -> Message {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        let mut message = inside(self);
        let length = (message.bytes.len() - start) as u16;
        message.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        message
    }

    /// The finished bytes with their length and sequence number.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.len() <= HEAD_BYTES
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A message as it came: kind and payload behind the header.
pub struct Incoming<'a> {
    pub kind: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

/// Splits what one read gave into its messages.
pub fn incoming(mut bytes: &[u8]) -> Vec<Incoming<'_>> {
    let mut messages = Vec::new();
    while let Some(head) = bytes.first_chunk::<HEAD_BYTES>() {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if length < HEAD_BYTES || length > bytes.len() {
            break;
        }
        let kind = u16::from_ne_bytes([head[4], head[5]]);
        let sequence = u32::from_ne_bytes([head[8], head[9], head[10], head[11]]);
        messages.push(Incoming { kind, sequence, payload: &bytes[HEAD_BYTES..length] });
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    messages
}

/// The attributes behind a fixed part.
pub fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some(head) = bytes.first_chunk::<4>() {
        let length = u16::from_ne_bytes([head[0], head[1]]) as usize;
        if length < 4 || length > bytes.len() {
            break;
        }
        found.push((u16::from_ne_bytes([head[2], head[3]]) & !NESTED, &bytes[4..length]));
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let message = Message::new(7, ACK, &[1, 2, 3, 4]).text(1, "ab").nested(2, |inside| inside.u32(3, 9));
        let bytes = message.finish(5);
        let read = incoming(&bytes);
        assert_eq!((read[0].kind, read[0].sequence), (7, 5));
        let attributes = attributes(&read[0].payload[4..]);
        assert_eq!(attributes[0], (1, &b"ab\0"[..]));
        assert_eq!(super::attributes(attributes[1].1), [(3, &9u32.to_ne_bytes()[..])]);
    }
}
