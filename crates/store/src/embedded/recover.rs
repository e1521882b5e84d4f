//! What is on disk becomes the mirror: the newest snapshot, then every log after it. A torn tail, written by a process that died
//! before it could acknowledge, is cut off; anything else that does not fit is damage and stops the start.
use super::directory::{Directory, OpenError, Part, at};
use super::log::{self, Batches, Log, first_chain};
use super::record::{self, Broken, Record, Write};
use super::snapshot;
use crate::expiry::Expiry;
use crate::mirror::Mirror;
use crate::stage::deletion;
use crate::{Change, Revision};
use machinery::object::Stored;
use std::fs;
use std::sync::Arc;

pub struct Recovered {
    pub mirror: Mirror,
    pub expiry: Expiry,
    /// The log to go on with.
    pub log: Log,
}

pub fn recover(directory: &Directory) -> Result<Recovered, OpenError> {
    let newest = directory.snapshots()?.pop();
    let base = newest.as_ref().map_or(0, |part| part.revision);
    let entries = newest.map(|part| snapshot::read(&part.path, part.revision)).transpose()?.unwrap_or_default();
    let mut expiry = Expiry::default();
    for (object, deadline) in entries.iter().filter(|(_, deadline)| *deadline > 0) {
        expiry.add(*deadline, object.key.clone(), object.revision);
    }
    let mirror = Mirror::load(entries.into_iter().map(|(object, _)| object).collect(), base);
    let logs: Vec<Part> = directory.logs()?.into_iter().filter(|part| part.revision >= base).collect();
    let mut log = None;
    for (index, part) in logs.iter().enumerate() {
        let last = index + 1 == logs.len();
        log = Some(replay(part, last, &mirror, &mut expiry)?);
    }
    let log = match log {
        Some((end, chain, batches)) => Log::resume(&logs[logs.len() - 1].path, end, chain, batches)?,
        None => {
            let log = Log::create(&directory.log(base), base)?;
            directory.sync()?;
            log
        }
    };
    Ok(Recovered { mirror, expiry, log })
}

/// Applies one log; gives where its good part ends and what the next record chains on.
fn replay(part: &Part, last: bool, mirror: &Mirror, expiry: &mut Expiry) -> Result<(u64, u32, Batches), OpenError> {
    let bytes = fs::read(&part.path).map_err(at(&part.path))?;
    let corrupt = |offset: usize, what: String| OpenError::Corrupt { path: part.path.clone(), offset: offset as u64, what };
    let Some(batches) = log::read_head(&bytes, part.revision) else {
        return Err(corrupt(0, "it does not begin as a log of this store".into()));
    };
    if part.revision != mirror.revision() {
        return Err(corrupt(
            0,
            format!("it begins after revision {} but the state before it ends at {}", part.revision, mirror.revision()),
        ));
    }
    let (mut offset, mut chain) = (log::HEAD_BYTES, first_chain(part.revision));
    loop {
        offset += batches.skip(&bytes, offset);
        match record::read(&bytes[offset..], chain) {
            Ok((record, length, next)) => {
                apply(record, mirror, expiry).map_err(|what| corrupt(offset, what))?;
                offset += length;
                chain = next;
            }
            Err(Broken::Short) if is_end(&bytes[offset..]) => return Ok((offset as u64, chain, batches)),
            Err(broken) if last && !batches.begins_behind(&bytes, offset) => {
                tracing::warn!(path = %part.path.display(), offset, ?broken, "cut off a write that was never acknowledged");
                return Ok((offset as u64, chain, batches));
            }
            Err(broken) => return Err(corrupt(offset, format!("{broken:?}"))),
        }
    }
}

/// Nothing but the room that was made in advance.
fn is_end(rest: &[u8]) -> bool {
    rest.iter().all(|byte| *byte == 0)
}

fn apply(record: Record, mirror: &Mirror, expiry: &mut Expiry) -> Result<(), String> {
    let revision = record.revision;
    if revision <= mirror.revision() && !record.writes.is_empty() {
        return Err(format!("revision {revision} does not follow {}", mirror.revision()));
    }
    let changes = record.writes.into_iter().map(|write| change(write, revision, mirror, expiry)).collect::<Result<Vec<_>, _>>()?;
    mirror.publish(changes);
    Ok(())
}

fn change(write: Write, revision: Revision, mirror: &Mirror, expiry: &mut Expiry) -> Result<Change, String> {
    match write {
        Write::Delete { key } => {
            expiry.forget(&key);
            let current = mirror.get(&key).ok_or_else(|| format!("it deletes {key}, which is not there"))?;
            Ok(deletion(key, current, revision))
        }
        Write::Put { key, created, revision_at, deadline_ms, template } => {
            match deadline_ms {
                0 => expiry.forget(&key),
                deadline => expiry.add(deadline, key.clone(), revision),
            }
            let previous = mirror.get(&key);
            let object = Arc::new(Stored::publish(key, &template, revision_at, revision, created));
            Ok(Change { revision, object, previous, deleted: false })
        }
    }
}
