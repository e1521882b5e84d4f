//! The caches that controllers observe, typed for them and erased for the driver and the tests' world.
use super::plan::What;
use client::{Cache, Delta, Informer, Informers};
use futures::future::BoxFuture;
use machinery::meta::Key;
use machinery::object::Resource;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

/// One cache per kind. Made once from what the controllers read; does not change afterwards.
#[derive(Default)]
pub struct Caches {
    by_type: HashMap<TypeId, Arc<dyn AnyCache>>,
    by_what: HashMap<What, Arc<dyn AnyCache>>,
    /// Keeps the informers alive.
    informers: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

/// A cache as the driver sees it.
pub trait AnyCache: Any + Send + Sync {
    fn version(&self) -> u64;
    fn reached(&self, version: u64) -> BoxFuture<'_, ()>;
    /// The uid of what stands there, and whether it is being deleted.
    fn identity(&self, key: &Key) -> Option<(String, bool)>;
    /// Puts a JSON object in, or takes it out; gives the change as `Delta<T>`. For tests.
    fn put(&self, object: serde_json::Value) -> Option<Box<dyn Any>>;
    fn take_out(&self, object: serde_json::Value) -> Option<Box<dyn Any>>;
    fn value(&self, key: &Key) -> Option<serde_json::Value>;
    fn keys(&self) -> Vec<Key>;
    fn as_any(&self) -> &dyn Any;
}

struct Typed<T>(Arc<Cache<T>>);

impl<T: Resource> AnyCache for Typed<T> {
    fn version(&self) -> u64 {
        self.0.version()
    }
    fn reached(&self, version: u64) -> BoxFuture<'_, ()> {
        Box::pin(self.0.reached(version))
    }
    fn identity(&self, key: &Key) -> Option<(String, bool)> {
        let object = self.0.get(key)?;
        let meta = object.metadata();
        Some((meta.uid.clone().unwrap_or_default(), meta.deletion_timestamp.is_some()))
    }
    fn put(&self, object: serde_json::Value) -> Option<Box<dyn Any>> {
        let object: T = serde_json::from_value(object).ok()?;
        self.0.apply(Arc::new(object)).map(|delta: Delta<T>| Box::new(delta) as Box<dyn Any>)
    }
    fn take_out(&self, object: serde_json::Value) -> Option<Box<dyn Any>> {
        let object: T = serde_json::from_value(object).ok()?;
        self.0.remove(Arc::new(object)).map(|delta: Delta<T>| Box::new(delta) as Box<dyn Any>)
    }
    fn value(&self, key: &Key) -> Option<serde_json::Value> {
        serde_json::to_value(&*self.0.get(key)?).ok()
    }
    fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.0.all().iter().map(|object| Key::of(object.metadata())).collect();
        keys.sort();
        keys
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Caches {
    /// Adds the cache of a kind: the informers' one, or an empty one that nobody fills.
    pub fn open<T: Resource>(&mut self, informers: Option<&Informers>) -> Arc<Cache<T>> {
        let id = TypeId::of::<T>();
        if !self.by_type.contains_key(&id) {
            let cache = match informers {
                Some(informers) => {
                    let informer: Arc<Informer<T>> = informers.of::<T>();
                    let cache = informer.cache.clone();
                    self.informers.insert(id, informer);
                    cache
                }
                None => Arc::new(Cache::new()),
            };
            let cache: Arc<dyn AnyCache> = Arc::new(Typed(cache));
            self.by_type.insert(id, cache.clone());
            self.by_what.insert(What::of::<T>(), cache);
        }
        self.of::<T>().clone()
    }

    /// The cache of a kind that some controller has declared to read.
    ///
    /// # Panics
    /// When no controller declared it: a mistake in the controller's `reads`, found by its first test.
    pub fn of<T: Resource>(&self) -> &Arc<Cache<T>> {
        let cache = self.by_type.get(&TypeId::of::<T>()).and_then(|cache| cache.as_any().downcast_ref::<Typed<T>>());
        &cache.unwrap_or_else(|| panic!("no controller declares to read {}", T::KIND)).0
    }

    pub fn get<T: Resource>(&self, key: &Key) -> Option<Arc<T>> {
        self.of::<T>().get(key)
    }

    pub fn informer<T: Resource>(&self) -> Option<Arc<Informer<T>>> {
        self.informers.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }

    pub fn any(&self, what: &What) -> Option<&Arc<dyn AnyCache>> {
        self.by_what.get(what)
    }

    pub fn all(&self) -> impl Iterator<Item = (&What, &Arc<dyn AnyCache>)> {
        self.by_what.iter()
    }
}
