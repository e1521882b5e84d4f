//! The events of one watch: what is there, then what changes, seen through the selectors, with bookmarks between.
use super::{MAX_BATCH, marks_initial_end, starts_with_state};
use crate::list::filter::Filter;
use crate::list::options::ListOptions;
use crate::request::call::Call;
use crate::verbs::storage;
use bytes::Bytes;
use machinery::object::{Event, EventKind, Stored};
use machinery::status::{Reason, Status};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use store::{At, Change, Error, Revision, Watch};
use tokio::time::Instant;

/// So often a watch that asked for bookmarks gets one while nothing else happens.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
pub const INITIAL_END: &str = "k8s.io/initial-events-end";

pub struct Feed {
    call: Arc<Call>,
    filter: Filter,
    /// Told before anything else.
    first: VecDeque<Arc<Stored>>,
    /// The bookmark that ends the first part, at this revision.
    initial_end: Option<Revision>,
    watch: Result<Box<dyn Watch>, Option<Status>>,
    /// Changes up to this revision are not told.
    after: Revision,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    stopping: tokio::sync::watch::Receiver<bool>,
    done: bool,
}

enum Woken {
    Changes(Result<Vec<Change>, Error>),
    Bookmark,
    End,
}

impl Feed {
    pub async fn start(call: Arc<Call>, wanted: ListOptions, timeout: Duration) -> Result<Feed, Status> {
        let prefix = call.served.kind.names().prefix(call.namespace());
        let store = call.state.store();
        let newest = store.revision();
        let (mut first, mut after) = (VecDeque::new(), wanted.revision.unwrap_or(0));
        let mut initial_end = None;
        if starts_with_state(&wanted) {
            let at = wanted.revision.filter(|revision| *revision > 0).map_or(At::Latest, At::NotOlderThan);
            let page = store.list(&prefix, None, 0, at).await.map_err(storage::failure)?;
            after = page.revision;
            first = page.objects.into();
            initial_end = marks_initial_end(&wanted).then_some(after);
        } else if after == 0 {
            after = newest;
        }
        let watch = store.watch(&prefix, after.min(store.revision().max(newest))).map_err(|error| Some(failure(error)));
        let now = Instant::now();
        let stopping = call.state.stopping.subscribe();
        Ok(Feed {
            filter: wanted.filter,
            first,
            initial_end,
            watch,
            after,
            bookmarks: wanted.bookmarks,
            next_bookmark: next_bookmark(now, now + timeout),
            deadline: now + timeout,
            stopping,
            done: false,
            call,
        })
    }

    /// The next batch; `None` at the end. After an error nothing comes any more.
    pub async fn next(&mut self) -> Option<Result<Vec<Event>, Status>> {
        if self.done {
            return None;
        }
        loop {
            let batch = match self.initial() {
                Some(batch) => batch,
                None => self.more().await?,
            };
            match batch {
                Ok(events) if events.is_empty() => continue,
                Ok(events) => return Some(Ok(events)),
                Err(status) => {
                    self.done = true;
                    return Some(Err(status));
                }
            }
        }
    }

    /// What was there at the start.
    fn initial(&mut self) -> Option<Result<Vec<Event>, Status>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(MAX_BATCH);
            let batch: Vec<_> = self.first.drain(..count).collect();
            let added = |stored: Arc<Stored>| match self.filter.matches(&self.call.served, &stored) {
                Ok(true) => Some(self.event(EventKind::Added, &stored)),
                Ok(false) => None,
                Err(status) => Some(Err(status)),
            };
            return Some(batch.into_iter().filter_map(added).collect());
        }
        let end = self.initial_end.take()?;
        Some(Ok(vec![self.bookmark(end, true)]))
    }

    async fn more(&mut self) -> Option<Result<Vec<Event>, Status>> {
        let watch = match &mut self.watch {
            Ok(watch) => watch,
            Err(status) => return status.take().map(Err),
        };
        let wake_at = if self.bookmarks { self.next_bookmark.min(self.deadline) } else { self.deadline };
        let woken = tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => Woken::End,
            changes = watch.next(MAX_BATCH) => Woken::Changes(changes),
            () = tokio::time::sleep_until(wake_at) => Woken::Bookmark,
        };
        match woken {
            Woken::End => {
                self.done = true;
                None
            }
            Woken::Changes(Ok(changes)) => {
                let after = self.after;
                let seen = changes.into_iter().filter(|change| change.revision > after);
                Some(seen.filter_map(|change| self.seen(change).transpose()).collect())
            }
            Woken::Changes(Err(error)) => Some(Err(failure(error))),
            Woken::Bookmark => {
                let now = Instant::now();
                if self.deadline <= now {
                    self.done = true;
                    return None;
                }
                self.next_bookmark = next_bookmark(now, self.deadline);
                let progress = watch.progress().max(self.after);
                Some(Ok(vec![self.bookmark(progress, false)]))
            }
        }
    }

    /// A change as this watcher sees it: an object that comes into view is added, one that leaves it is deleted.
    fn seen(&self, change: Change) -> Result<Option<Event>, Status> {
        let served = &self.call.served;
        let sees = |stored: Option<&Arc<Stored>>| match stored {
            Some(stored) => self.filter.matches(served, stored),
            None => Ok(false),
        };
        let before = match (&change.previous, change.deleted) {
            (None, true) => sees(Some(&change.object))?,
            (previous, _) => sees(previous.as_ref())?,
        };
        let after = !change.deleted && sees(Some(&change.object))?;
        let kind = match (before, after) {
            (false, false) => return Ok(None),
            (false, true) => EventKind::Added,
            (true, true) => EventKind::Modified,
            (true, false) => EventKind::Deleted,
        };
        if kind == EventKind::Deleted && !change.deleted {
            // The last state that the watcher could see, at the revision at which it left.
            let previous = change.previous.as_ref().unwrap_or(&change.object);
            let left = Stored::publish(previous.key.clone(), &previous.template(), previous.revision_at, change.revision, previous.created);
            return self.event(kind, &Arc::new(left)).map(Some);
        }
        self.event(kind, &change.object).map(Some)
    }

    fn event(&self, kind: EventKind, stored: &Arc<Stored>) -> Result<Event, Status> {
        Ok(Event { kind, object: self.call.served.stored(stored)? })
    }

    fn bookmark(&self, revision: Revision, initial_end: bool) -> Event {
        let names = self.call.served.kind.names();
        let mut object = json!({"kind": names.kind, "apiVersion": names.api_version(), "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null}});
        if initial_end {
            object["metadata"]["annotations"] = json!({INITIAL_END: "true"});
        }
        let json = Bytes::from(object.to_string());
        Event { kind: EventKind::Bookmark, object: Arc::new(Stored::new("".into(), json, 0, revision, revision)) }
    }
}

/// The last one comes shortly before the end, so that the client goes on from there.
fn next_bookmark(now: Instant, deadline: Instant) -> Instant {
    let last = deadline - LAST_BOOKMARK;
    if last > now { last.min(now + BOOKMARK_INTERVAL) } else { now + BOOKMARK_INTERVAL }
}

fn failure(error: Error) -> Status {
    match error {
        Error::Compacted { asked, oldest } => Status::new(Reason::Expired, format!("too old resource version: {asked} ({oldest})")),
        error => storage::failure(error),
    }
}
