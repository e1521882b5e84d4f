//! What a transaction would do: expectations checked against what is there, objects published at the new revision.
//! Pure; both engines use it, then make the result durable (or not) and hand it to the mirror.
use crate::{Change, Error, Expect, Op, Outcome, Revision};
use machinery::object::Stored;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// One staged write with what the log and the expiry queue need to know besides.
#[derive(Clone, Debug)]
pub struct Staged {
    pub change: Change,
    pub ttl: Option<Duration>,
}

/// Writes that are staged but not in the mirror yet (the batch that is being synced), over the mirror's state.
#[derive(Default)]
pub struct Overlay(HashMap<Arc<str>, Option<Arc<Stored>>>);

impl Overlay {
    pub fn lookup(&self, key: &str, below: impl FnOnce(&str) -> Option<Arc<Stored>>) -> Option<Arc<Stored>> {
        self.0.get(key).cloned().unwrap_or_else(|| below(key))
    }

    pub fn add(&mut self, staged: &[Staged]) {
        for Staged { change, .. } in staged {
            self.0.insert(change.object.key.clone(), (!change.deleted).then(|| change.object.clone()));
        }
    }
}

/// All operations at `revision`, or the first expectation that does not hold. `lookup` gives the state before the transaction.
pub fn stage(ops: &[Op], revision: Revision, lookup: impl Fn(&str) -> Option<Arc<Stored>>) -> Result<Vec<Staged>, Error> {
    let mut own = Overlay::default();
    let mut all = Vec::with_capacity(ops.len());
    for (index, op) in ops.iter().enumerate() {
        let (key, expect) = match op {
            Op::Put { key, expect, .. } | Op::Delete { key, expect } => (key, *expect),
        };
        let current = own.lookup(key, &lookup);
        if !holds(expect, current.as_deref()) {
            return Err(Error::Conflict { index, current });
        }
        if let Some(staged) = carry_out(op, revision, current) {
            own.add(std::slice::from_ref(&staged));
            all.push(staged);
        }
    }
    Ok(all)
}

fn holds(expect: Expect, current: Option<&Stored>) -> bool {
    match expect {
        Expect::Any => true,
        Expect::Absent => current.is_none(),
        Expect::Present => current.is_some(),
        Expect::Revision(revision) => current.is_some_and(|stored| stored.revision == revision),
    }
}

/// `None`: a deletion of what is not there.
fn carry_out(op: &Op, revision: Revision, current: Option<Arc<Stored>>) -> Option<Staged> {
    match op {
        Op::Put { key, template, revision_at, ttl, .. } => {
            let created = current.as_ref().map_or(revision, |current| current.created);
            let object = Arc::new(Stored::publish(key.clone(), template, *revision_at, revision, created));
            Some(Staged { change: Change { revision, object, previous: current, deleted: false }, ttl: *ttl })
        }
        Op::Delete { key, .. } => {
            let current = current?;
            Some(Staged { change: deletion(key.clone(), current, revision), ttl: None })
        }
    }
}

/// A deletion tells the last state, carrying the revision of the deletion.
pub fn deletion(key: Arc<str>, current: Arc<Stored>, revision: Revision) -> Change {
    let object = Arc::new(Stored::publish(key, &current.template(), current.revision_at, revision, current.created));
    Change { revision, object, previous: Some(current), deleted: true }
}

/// What the caller of a transaction is told, in the order of its operations.
pub fn outcomes(ops: &[Op], staged: &[Staged]) -> Vec<Outcome> {
    let mut staged = staged.iter();
    let mut next = staged.next();
    let outcome = |op: &Op| {
        let key = match op {
            Op::Put { key, .. } | Op::Delete { key, .. } => key,
        };
        match next.take_if(|staged| staged.change.object.key == *key) {
            None => Outcome { object: None, previous: None },
            Some(Staged { change, .. }) => {
                next = staged.next();
                Outcome { object: Some(change.object.clone()), previous: change.previous.clone() }
            }
        }
    };
    ops.iter().map(outcome).collect()
}
