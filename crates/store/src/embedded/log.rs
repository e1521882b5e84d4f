//! One log file: appended by the writer, made larger in advance so that a sync need not write the file's length each time.
use super::directory::{OpenError, at};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The file grows by so much at a time.
const GROW_BYTES: u64 = 4 << 20;
/// The first bytes of a log; then come the revision after which it begins, from which the checksums chain, and a random salt.
const MAGIC: &[u8; 8] = b"coxlog\0\x01";
pub const HEAD_BYTES: usize = 24;
const BATCH_MAGIC: &[u8; 8] = b"coxbatch";
pub const BATCH_BYTES: usize = 20;

/// Where each batch begins. A batch is written only after the one before it is on disk: if a batch begins behind a place that cannot
/// be read, that place was acknowledged once and is damage; if none does, it is a write that was never acknowledged.
#[derive(Clone, Copy)]
pub struct Batches {
    /// Makes it impossible to forge a beginning from inside an object.
    salt: u64,
}

impl Batches {
    fn beginning(self, offset: u64) -> [u8; BATCH_BYTES] {
        let mut mark = [0; BATCH_BYTES];
        mark[..8].copy_from_slice(BATCH_MAGIC);
        mark[8..16].copy_from_slice(&offset.to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&self.salt.to_le_bytes()), &mark[..16]);
        mark[16..].copy_from_slice(&checksum.to_le_bytes());
        mark
    }

    /// How many bytes the beginning of a batch takes at `offset`: none if no batch begins there.
    pub fn skip(self, file: &[u8], offset: usize) -> usize {
        if file[offset..].starts_with(&self.beginning(offset as u64)) { BATCH_BYTES } else { 0 }
    }

    /// Does a batch begin anywhere behind `offset`?
    pub fn begins_behind(self, file: &[u8], offset: usize) -> bool {
        let behind = file.get(offset + 1..).unwrap_or_default();
        let mut candidates = behind.windows(BATCH_MAGIC.len()).enumerate().filter(|(_, window)| *window == BATCH_MAGIC);
        candidates.any(|(at, _)| self.skip(file, offset + 1 + at) > 0)
    }
}

/// Reads the head of a log that begins after `revision`.
pub fn read_head(file: &[u8], revision: u64) -> Option<Batches> {
    let head = file.first_chunk::<HEAD_BYTES>()?;
    let salt = head.last_chunk::<8>().map(|salt| u64::from_le_bytes(*salt))?;
    (head[..8] == MAGIC[..] && head[8..16] == revision.to_le_bytes()).then_some(Batches { salt })
}

pub struct Log {
    file: File,
    pub path: PathBuf,
    /// Where the next record goes.
    pub end: u64,
    /// How large the file is.
    room: u64,
    /// The checksum that the next record chains on.
    pub chain: u32,
    batches: Batches,
}

/// What the first record of a log begun after `revision` chains on.
pub fn first_chain(revision: u64) -> u32 {
    crc32c::crc32c(&revision.to_le_bytes())
}

impl Log {
    pub fn create(path: &Path, revision: u64) -> Result<Log, OpenError> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).map_err(at(path))?;
        let salt = RandomState::new().build_hasher().finish();
        let batches = Batches { salt };
        let mut log = Log { file, path: path.into(), end: 0, room: 0, chain: first_chain(revision), batches };
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&revision.to_le_bytes());
        head.extend_from_slice(&salt.to_le_bytes());
        log.append(&head).and_then(|()| log.file.sync_all()).map_err(at(path))?;
        Ok(log)
    }

    /// Goes on with a file whose good part ends at `end`; what follows is cleared.
    pub fn resume(path: &Path, end: u64, chain: u32, batches: Batches) -> Result<Log, OpenError> {
        let file = File::options().read(true).write(true).open(path).map_err(at(path))?;
        file.set_len(end).and_then(|()| file.sync_all()).map_err(at(path))?;
        Ok(Log { file, path: path.into(), end, room: end, chain, batches })
    }

    /// What a batch appended next has to begin with.
    pub fn batch_beginning(&self) -> [u8; BATCH_BYTES] {
        self.batches.beginning(self.end)
    }

    /// Writes behind the last record. On an error nothing counts as written.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.end + bytes.len() as u64;
        if end > self.room {
            let room = end.next_multiple_of(GROW_BYTES);
            rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), self.end, room - self.end)?;
            self.room = room;
        }
        self.file.write_all_at(bytes, self.end)?;
        self.end = end;
        Ok(())
    }

    /// Takes back what was appended after `end`, so that a failed batch leaves no half of itself for a later one to stand behind.
    pub fn take_back(&mut self, end: u64, chain: u32) -> io::Result<()> {
        self.end = end;
        self.chain = chain;
        self.room = end;
        self.file.set_len(end)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
