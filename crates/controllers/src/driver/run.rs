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
                    let mut turn = Turn { name, queue, key, clock, failed: true };
                    match worker.work(&turn.key).await {
                        Ok(wake_at) => {
                            turn.failed = false;
                            wake_at.into_iter().for_each(|at| turn.queue.add_at(turn.key.clone(), at));
                        }
                        Err(error) => tracing::debug!(controller = name, key = %turn.key, %error, "a plan failed"),
                    }
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

/// A key in the hands of a worker. It is given back even when the worker panics: one object that nobody thought of must not
/// stop the others, and is tried again after a back-off.
struct Turn {
    name: &'static str,
    queue: Arc<Queue>,
    key: Key,
    clock: Clock,
    failed: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(controller = self.name, key = %self.key, "a worker panicked");
        }
        self.queue.done(&self.key, self.failed, self.clock.now());
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    /// Notes when it works on which key; fails the first time, panics the second, and takes a second for each.
    #[derive(Default)]
    struct Slow {
        turns: Mutex<BTreeMap<Key, usize>>,
        at_once: Mutex<(usize, usize)>,
        log: Mutex<Vec<String>>,
    }

    impl Slow {
        fn begin(&self) {
            let mut at_once = self.at_once.lock();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
    }

    impl Worker for Slow {
        fn work<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Done> {
            Box::pin(async move {
                let turn = *self.turns.lock().entry(key.clone()).and_modify(|turn| *turn += 1).or_insert(1);
                self.begin();
                self.log.lock().push(format!("+{}", key.name));
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.log.lock().push(format!("-{}", key.name));
                self.at_once.lock().0 -= 1;
                match turn {
                    1 => Err("not yet".into()),
                    2 => panic!("a mistake"),
                    _ => Ok(None),
                }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_take_turns_and_come_back_after_failures_and_panics() {
        let (queue, worker) = (Arc::new(Queue::default()), Arc::new(Slow::default()));
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        let running = tokio::spawn(run("test", queue.clone(), worker.clone(), 2, clock));
        for name in ["a", "b", "c", "a"] {
            queue.add(Key::new("x", name));
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        running.abort();
        assert_eq!(worker.at_once.lock().1, 2, "two workers, two keys at once");
        for name in ["a", "b", "c"] {
            let own: Vec<String> = worker.log.lock().iter().filter(|line| line.ends_with(name)).cloned().collect();
            assert_eq!(own.concat(), format!("+{name}-{name}").repeat(3), "three turns, one after the other");
        }
    }
}
