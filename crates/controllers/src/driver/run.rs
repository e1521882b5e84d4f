//! Runs controllers: takes keys from the queue, lets them be planned, carries the plans out. A key is planned again only
//! after the caches have seen what its last plan wrote.
use super::caches::Caches;
use super::carry::{Carrier, seen};
use super::controller::{Controller, Moment, Noticed};
use super::metrics::{Counters, add};
use super::plan::{Failure, Plan};
use super::queue::{Next, Queue};
use crate::settings::Settings;
use futures::future::BoxFuture;
use jiff::Timestamp;
use machinery::meta::Key;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use stdx::clock::Clock;
use tokio::sync::Semaphore;

/// What is done with one key. Planning controllers are `Planner`s; those that cannot see everything in caches bring their own.
pub trait Worker: Send + Sync + 'static {
    /// Works on one key; gives when to look again.
    fn work<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Done>;
}

/// How it went: `Err` comes back after a back-off.
pub type Done = Result<Option<Timestamp>, String>;

/// Takes keys and works on them, `workers` at once, until dropped.
pub async fn run(name: &'static str, queue: Arc<Queue>, worker: Arc<dyn Worker>, workers: usize, clock: Clock) {
    let permits = Arc::new(Semaphore::new(workers));
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        match queue.next(clock.now()) {
            Next::Work(key) => {
                let (queue, worker, clock) = (queue.clone(), worker.clone(), clock.clone());
                tasks.spawn(async move {
                    let done = worker.work(&key).await;
                    if let Err(error) = &done {
                        tracing::debug!(controller = name, %key, %error, "a plan failed");
                    }
                    if let Ok(Some(at)) = done {
                        queue.add_at(key.clone(), at);
                    }
                    queue.done(&key, done.is_err(), clock.now());
                    drop(permit);
                });
            }
            Next::Until(None) => queue.changed().await,
            Next::Until(Some(at)) => tokio::select! {
                () = queue.changed() => {}
                () = clock.sleep_until(at) => {}
            },
        }
    }
}

/// Observes, plans and carries out for one controller.
pub struct Planner {
    pub controller: &'static Controller,
    pub caches: Arc<Caches>,
    pub carrier: Carrier,
    pub clock: Clock,
    pub started: Timestamp,
    pub settings: Arc<Settings>,
    pub counters: Arc<Counters>,
    pub noticed: Mutex<HashMap<Key, Noticed>>,
}

impl Worker for Planner {
    fn work<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Done> {
        Box::pin(async move {
            let plan = self.plan(key, None);
            let wake_at = plan.wake_at;
            let writes = plan.writes() as u64;
            if plan.steps.is_empty() {
                return Ok(wake_at);
            }
            tracing::debug!(controller = self.controller.name, %key, steps = plan.steps.len(), "a plan");
            let carried = self.carrier.carry(plan.steps).await;
            add(&self.counters.writes, writes);
            seen(&self.caches, &carried.written).await;
            match carried.failed {
                None => Ok(wake_at),
                Some(failure) => {
                    if !carried.conflict {
                        self.report(key, &failure).await;
                    }
                    add(&self.counters.failures, 1);
                    Err(failure.message)
                }
            }
        })
    }
}

impl Planner {
    fn plan(&self, key: &Key, failed: Option<&Failure>) -> Plan {
        add(&self.counters.plans, 1);
        let noticed = self.noticed.lock().remove(key).unwrap_or_default();
        let moment = Moment { now: self.clock.now(), started: self.started, failed, settings: &self.settings, noticed: &noticed };
        let plan = (self.controller.plan)(&self.caches, key, &moment);
        let noticed = noticed.next();
        if !noticed.is_empty() {
            self.noticed.lock().insert(key.clone(), noticed);
        }
        plan
    }

    /// Plans once more with the failure known, and carries out what only tells about it.
    async fn report(&self, key: &Key, failure: &Failure) {
        let mut plan = self.plan(key, Some(failure));
        plan.steps.retain(|step| step.is_report());
        let carried = self.carrier.carry(plan.steps).await;
        seen(&self.caches, &carried.written).await;
    }
}
