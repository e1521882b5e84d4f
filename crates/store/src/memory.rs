//! The memory engine: the mirror and nothing else. For tests and the simulator; it forgets everything when it goes.
use crate::expiry::Expiry;
use crate::mirror::Mirror;
use crate::stage::{Staged, outcomes, stage};
use crate::{At, Durability, Error, Expect, Op, Outcome, Page, Revision, Store, Watch};
use async_trait::async_trait;
use machinery::object::Stored;
use parking_lot::Mutex;
use std::sync::Arc;
use stdx::clock::Clock;

/// So many expired objects are deleted in one step.
const EXPIRY_BATCH: usize = 256;

pub struct Memory {
    mirror: Arc<Mirror>,
    /// Held while a transaction is checked and published: one writer at a time.
    expiry: Mutex<Expiry>,
    clock: Clock,
}

impl Memory {
    pub fn new(clock: Clock) -> Arc<Memory> {
        Arc::new(Memory { mirror: Arc::default(), expiry: Mutex::default(), clock })
    }

    fn commit(&self, ops: &[Op]) -> Result<Vec<Outcome>, Error> {
        self.expire();
        self.write(ops)
    }

    fn write(&self, ops: &[Op]) -> Result<Vec<Outcome>, Error> {
        let mut expiry = self.expiry.lock();
        let staged = stage(ops, self.mirror.revision() + 1, |key| self.mirror.get(key))?;
        let now = self.clock.now().as_millisecond();
        for Staged { change, ttl } in &staged {
            match ttl {
                Some(ttl) => expiry.add(now + ttl.as_millis() as i64, change.object.key.clone(), change.revision),
                None => expiry.forget(&change.object.key),
            }
        }
        let outcomes = outcomes(ops, &staged);
        self.mirror.publish(staged.into_iter().map(|staged| staged.change));
        Ok(outcomes)
    }

    /// Deletes what is due. Reads and writes call it, so that nothing runs while nobody asks.
    fn expire(&self) {
        let due = self.expiry.lock().due(self.clock.now(), EXPIRY_BATCH);
        for (key, revision) in due {
            // A conflict means that it was written again: its new deadline counts.
            let _ = self.write(&[Op::Delete { key, expect: Expect::Revision(revision) }]);
        }
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &str) -> Result<Option<Arc<Stored>>, Error> {
        self.expire();
        Ok(self.mirror.get(key))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize, at: At) -> Result<Page, Error> {
        self.expire();
        self.mirror.list(prefix, after, limit, at)
    }

    async fn txn(&self, ops: Vec<Op>, _: Durability) -> Result<Vec<Outcome>, Error> {
        self.commit(&ops)
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
mod tests {
    use super::*;

    #[tokio::test]
    async fn passes_the_suite() {
        crate::suite::all(|clock| async { Memory::new(clock) as Arc<dyn Store> }).await;
    }
}
