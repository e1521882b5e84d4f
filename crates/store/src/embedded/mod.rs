//! The embedded engine: one directory, a log with chained checksums, snapshots, and the mirror for every read.
//! One writer thread gathers transactions while the batch before is being synced (group commit); a write is acknowledged after
//! fdatasync. What is damaged is named and never served.
//!
//! ```text
//! <dir>/FORMAT                 version of what follows
//! <dir>/lock                   held by the one process that may write
//! <dir>/snapshot-<revision>    all objects at that revision
//! <dir>/log-<revision>         transactions after that revision, in order
//! ```
mod directory;
mod log;
mod record;
mod recover;
mod snapshot;
mod writer;

use crate::mirror::Mirror;
use crate::{At, Durability, Error, Op, Outcome, Page, Revision, Store, Watch};
use async_trait::async_trait;
use machinery::object::Stored;
use std::path::Path;
use std::sync::Arc;
use stdx::clock::Clock;

pub use directory::{FORMAT, OpenError};

/// When and how much the engine writes besides the transactions themselves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A snapshot is made when the log since the last one is larger than this and than the objects themselves.
    pub snapshot_after_bytes: u64,
    /// fdatasync before every acknowledgement. Off only for measuring what it costs.
    pub sync: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { snapshot_after_bytes: 64 << 20, sync: true }
    }
}

pub struct Embedded {
    mirror: Arc<Mirror>,
    writer: writer::Handle,
}

impl Embedded {
    /// Opens or creates the store in `dir`; reads all of it.
    pub fn open(dir: &Path, clock: Clock, options: Options) -> Result<Arc<Embedded>, OpenError> {
        let directory = directory::Directory::open(dir)?;
        let recovered = recover::recover(&directory)?;
        let mirror = Arc::new(recovered.mirror);
        let writer = writer::Handle::start(writer::Start {
            directory,
            log: recovered.log,
            expiry: recovered.expiry,
            mirror: mirror.clone(),
            clock,
            options,
        })?;
        Ok(Arc::new(Embedded { mirror, writer }))
    }

    /// Finishes what is queued, syncs, and ends the writer. Later writes are refused.
    pub async fn close(&self) {
        self.writer.close().await;
    }
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, key: &str) -> Result<Option<Arc<Stored>>, Error> {
        Ok(self.mirror.get(key))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize, at: At) -> Result<Page, Error> {
        self.mirror.list(prefix, after, limit, at)
    }

    async fn txn(&self, ops: Vec<Op>, durability: Durability) -> Result<Vec<Outcome>, Error> {
        self.writer.txn(ops, durability).await
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, Error> {
        self.mirror.watch(prefix, after)
    }

    fn revision(&self) -> Revision {
        self.mirror.revision()
    }

    fn count(&self, prefix: &str) -> usize {
        self.mirror.count(prefix)
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.mirror.compact(revision);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
