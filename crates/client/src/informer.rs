//! Informers: one decoded cache per kind and process, kept by list and watch, with indexes and callbacks.
//! Level-triggered: a missed or repeated event never changes where the cache ends up; a broken watch is taken up again from its
//! place, an expired one lists anew and tells the difference.
use crate::error::Error;
use crate::typed::{Client, ListOptions};
use crate::watcher::Change;
use futures::StreamExt;
use machinery::meta::Key;
use machinery::object::Resource;
use parking_lot::{Mutex, RwLock};
use std::any::{Any, TypeId};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use stdx::backoff::Backoff;
use tokio::sync::watch;

/// What happened to one object, as a callback sees it.
#[derive(Clone, Debug)]
pub enum Delta<T> {
    Added(Arc<T>),
    Updated { old: Arc<T>, new: Arc<T> },
    Deleted(Arc<T>),
}

impl<T> Delta<T> {
    /// The newest state known.
    pub fn object(&self) -> &Arc<T> {
        match self {
            Delta::Added(object) | Delta::Deleted(object) | Delta::Updated { new: object, .. } => object,
        }
    }
}

/// A lost connection is taken up again after so long at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(10);

pub type IndexFn<T> = fn(&T) -> Vec<String>;
/// What an index is worked out with, and the keys by each of its values.
type Index<T> = (IndexFn<T>, HashMap<String, BTreeSet<Key>>);
type Callback<T> = Box<dyn Fn(&Delta<T>) + Send + Sync>;

/// The decoded objects of one kind. Readers see each change whole.
pub struct Cache<T> {
    state: RwLock<State<T>>,
    /// The newest resourceVersion whose change readers can see; told after the change is in.
    version: watch::Sender<u64>,
}

struct State<T> {
    objects: HashMap<Key, Arc<T>>,
    indexes: HashMap<&'static str, Index<T>>,
}

impl<T: Resource> Cache<T> {
    pub fn new() -> Cache<T> {
        Cache { state: RwLock::new(State { objects: HashMap::new(), indexes: HashMap::new() }), version: watch::Sender::new(0) }
    }

    pub fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.state.read().objects.get(key).cloned()
    }

    pub fn all(&self) -> Vec<Arc<T>> {
        self.state.read().objects.values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Objects for which the index gave `value`; in the order of their keys.
    pub fn by_index(&self, index: &str, value: &str) -> Vec<Arc<T>> {
        let state = self.state.read();
        let keys = state.indexes.get(index).and_then(|(_, values)| values.get(value));
        keys.into_iter().flatten().filter_map(|key| state.objects.get(key).cloned()).collect()
    }

    /// The newest resourceVersion that the cache has seen.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Waits until the cache has seen `version`: a writer's way to read its own writes.
    pub async fn reached(&self, version: u64) {
        let _ = self.version.subscribe().wait_for(|seen| *seen >= version).await;
    }

    /// Adds an index over what is and what will be there. A second index of the same name is the same index.
    pub fn add_index(&self, name: &'static str, of: IndexFn<T>) {
        let mut state = self.state.write();
        if state.indexes.contains_key(name) {
            return;
        }
        let mut values: HashMap<String, BTreeSet<Key>> = HashMap::new();
        for (key, object) in &state.objects {
            for value in of(object) {
                values.entry(value).or_default().insert(key.clone());
            }
        }
        state.indexes.insert(name, (of, values));
    }

    /// Puts an object in; gives the change unless the cache has this or a newer state already.
    pub fn apply(&self, object: Arc<T>) -> Option<Delta<T>> {
        let version = version_of(&*object);
        let delta = self.put(object, |old| version != 0 && version <= old);
        self.advance(version);
        delta
    }

    pub fn remove(&self, object: Arc<T>) -> Option<Delta<T>> {
        let delta = self.take_out(&object);
        self.advance(version_of(&*object));
        delta
    }

    fn put(&self, object: Arc<T>, known: impl FnOnce(u64) -> bool) -> Option<Delta<T>> {
        let mut state = self.state.write();
        let key = Key::of(object.metadata());
        let old = state.objects.get(&key).cloned();
        if old.as_ref().is_some_and(|old| known(version_of(&**old))) {
            return None;
        }
        if let Some(old) = &old {
            state.unindex(&key, old);
        }
        state.index(&key, &object);
        state.objects.insert(key, object.clone());
        Some(match old {
            None => Delta::Added(object),
            Some(old) => Delta::Updated { old, new: object },
        })
    }

    fn take_out(&self, object: &Arc<T>) -> Option<Delta<T>> {
        let mut state = self.state.write();
        let key = Key::of(object.metadata());
        let old = state.objects.remove(&key)?;
        state.unindex(&key, &old);
        Some(Delta::Deleted(object.clone()))
    }

    fn saw(&self, version: &str) {
        self.advance(version.parse().unwrap_or(0));
    }

    fn advance(&self, version: u64) {
        self.version.send_if_modified(|seen| {
            let newer = version > *seen;
            *seen = version.max(*seen);
            newer
        });
    }

    /// Makes the cache show exactly `objects`, even where it has newer ones: the server may have been restored from a backup.
    fn replace(&self, objects: Vec<Arc<T>>) -> Vec<Delta<T>> {
        let there: HashSet<Key> = objects.iter().map(|object| Key::of(object.metadata())).collect();
        let gone: Vec<Arc<T>> =
            self.state.read().objects.iter().filter(|(key, _)| !there.contains(key)).map(|(_, gone)| gone.clone()).collect();
        let mut deltas: Vec<Delta<T>> = gone.into_iter().filter_map(|object| self.take_out(&object)).collect();
        deltas.extend(objects.into_iter().filter_map(|object| {
            let version = version_of(&*object);
            self.put(object, |old| version != 0 && version == old)
        }));
        deltas
    }
}

