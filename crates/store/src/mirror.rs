//! The in-memory state that serves every read, whichever engine writes: objects in key order and each resource's recent
//! changes. One lock; nothing is copied but pointers while it is held.
use crate::history::History;
use crate::{At, Change, Error, Page, Revision, Watch};
use async_trait::async_trait;
use machinery::object::Stored;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Default)]
pub struct Mirror {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Arc<str>, Arc<Stored>>,
    /// By resource (`/registry/pods/`).
    histories: HashMap<String, History>,
    revision: Revision,
    /// Nothing before this revision is known (compaction, or where the log began).
    oldest: Revision,
}

/// The part of a key or prefix that names its resource: `/registry/pods/`.
fn resource(key: &str) -> &str {
    match key.match_indices('/').nth(2) {
        Some((at, _)) => &key[..=at],
        None => key,
    }
}

impl Mirror {
    /// Starts from objects as a snapshot has them.
    pub fn load(objects: Vec<Arc<Stored>>, revision: Revision) -> Mirror {
        let objects = objects.into_iter().map(|object| (object.key.clone(), object)).collect();
        Mirror { state: RwLock::new(State { objects, histories: HashMap::new(), revision, oldest: revision }) }
    }

    pub fn revision(&self) -> Revision {
        self.state.read().revision
    }

    pub fn get(&self, key: &str) -> Option<Arc<Stored>> {
        self.state.read().objects.get(key).cloned()
    }

    pub fn count(&self, prefix: &str) -> usize {
        self.state.read().under(prefix, None).count()
    }

    /// All objects as they are, for a snapshot.
    pub fn all(&self) -> (Vec<Arc<Stored>>, Revision) {
        let state = self.state.read();
        (state.objects.values().cloned().collect(), state.revision)
    }

    /// Makes changes visible, in order, all at once.
    pub fn publish(&self, changes: impl IntoIterator<Item = Change>) {
        let mut state = self.state.write();
        for change in changes {
            state.revision = state.revision.max(change.revision);
            let key = change.object.key.clone();
            match change.deleted {
                true => state.objects.remove(&key),
                false => state.objects.insert(key.clone(), change.object.clone()),
            };
            state.history(resource(&key)).push(change);
        }
    }

    pub fn compact(&self, revision: Revision) {
        let mut state = self.state.write();
        let revision = revision.min(state.revision);
        state.oldest = state.oldest.max(revision);
        state.histories.values_mut().for_each(|history| history.compact(revision));
    }

    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize, at: At) -> Result<Page, Error> {
        let state = self.state.read();
        let newest = state.revision;
        match at {
            At::Exactly(asked) | At::NotOlderThan(asked) if asked > newest => Err(Error::Future { asked, newest }),
            At::Exactly(asked) if asked < newest => state.list_then(prefix, after, limit, asked),
            _ => Ok(state.list_now(prefix, after, limit)),
        }
    }

    pub fn watch(self: &Arc<Self>, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, Error> {
        let waiter = Arc::new(Notify::new());
        let mut state = self.state.write();
        if after > state.revision {
            return Err(Error::Future { asked: after, newest: state.revision });
        }
        let history = state.history(resource(prefix));
        let cursor = history.cursor(after)?;
        history.wait(prefix, &waiter);
        drop(state);
        Ok(Box::new(Cursor { mirror: self.clone(), prefix: prefix.into(), cursor, progress: after, waiter: Some(waiter) }))
    }
}

impl State {
    fn history(&mut self, resource: &str) -> &mut History {
        if !self.histories.contains_key(resource) {
            self.histories.insert(resource.into(), History::new(self.oldest));
        }
        self.histories.get_mut(resource).expect("it was just put there")
    }

    fn under<'a>(&'a self, prefix: &'a str, after: Option<&str>) -> impl Iterator<Item = &'a Arc<Stored>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let range = self.objects.range::<str, _>((from, Bound::Unbounded));
        range.take_while(move |(key, _)| key.starts_with(prefix)).map(|(_, object)| object)
    }

    fn list_now(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page {
        let mut rest = self.under(prefix, after);
        let take = if limit == 0 { usize::MAX } else { limit };
        let objects: Vec<Arc<Stored>> = rest.by_ref().take(take).cloned().collect();
        let left = if limit == 0 { 0 } else { rest.count() };
        Page { objects, revision: self.revision, more: left > 0, remaining: Some(left as u64) }
    }

    /// The list as it was: the present with the changes since then taken back. Costs the page and those changes.
    fn list_then(&self, prefix: &str, after: Option<&str>, limit: usize, asked: Revision) -> Result<Page, Error> {
        let history = self.histories.get(resource(prefix));
        let oldest = history.map_or(self.oldest, History::forgotten);
        if asked < oldest {
            return Err(Error::Compacted { asked, oldest });
        }
        let mut then = history.map(|history| history.undo(asked, prefix)).unwrap_or_default();
        if let Some(after) = after {
            then.retain(|key, _| &**key > after);
        }
        let mut objects: Vec<Arc<Stored>> = Vec::new();
        let mut now = self.under(prefix, after).peekable();
        let full = |objects: &Vec<Arc<Stored>>| limit > 0 && objects.len() > limit;
        while !full(&objects) {
            let undone = then.first_key_value().map(|(key, _)| key.clone());
            match (now.peek(), undone) {
                (Some(object), Some(key)) if object.key < key => objects.extend(now.next().cloned()),
                (Some(object), None) if object.revision <= asked => objects.extend(now.next().cloned()),
                (None, None) | (Some(_), None) => {
                    if now.next().is_none() {
                        break;
                    }
                }
                (current, Some(key)) => {
                    if current.is_some_and(|object| object.key == key) {
                        now.next();
                    }
                    objects.extend(then.remove(&key).flatten());
                }
            }
        }
        let more = full(&objects);
        if more {
            objects.truncate(limit);
        }
        Ok(Page { objects, revision: asked, more, remaining: None })
    }
}

struct Cursor {
    mirror: Arc<Mirror>,
    prefix: String,
    cursor: u64,
    progress: Revision,
    /// Taken away on drop, before it leaves the waiting list.
    waiter: Option<Arc<Notify>>,
}

impl Cursor {
    fn read(&mut self, limit: usize) -> Result<Vec<Change>, Error> {
        let state = self.mirror.state.read();
        let Some(history) = state.histories.get(resource(&self.prefix)) else { return Ok(Vec::new()) };
        let (changes, next) = history.read(self.cursor, &self.prefix, limit).map_err(|error| match error {
            Error::Compacted { oldest, .. } => Error::Compacted { asked: self.progress, oldest },
            other => other,
        })?;
        self.cursor = next;
        self.progress = if changes.len() == limit { changes[limit - 1].revision } else { state.revision };
        Ok(changes)
    }
}

#[async_trait]
impl Watch for Cursor {
    async fn next(&mut self, limit: usize) -> Result<Vec<Change>, Error> {
        loop {
            let changes = self.read(limit.max(1))?;
            if !changes.is_empty() {
                return Ok(changes);
            }
            if let Some(waiter) = &self.waiter {
                waiter.notified().await;
            }
        }
    }

    fn progress(&self) -> Revision {
        self.progress
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.waiter = None;
        if let Some(history) = self.mirror.state.write().histories.get_mut(resource(&self.prefix)) {
            history.leave(&self.prefix);
        }
    }
}
