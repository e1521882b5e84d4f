//! The storage port: keys to encoded objects at one growing revision. Two engines: `memory` (tests, simulation) and `embedded`
//! (a directory on disk); etcd is a third behind the same trait. `suite` is what every engine must pass.
//! It knows nothing of kinds, requests or users.
pub mod embedded;
pub mod expiry;
pub mod history;
pub mod memory;
pub mod mirror;
pub mod stage;
pub mod suite;

use async_trait::async_trait;
use bytes::Bytes;
use machinery::object::Stored;
use std::sync::Arc;
use std::time::Duration;

pub type Revision = u64;

/// One write of a transaction.
#[derive(Clone, Debug)]
pub enum Op {
    Put {
        key: Arc<str>,
        /// JSON with an empty resourceVersion whose closing quote stands at `revision_at` (`Stored::publish`).
        template: Bytes,
        revision_at: u32,
        expect: Expect,
        /// The object deletes itself after this time (events).
        ttl: Option<Duration>,
    },
    Delete {
        key: Arc<str>,
        expect: Expect,
    },
}

/// What must hold of a key for the transaction to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Absent,
    Revision(Revision),
    /// It exists, at whatever revision.
    Present,
    Any,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Acknowledged after it is on disk.
    #[default]
    Synced,
    /// Acknowledged at once, on disk a little later (leases, events).
    Lazy,
}

/// What one operation did: the object now there (put), or the object that was taken away, at the revision of its deletion.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub object: Option<Arc<Stored>>,
    pub previous: Option<Arc<Stored>>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The expectation on the `index`-th operation does not hold; `current` is what is there.
    #[error("operation {index} conflicts with what is stored")]
    Conflict { index: usize, current: Option<Arc<Stored>> },
    #[error("revision {asked} is compacted, the oldest kept is {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    #[error("revision {asked} is not reached yet, the newest is {newest}")]
    Future { asked: Revision, newest: Revision },
    #[error("the store is damaged at {place}: {what}")]
    Corrupt { place: String, what: String },
    #[error("the store is full: {0}")]
    Full(String),
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Latest,
    /// Exactly this revision (pages of one list); `Compacted` once history has gone.
    Exactly(Revision),
    /// Any state not older than this.
    NotOlderThan(Revision),
}

/// Part of a list: objects in key order, the revision they show, whether more follow.
#[derive(Clone, Debug)]
pub struct Page {
    pub objects: Vec<Arc<Stored>>,
    pub revision: Revision,
    pub more: bool,
    /// How many follow, when that is cheap to tell.
    pub remaining: Option<u64>,
}

/// One change as the store saw it. `previous` lets a reader with a selector tell whether the object came into or left its view.
#[derive(Clone, Debug)]
pub struct Change {
    pub revision: Revision,
    /// The new object; for a deletion the last state, carrying the revision of the deletion.
    pub object: Arc<Stored>,
    pub previous: Option<Arc<Stored>>,
    pub deleted: bool,
}

/// A cursor over changes under a prefix. Nothing is queued per watcher.
#[async_trait]
pub trait Watch: Send {
    /// All changes since the last call, at least one, at most `limit`; waits for the first. `Compacted` when the watcher fell
    /// behind what is kept.
    async fn next(&mut self, limit: usize) -> Result<Vec<Change>, Error>;
    /// Everything up to this revision has been handed out (for bookmarks).
    fn progress(&self) -> Revision;
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    async fn get(&self, key: &str) -> Result<Option<Arc<Stored>>, Error>;
    /// Objects whose key starts with `prefix`, in key order, after `after` (exclusive), at most `limit` (0: all).
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize, at: At) -> Result<Page, Error>;
    /// All operations at one new revision, or none.
    async fn txn(&self, ops: Vec<Op>, durability: Durability) -> Result<Vec<Outcome>, Error>;
    /// Changes under `prefix` after the revision `after`.
    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, Error>;
    /// The newest revision that reads see.
    fn revision(&self) -> Revision;
    /// The number of objects under a prefix.
    fn count(&self, prefix: &str) -> usize;
    /// Forgets history before `revision`.
    async fn compact(&self, revision: Revision) -> Result<(), Error>;
}
