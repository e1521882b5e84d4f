//! Records: how transactions and snapshots stand in files. Every record carries a checksum over its own bytes and the checksum
//! of the record before it, so a missing, moved or changed record breaks the chain where it stands.
//!
//! ```text
//! record  = length u32 | checksum u32 | payload         (little endian)
//! payload = kind u8 | …
//! ```
use crate::stage::Staged;
use machinery::object::Stored;
use std::sync::Arc;

pub const HEAD_BYTES: usize = 8;
/// A record larger than this is damage, not data.
pub const MAX_RECORD_BYTES: usize = 256 << 20;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// One write as files hold it.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Put { key: Arc<str>, created: u64, revision_at: u32, deadline_ms: i64, template: Vec<u8> },
    Delete { key: Arc<str> },
}

/// Writes of one revision: a transaction in a log, one object in a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub revision: u64,
    pub writes: Vec<Write>,
}

#[derive(Debug, PartialEq)]
pub enum Broken {
    /// Fewer bytes than the record says, or the zeros of a file that was made larger in advance.
    Short,
    Checksum,
    Content(&'static str),
}

/// Appends the transaction to `out`; gives the checksum that the next record chains on.
pub fn put_transaction(out: &mut Vec<u8>, chain: u32, revision: u64, staged: &[Staged], now_ms: i64) -> u32 {
    frame(out, chain, |out| {
        out.extend_from_slice(&revision.to_le_bytes());
        out.extend_from_slice(&(staged.len() as u32).to_le_bytes());
        for Staged { change, ttl } in staged {
            match change.deleted {
                true => {
                    out.push(DELETE);
                    put_bytes(out, change.object.key.as_bytes());
                }
                false => put_object(out, &change.object, ttl.map_or(0, |ttl| now_ms + ttl.as_millis() as i64)),
            }
        }
    })
}

/// Appends one object of a snapshot.
pub fn put_snapshot_object(out: &mut Vec<u8>, chain: u32, object: &Stored, deadline_ms: i64) -> u32 {
    frame(out, chain, |out| {
        out.extend_from_slice(&object.revision.to_le_bytes());
        out.extend_from_slice(&1u32.to_le_bytes());
        put_object(out, object, deadline_ms);
    })
}

/// Appends an empty record: a mark at `revision` (the end of a snapshot, a clean end of a log).
pub fn put_mark(out: &mut Vec<u8>, chain: u32, revision: u64) -> u32 {
    frame(out, chain, |out| {
        out.extend_from_slice(&revision.to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
    })
}

fn frame(out: &mut Vec<u8>, chain: u32, payload: impl FnOnce(&mut Vec<u8>)) -> u32 {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    payload(out);
    let length = (out.len() - start - HEAD_BYTES) as u32;
    let checksum = crc32c::crc32c_append(chain, &out[start + HEAD_BYTES..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_object(out: &mut Vec<u8>, object: &Stored, deadline_ms: i64) {
    out.push(PUT);
    put_bytes(out, object.key.as_bytes());
    out.extend_from_slice(&object.created.to_le_bytes());
    out.extend_from_slice(&object.revision_at.to_le_bytes());
    out.extend_from_slice(&deadline_ms.to_le_bytes());
    put_bytes(out, &object.template());
}

/// Reads the record at the start of `bytes`; gives it with its length in the file and its checksum.
pub fn read(bytes: &[u8], chain: u32) -> Result<(Record, usize, u32), Broken> {
    let head = bytes.get(..HEAD_BYTES).ok_or(Broken::Short)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (length, expected) = (word(0) as usize, word(4));
    if length == 0 {
        return Err(Broken::Short);
    }
    if length > MAX_RECORD_BYTES {
        return Err(Broken::Content("its length is impossible"));
    }
    let payload = bytes.get(HEAD_BYTES..HEAD_BYTES + length).ok_or(Broken::Short)?;
    let checksum = crc32c::crc32c_append(chain, payload);
    if checksum != expected {
        return Err(Broken::Checksum);
    }
    let record = parse(payload).ok_or(Broken::Content("its checksum is right but its content is not a record"))?;
    Ok((record, HEAD_BYTES + length, checksum))
}

fn parse(mut payload: &[u8]) -> Option<Record> {
    let from = &mut payload;
    let revision = u64::from_le_bytes(take(from)?);
    let count = u32::from_le_bytes(take(from)?);
    let mut writes = Vec::with_capacity(count.min(1024) as usize);
    for _ in 0..count {
        writes.push(parse_write(from)?);
    }
    payload.is_empty().then_some(Record { revision, writes })
}

fn parse_write(from: &mut &[u8]) -> Option<Write> {
    let [kind] = take(from)?;
    let key: Arc<str> = std::str::from_utf8(take_bytes(from)?).ok()?.into();
    match kind {
        DELETE => Some(Write::Delete { key }),
        PUT => {
            let created = u64::from_le_bytes(take(from)?);
            let revision_at = u32::from_le_bytes(take(from)?);
            let deadline_ms = i64::from_le_bytes(take(from)?);
            let template = take_bytes(from)?.to_vec();
            (revision_at as usize <= template.len()).then_some(Write::Put { key, created, revision_at, deadline_ms, template })
        }
        _ => None,
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*head)
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(from)?) as usize;
    let (head, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let object = Stored::publish("/registry/x/a".into(), br#"{"metadata":{"resourceVersion":""}}"#, 32, 5, 5);
        let mut file = Vec::new();
        let chain = put_snapshot_object(&mut file, 7, &object, 99);
        put_mark(&mut file, chain, 5);
        let (record, length, next) = read(&file, 7).unwrap();
        assert_eq!((record.revision, next), (5, chain));
        assert!(read(&file[length..], next).unwrap().0.writes.is_empty());
        for bit in 0..length * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let outcome = read(&flipped, 7);
            assert!(outcome.is_err(), "bit {bit} flipped unseen");
        }
    }
}
