//! Snapshots: all objects at one revision in a file of chained records, ended by a mark. Written beside the running store under
//! another name and renamed when it is whole and on disk.
use super::directory::{Directory, OpenError, at};
use super::log::first_chain;
use super::record::{self, Write};
use crate::Revision;
use machinery::object::Stored;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

const CHUNK_BYTES: usize = 1 << 20;

/// An object with the moment at which it expires (0: never).
pub type Entry = (Arc<Stored>, i64);

pub fn write(
    directory: &Directory,
    objects: &[Arc<Stored>],
    deadlines: &HashMap<Arc<str>, i64>,
    revision: Revision,
) -> Result<(), OpenError> {
    let path = directory.snapshot(revision);
    let unfinished = path.with_extension("unfinished");
    let save = || -> std::io::Result<()> {
        let mut file = File::create(&unfinished)?;
        let mut chain = first_chain(revision);
        let mut buffer = Vec::with_capacity(CHUNK_BYTES + 4096);
        for object in objects {
            chain = record::put_snapshot_object(&mut buffer, chain, object, deadlines.get(&object.key).copied().unwrap_or(0));
            if buffer.len() >= CHUNK_BYTES {
                file.write_all(&buffer)?;
                buffer.clear();
            }
        }
        record::put_mark(&mut buffer, chain, revision);
        file.write_all(&buffer)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    save().map_err(at(&unfinished))?;
    directory.sync()
}

/// Reads a whole snapshot; anything short of its closing mark is damage.
pub fn read(path: &Path, revision: Revision) -> Result<Vec<Entry>, OpenError> {
    let bytes = fs::read(path).map_err(at(path))?;
    let mut entries = Vec::new();
    let (mut offset, mut chain) = (0, first_chain(revision));
    loop {
        let corrupt = |what: String| OpenError::Corrupt { path: path.into(), offset: offset as u64, what };
        let (record, length, next) = record::read(&bytes[offset..], chain).map_err(|broken| corrupt(format!("{broken:?}")))?;
        if record.writes.is_empty() {
            return match (record.revision == revision, offset + length == bytes.len()) {
                (true, true) => Ok(entries),
                _ => Err(corrupt("the closing mark is not where it belongs".into())),
            };
        }
        for write in record.writes {
            let Write::Put { key, created, revision_at, deadline_ms, template } = write else {
                return Err(corrupt("a snapshot holds no deletions".into()));
            };
            entries.push((Arc::new(Stored::publish(key, &template, revision_at, record.revision, created)), deadline_ms));
        }
        offset += length;
        chain = next;
    }
}
