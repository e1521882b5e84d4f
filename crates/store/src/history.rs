//! The recent changes of one resource, oldest first, within limits. Watchers are cursors into it; a list at an older revision is
//! the present with these changes taken back.
use crate::{Change, Error, Revision};
use machinery::object::Stored;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// A resource keeps at most so many changes …
const MAX_CHANGES: usize = 32_768;
/// … of at most so many bytes together.
const MAX_BYTES: usize = 48 << 20;

#[derive(Default)]
pub struct History {
    changes: VecDeque<Change>,
    /// Sequence number of `changes[0]`.
    first: u64,
    bytes: usize,
    /// Revision of the newest change that is forgotten.
    forgotten: Revision,
    /// Who waits for changes, by the prefix they watch.
    waiting: HashMap<String, Vec<Weak<Notify>>>,
}

impl History {
    pub fn new(forgotten: Revision) -> History {
        History { forgotten, ..History::default() }
    }

    pub fn push(&mut self, change: Change) {
        self.wake(&change.object.key);
        self.bytes += size(&change);
        self.changes.push_back(change);
        while self.changes.len() > MAX_CHANGES || self.bytes > MAX_BYTES && self.changes.len() > 1 {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(change) = self.changes.pop_front() {
            self.forgotten = change.revision;
            self.bytes -= size(&change);
            self.first += 1;
        }
    }

    /// Forgets every change up to and including `revision`.
    pub fn compact(&mut self, revision: Revision) {
        while self.changes.front().is_some_and(|change| change.revision <= revision) {
            self.forget_first();
        }
        self.forgotten = self.forgotten.max(revision);
    }

    pub fn forgotten(&self) -> Revision {
        self.forgotten
    }

    /// The cursor of a watcher that has seen everything up to `revision`.
    pub fn cursor(&self, revision: Revision) -> Result<u64, Error> {
        if revision < self.forgotten {
            return Err(Error::Compacted { asked: revision, oldest: self.forgotten });
        }
        Ok(self.first + self.changes.partition_point(|change| change.revision <= revision) as u64)
    }

    /// Changes from `cursor` on whose key starts with `prefix`, at most `limit`, and where to go on.
    pub fn read(&self, cursor: u64, prefix: &str, limit: usize) -> Result<(Vec<Change>, u64), Error> {
        let Some(skip) = cursor.checked_sub(self.first) else {
            return Err(Error::Compacted { asked: 0, oldest: self.forgotten });
        };
        let mut found = Vec::new();
        let mut next = cursor;
        for change in self.changes.range(skip as usize..) {
            next += 1;
            if change.object.key.starts_with(prefix) {
                found.push(change.clone());
                if found.len() == limit {
                    break;
                }
            }
        }
        Ok((found, next))
    }

    /// For every key that changed after `revision`: what it was then.
    pub fn undo(&self, revision: Revision, prefix: &str) -> BTreeMap<Arc<str>, Option<Arc<Stored>>> {
        let from = self.changes.partition_point(|change| change.revision <= revision);
        let mut then = BTreeMap::new();
        for change in self.changes.range(from..).filter(|change| change.object.key.starts_with(prefix)) {
            then.entry(change.object.key.clone()).or_insert_with(|| change.previous.clone());
        }
        then
    }

    pub fn wait(&mut self, prefix: &str, waiter: &Arc<Notify>) {
        let waiting = self.waiting.entry(prefix.into()).or_default();
        waiting.retain(|other| other.strong_count() > 0);
        waiting.push(Arc::downgrade(waiter));
    }

    pub fn leave(&mut self, prefix: &str) {
        if let Some(waiting) = self.waiting.get_mut(prefix) {
            waiting.retain(|other| other.strong_count() > 0);
            if waiting.is_empty() {
                self.waiting.remove(prefix);
            }
        }
    }

    /// Wakes those who watch the key itself or a folder it is in: a lookup per level, whatever the number of watchers.
    fn wake(&self, key: &str) {
        let folders = key.match_indices('/').map(|(at, _)| &key[..=at]);
        for prefix in folders.chain([key]) {
            for waiter in self.waiting.get(prefix).into_iter().flatten() {
                if let Some(waiter) = waiter.upgrade() {
                    waiter.notify_one();
                }
            }
        }
    }
}

fn size(change: &Change) -> usize {
    change.object.json.len() + 128
}
