//! Objects that delete themselves: a queue by deadline. The engine asks what is due and deletes it, if it is still the same
//! write. Deadlines are kept to the millisecond.
use crate::Revision;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

#[derive(Default)]
pub struct Expiry {
    queue: BinaryHeap<Reverse<(i64, Arc<str>, Revision)>>,
    /// Of what is there now, for snapshots.
    deadlines: HashMap<Arc<str>, i64>,
}

impl Expiry {
    /// `revision` is that of the write; a later write of the key has its own deadline or none.
    pub fn add(&mut self, deadline_ms: i64, key: Arc<str>, revision: Revision) {
        self.deadlines.insert(key.clone(), deadline_ms);
        self.queue.push(Reverse((deadline_ms, key, revision)));
    }

    /// The key is gone, or was written without a deadline.
    pub fn forget(&mut self, key: &str) {
        self.deadlines.remove(key);
    }

    /// When each key that does so deletes itself.
    pub fn deadlines(&self) -> &HashMap<Arc<str>, i64> {
        &self.deadlines
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.queue.peek().and_then(|Reverse((deadline, _, _))| Timestamp::from_millisecond(*deadline).ok())
    }

    /// Takes out what is due, at most `limit`.
    pub fn due(&mut self, now: Timestamp, limit: usize) -> Vec<(Arc<str>, Revision)> {
        let mut due = Vec::new();
        while due.len() < limit && self.queue.peek().is_some_and(|Reverse((deadline, _, _))| *deadline <= now.as_millisecond()) {
            due.extend(self.queue.pop().map(|Reverse((_, key, revision))| (key, revision)));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_is_due_in_order() {
        let mut expiry = Expiry::default();
        expiry.add(20, "b".into(), 2);
        expiry.add(10, "a".into(), 1);
        assert!(expiry.due(Timestamp::from_millisecond(9).unwrap(), 9).is_empty());
        let due = expiry.due(Timestamp::from_millisecond(20).unwrap(), 9);
        assert_eq!(due.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["a", "b"]);
    }
}
