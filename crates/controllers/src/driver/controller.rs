//! What a controller is to the driver: a static description with one pure function from the caches to a plan.
use super::caches::Caches;
use super::plan::{Failure, Plan, What};
use super::queue::Queue;
use crate::settings::Settings;
use client::informer::IndexFn;
use client::{Delta, Informers};
use futures::future::BoxFuture;
use jiff::Timestamp;
use machinery::meta::Key;
use machinery::object::Resource;
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

/// `static REPLICASET: Controller = Controller { name: "replicaset", reads: || vec![…], … };`
pub struct Controller {
    /// As the original names it; its identity is `<name>-controller` unless `account` says otherwise.
    pub name: &'static str,
    pub account: &'static str,
    /// What it watches, and which keys a change wakes.
    pub reads: fn() -> Vec<Box<dyn Source>>,
    /// Resources that it writes (plural names), for people.
    pub writes: &'static [&'static str],
    /// So many keys are worked on at once.
    pub workers: usize,
    /// Whether the empty key is worked on once at the start, even when there is no object.
    pub always: bool,
    /// Observes and decides: the same caches and moment give the same plan.
    pub plan: fn(&Caches, &Key, &Moment) -> Plan,
}

/// Everything besides the caches that a plan may depend on.
pub struct Moment<'a> {
    pub now: Timestamp,
    /// When the driver began: nothing that happened before it can have been noticed late.
    pub started: Timestamp,
    /// Why the plan that was just tried failed; only reports will be carried out.
    pub failed: Option<&'a Failure>,
    pub settings: &'a Settings,
    pub noticed: &'a Noticed,
}

impl Moment<'_> {
    /// When this controller first noticed `fact` about this key. A fact that a plan does not ask about is forgotten.
    pub fn since(&self, fact: &str) -> Timestamp {
        let first = self.noticed.before.get(fact).copied().unwrap_or(self.now);
        self.noticed.now.borrow_mut().insert(fact.into(), first);
        first
    }
}

/// What a controller noticed about one key and when: for facts whose beginning stands in no object, as when a node was last
/// heard of by this process's clock.
#[derive(Debug, Default)]
pub struct Noticed {
    before: BTreeMap<String, Timestamp>,
    now: RefCell<BTreeMap<String, Timestamp>>,
}

impl Noticed {
    /// What the next plan starts from.
    pub fn next(self) -> Noticed {
        Noticed { before: self.now.into_inner(), now: RefCell::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.before.is_empty()
    }
}

/// A kind that a controller reads.
pub trait Source: Send + Sync {
    fn what(&self) -> What;
    fn open(&self, caches: &mut Caches, informers: Option<&Informers>);
    /// Keys that a change (`Delta<T>`) wakes.
    fn wake(&self, caches: &Caches, delta: &dyn Any) -> Vec<Key>;
    /// Sends keys to the queue for each change from now on.
    fn follow(self: Box<Self>, caches: &Arc<Caches>, queue: Weak<Queue>);
    fn synced<'a>(&self, caches: &'a Caches) -> BoxFuture<'a, ()>;
}

type Wake<T> = fn(&Caches, &Delta<T>) -> Vec<Key>;

struct Reads<T> {
    wake: Option<Wake<T>>,
    indexes: Vec<(&'static str, IndexFn<T>)>,
    kind: PhantomData<T>,
}

/// Watches a kind; `wake` maps a change to keys.
pub fn reads<T: Resource>(wake: Wake<T>) -> Box<dyn Source> {
    Box::new(Reads { wake: Some(wake), indexes: Vec::new(), kind: PhantomData })
}

/// Watches a kind and keeps indexes of it.
pub fn reads_indexed<T: Resource>(wake: Wake<T>, indexes: &[(&'static str, IndexFn<T>)]) -> Box<dyn Source> {
    Box::new(Reads { wake: Some(wake), indexes: indexes.to_vec(), kind: PhantomData })
}

/// Looks at a kind, but no change of it wakes anything.
pub fn looks_at<T: Resource>(indexes: &[(&'static str, IndexFn<T>)]) -> Box<dyn Source> {
    Box::new(Reads { wake: None, indexes: indexes.to_vec(), kind: PhantomData })
}

/// Wakes the changed object itself.
pub fn itself<T: Resource>(_: &Caches, delta: &Delta<T>) -> Vec<Key> {
    vec![Key::of(delta.object().metadata())]
}

impl<T: Resource> Source for Reads<T> {
    fn what(&self) -> What {
        What::of::<T>()
    }

    fn open(&self, caches: &mut Caches, informers: Option<&Informers>) {
        let cache = caches.open::<T>(informers);
        for (name, of) in &self.indexes {
            cache.add_index(name, *of);
        }
    }

    fn wake(&self, caches: &Caches, delta: &dyn Any) -> Vec<Key> {
        match (self.wake, delta.downcast_ref::<Delta<T>>()) {
            (Some(wake), Some(delta)) => wake(caches, delta),
            _ => Vec::new(),
        }
    }

    fn follow(self: Box<Self>, caches: &Arc<Caches>, queue: Weak<Queue>) {
        let (Some(wake), Some(informer)) = (self.wake, caches.informer::<T>()) else { return };
        let caches = Arc::downgrade(caches);
        informer.subscribe(move |delta| {
            if let (Some(caches), Some(queue)) = (caches.upgrade(), queue.upgrade()) {
                wake(&caches, delta).into_iter().for_each(|key| queue.add(key));
            }
        });
    }

    fn synced<'a>(&self, caches: &'a Caches) -> BoxFuture<'a, ()> {
        let informer = caches.informer::<T>();
        Box::pin(async move {
            if let Some(informer) = informer {
                informer.synced().await;
            }
        })
    }
}
