//! Views of parts of the store that are kept up to date by its own changes, and never older than the newest acknowledged write:
//! whoever asks first takes in what has happened since. Nothing runs while nobody asks. A view never parses more than what changed.
use machinery::object::Stored;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::{At, Error, Store, Watch};

/// So many changes are taken in at a time.
const BATCH: usize = 1024;

/// What is made of the objects under some prefixes. `old` is what was there before: absent for new objects.
pub trait View: Default + Send + Sync + 'static {
    fn change(&mut self, old: Option<&Arc<Stored>>, new: Option<&Arc<Stored>>);
}

/// Keeps a view of one store.
pub struct Follower<V> {
    store: Arc<dyn Store>,
    prefixes: Vec<String>,
    /// One per prefix; empty until the first use.
    cursors: tokio::sync::Mutex<Vec<Box<dyn Watch>>>,
    /// The store's revision up to which the view is complete, plus one; zero before the first list.
    seen: AtomicU64,
    view: RwLock<V>,
}

impl<V: View> Follower<V> {
    pub fn new(store: Arc<dyn Store>, prefixes: Vec<String>) -> Follower<V> {
        Follower { store, prefixes, cursors: tokio::sync::Mutex::default(), seen: AtomicU64::new(0), view: RwLock::default() }
    }

    /// Reads the view as of now.
    pub async fn read<R>(&self, read: impl FnOnce(&V) -> R) -> Result<R, Error> {
        self.catch_up().await?;
        Ok(read(&self.view.read()))
    }

    /// The same for views that also keep something of their own.
    pub async fn write<R>(&self, write: impl FnOnce(&mut V) -> R) -> Result<R, Error> {
        self.catch_up().await?;
        Ok(write(&mut self.view.write()))
    }

    async fn catch_up(&self) -> Result<(), Error> {
        let now = self.store.revision();
        if self.seen.load(Ordering::Acquire) > now {
            return Ok(());
        }
        let mut cursors = self.cursors.lock().await;
        let now = self.store.revision();
        if self.seen.load(Ordering::Acquire) > now {
            return Ok(());
        }
        if cursors.is_empty() || self.drain(&mut cursors).is_err() {
            *cursors = self.start().await?;
            self.drain(&mut cursors)?;
        }
        self.seen.store(now + 1, Ordering::Release);
        Ok(())
    }

    /// Takes in what is there, without waiting.
    fn drain(&self, cursors: &mut [Box<dyn Watch>]) -> Result<(), Error> {
        for cursor in cursors {
            while let Some(changes) = futures::FutureExt::now_or_never(cursor.next(BATCH)) {
                let mut view = self.view.write();
                for change in changes? {
                    view.change(change.previous.as_ref(), (!change.deleted).then_some(&change.object));
                }
            }
        }
        Ok(())
    }

    /// Lists everything anew: at the start, and when it fell behind what the store keeps.
    async fn start(&self) -> Result<Vec<Box<dyn Watch>>, Error> {
        let mut fresh = V::default();
        let mut cursors = Vec::new();
        for prefix in &self.prefixes {
            let page = self.store.list(prefix, None, 0, At::Latest).await?;
            for object in &page.objects {
                fresh.change(None, Some(object));
            }
            cursors.push(self.store.watch(prefix, page.revision)?);
        }
        *self.view.write() = fresh;
        Ok(cursors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_writes;
    use k8s_openapi::api::core::v1::ConfigMap;
    use stdx::clock::Clock;
    use store::memory::Memory;
    use store::{Durability, Expect, Op};

    #[derive(Default)]
    struct Names(Vec<String>);

    impl View for Names {
        fn change(&mut self, old: Option<&Arc<Stored>>, new: Option<&Arc<Stored>>) {
            if let Some(old) = old {
                self.0.retain(|name| *name != *old.key);
            }
            self.0.extend(new.map(|new| new.key.to_string()));
        }
    }

    #[tokio::test]
    async fn a_view_shows_the_last_acknowledged_write() {
        let store = Memory::new(Clock::system());
        let view: Follower<Names> = Follower::new(store.clone(), vec!["/registry/a/".into(), "/registry/b/".into()]);
        let put = |key: &str| vec![own_writes::put(key, &mut ConfigMap::default(), Expect::Any)];
        store.txn(put("/registry/a/1"), Durability::Synced).await.unwrap();
        assert_eq!(view.read(|names| names.0.clone()).await.unwrap(), ["/registry/a/1"]);
        store.txn(put("/registry/b/2"), Durability::Synced).await.unwrap();
        store.txn(put("/registry/a/1"), Durability::Synced).await.unwrap();
        store.txn(put("/registry/c/3"), Durability::Synced).await.unwrap();
        let mut names = view.read(|names| names.0.clone()).await.unwrap();
        names.sort();
        assert_eq!(names, ["/registry/a/1", "/registry/b/2"]);
        let delete = vec![Op::Delete { key: "/registry/a/1".into(), expect: Expect::Any }];
        store.txn(delete, Durability::Synced).await.unwrap();
        assert_eq!(view.read(|names| names.0.clone()).await.unwrap(), ["/registry/b/2"]);
    }

    #[tokio::test]
    async fn history_that_is_gone_means_a_new_list() {
        let store = Memory::new(Clock::system());
        let view: Follower<Names> = Follower::new(store.clone(), vec!["/registry/a/".into()]);
        assert!(view.read(|names| names.0.is_empty()).await.unwrap());
        for number in 0..5 {
            let put = own_writes::put(&format!("/registry/a/{number}"), &mut ConfigMap::default(), Expect::Absent);
            store.txn(vec![put], Durability::Synced).await.unwrap();
        }
        store.compact(store.revision()).await.unwrap();
        assert_eq!(view.read(|names| names.0.len()).await.unwrap(), 5);
    }
}