impl<T: Resource> Default for Cache<T> {
    fn default() -> Self {
        Cache::new()
    }
}

impl<T: Resource> State<T> {
    fn index(&mut self, key: &Key, object: &T) {
        for (of, values) in self.indexes.values_mut() {
            for value in of(object) {
                values.entry(value).or_default().insert(key.clone());
            }
        }
    }

    fn unindex(&mut self, key: &Key, object: &T) {
        for (of, values) in self.indexes.values_mut() {
            for value in of(object) {
                if let Some(keys) = values.get_mut(&value) {
                    keys.remove(key);
                    if keys.is_empty() {
                        values.remove(&value);
                    }
                }
            }
        }
    }
}

fn version_of<T: Resource>(object: &T) -> u64 {
    object.metadata().resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// A cache with the task that keeps it. The task ends with the last holder of the informer.
pub struct Informer<T> {
    pub cache: Arc<Cache<T>>,
    hub: Arc<Hub<T>>,
    task: tokio::task::AbortHandle,
}

/// What the task and the holders share.
struct Hub<T> {
    cache: Arc<Cache<T>>,
    callbacks: Mutex<Vec<Callback<T>>>,
    synced: watch::Sender<bool>,
}

impl<T: Resource> Informer<T> {
    /// Starts listing and watching. The informer lives as long as somebody holds it.
    pub fn start(client: Client, options: ListOptions) -> Arc<Informer<T>> {
        let cache = Arc::new(Cache::new());
        let hub = Arc::new(Hub { cache: cache.clone(), callbacks: Mutex::new(Vec::new()), synced: watch::Sender::new(false) });
        let task = tokio::spawn(run(hub.clone(), client, options)).abort_handle();
        Arc::new(Informer { cache, hub, task })
    }

    /// Calls `callback` for everything there now (as added) and for every change from now on, in order, on the informer's task.
    /// It must neither block nor subscribe.
    pub fn subscribe(&self, callback: impl Fn(&Delta<T>) + Send + Sync + 'static) {
        let mut callbacks = self.hub.callbacks.lock();
        for object in self.cache.all() {
            callback(&Delta::Added(object));
        }
        callbacks.push(Box::new(callback));
    }

    /// Waits until the first list is in the cache.
    pub async fn synced(&self) {
        let _ = self.hub.synced.subscribe().wait_for(|synced| *synced).await;
    }

    pub fn is_synced(&self) -> bool {
        *self.hub.synced.borrow()
    }
}

impl<T> Drop for Informer<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T: Resource> Hub<T> {
    /// Applies `change` to the cache and tells what came of it, so that a late subscriber misses nothing and sees nothing twice.
    fn deliver(&self, change: impl FnOnce(&Cache<T>) -> Vec<Delta<T>>) {
        let callbacks = self.callbacks.lock();
        for delta in change(&self.cache) {
            callbacks.iter().for_each(|callback| callback(&delta));
        }
    }
}

/// list → watch → (ended) watch again from the same place → (expired) list. Whatever ends a watch that told nothing counts as
/// a failed attempt, so that a server which closes at once is not asked in a tight loop.
async fn run<T: Resource>(hub: Arc<Hub<T>>, client: Client, options: ListOptions) {
    let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
    let mut place: Option<String> = None;
    loop {
        let before = hub.cache.version();
        let ended = follow(&hub, &client, &options, &mut place).await;
        if hub.cache.version() > before {
            backoff.reset();
        }
        if let Err(error) = &ended {
            tracing::debug!(kind = T::KIND, %error, "watch interrupted");
            if error.is_expired() {
                place = None;
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn follow<T: Resource>(hub: &Hub<T>, client: &Client, options: &ListOptions, place: &mut Option<String>) -> Result<(), Error> {
    let from = match place {
        Some(version) => version.clone(),
        None => {
            let (objects, version) = client.list::<T>(options).await?;
            hub.deliver(|cache| cache.replace(objects));
            hub.cache.saw(&version);
            hub.synced.send_replace(true);
            place.insert(version).clone()
        }
    };
    let mut changes = client.watch::<T>(options, &from).await?;
    while let Some(batch) = changes.next().await {
        hub.take(batch?, place);
    }
    Ok(())
}

impl<T: Resource> Hub<T> {
    fn take(&self, batch: Vec<Change<T>>, place: &mut Option<String>) {
        for change in batch {
            match change {
                Change::Bookmark(version) => {
                    self.cache.saw(&version);
                    *place = Some(version);
                }
                Change::Applied(object) => {
                    *place = object.metadata().resource_version.clone().or(place.take());
                    self.deliver(|cache| cache.apply(object).into_iter().collect());
                }
                Change::Deleted(object) => {
                    *place = object.metadata().resource_version.clone().or(place.take());
                    self.deliver(|cache| cache.remove(object).into_iter().collect());
                }
            }
        }
    }
}

/// The informers of one process, one per kind, made when first asked for.
pub struct Informers {
    client: Client,
    made: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Informers {
    pub fn new(client: Client) -> Arc<Informers> {
        Arc::new(Informers { client, made: Mutex::new(HashMap::new()) })
    }

    /// The shared informer of all objects of a kind.
    pub fn of<T: Resource>(&self) -> Arc<Informer<T>> {
        let mut made = self.made.lock();
        let any = made.entry(TypeId::of::<T>()).or_insert_with(|| Informer::<T>::start(self.client.clone(), ListOptions::default()));
        any.clone().downcast().expect("an entry has the type of its key")
    }
}

#[cfg(test)]
mod tests;
