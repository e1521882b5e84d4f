//! The driver: informers keep the cluster and the queue up to date, one loop decides, and decisions are carried out beside it.
//! A decision counts at once (the pod is assumed to be there); binds go out side by side, so that the store commits them together.
use crate::cluster::Cluster;
use crate::cycle::{Decision, Failure, decide};
use crate::framework::Event;
use crate::plugins::PLUGINS;
use crate::pod::PodInfo;
use crate::preempt;
use crate::queue::{Queue, Waiting};
use client::events::{Recorder, reference};
use client::{Client, DeleteOptions, Informer, Informers, Patch};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use machinery::meta::Key;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use stdx::clock::Clock;
use stdx::random::Random;
use tokio::sync::{Notify, Semaphore};

mod watch;

/// Binds and other writes under way at once.
const MAX_WRITES: usize = 256;
/// So many decisions are made before others get the thread.
const BURST: usize = 64;

#[derive(Clone)]
pub struct Config {
    pub client: Client,
    pub clock: Clock,
    pub random: Random,
    /// Pods with this `schedulerName` are ours.
    pub name: String,
}

/// The running scheduler; ends when dropped.
pub struct Scheduler {
    task: tokio::task::JoinHandle<()>,
    shared: Arc<Shared>,
    /// Held so that the caches live as long as the scheduler.
    _informers: watch::Watched,
}

struct Shared {
    config: Config,
    state: Mutex<State>,
    wake: Notify,
    recorder: Recorder,
    budgets: Arc<Informer<PodDisruptionBudget>>,
    writes: Arc<Semaphore>,
    synced: tokio::sync::watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    cluster: Cluster,
    queue: Queue,
}

impl Scheduler {
    pub fn start(config: Config, informers: &Informers) -> Scheduler {
        let shared = Arc::new(Shared {
            recorder: Recorder::start(config.client.clone(), config.clock.clone(), &config.name, ""),
            config,
            state: Mutex::default(),
            wake: Notify::new(),
            budgets: informers.of(),
            writes: Arc::new(Semaphore::new(MAX_WRITES)),
            synced: tokio::sync::watch::Sender::new(false),
        });
        let watched = watch::Watched::start(informers, &shared);
        let task = tokio::spawn(run(shared.clone(), watched.clone()));
        Scheduler { task, shared, _informers: watched }
    }

    /// Waits until the first decision can be made.
    pub async fn synced(&self) {
        let _ = self.shared.synced.subscribe().wait_for(|synced| *synced).await;
    }

    pub fn is_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// Pods that wait for a node.
    pub fn pending(&self) -> usize {
        self.shared.state.lock().queue.len()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(shared: Arc<Shared>, watched: watch::Watched) {
    watched.synced().await;
    shared.synced.send_replace(true);
    loop {
        let mut decided = 0;
        while decided < BURST && shared.step() {
            decided += 1;
        }
        if decided == BURST {
            tokio::task::yield_now().await;
            continue;
        }
        let wake_at = shared.state.lock().queue.wake_at();
        let due = async {
            match wake_at {
                Some(at) => shared.config.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.wake.notified() => {}
            () = due => {}
        }
    }
}

impl Shared {
    fn now(&self) -> jiff::Timestamp {
        self.config.clock.now()
    }

    fn is_ours(&self, pod: &Pod) -> bool {
        let name = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or("default-scheduler");
        name == self.config.name
    }

    /// Something happened that may let refused pods in.
    fn happened(&self, state: &mut State, event: Event) {
        state.queue.happened(event, PLUGINS, self.now());
        self.wake.notify_one();
    }

    /// Decides on one pod; false when nobody waits.
    fn step(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        let Some(waiting) = state.queue.next(self.now()) else { return false };
        let pod = waiting.pod.clone();
        let draw = |count: usize| self.config.random.u64(0..count as u64) as usize;
        match decide(&pod, &state.cluster, PLUGINS, draw) {
            Decision::Node(node) => {
                state.cluster.set_pod(pod.clone(), &node);
                drop(state);
                self.spawn(bind(self.clone(), pod, node));
            }
            Decision::Unschedulable(failure) => {
                let budgets = self.budgets.cache.all();
                let plan = preempt::plan(&pod, &failure, &state.cluster, &budgets, PLUGINS);
                if let Some(plan) = &plan {
                    state.cluster.nominate(pod.clone(), &plan.node);
                }
                state.queue.refused(&pod.key, failure.plugins.clone(), PLUGINS, self.now());
                drop(state);
                self.spawn(refuse(self.clone(), waiting, failure, plan));
            }
        }
        true
    }

    fn spawn(self: &Arc<Self>, write: impl Future<Output = ()> + Send + 'static) {
        let writes = self.writes.clone();
        tokio::spawn(async move {
            let _place = writes.acquire_owned().await;
            write.await;
        });
    }
}

async fn bind(shared: Arc<Shared>, pod: Arc<PodInfo>, node: String) {
    let Key { namespace, name } = &pod.key;
    let body = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "namespace": namespace, "uid": pod.uid},
        "target": {"kind": "Node", "name": node},
    });
    let bound = shared.config.client.create_subresource::<Pod, Value>(namespace, name, "binding", &body).await;
    let mut state = shared.state.lock();
    match bound {
        Ok(_) => {
            state.queue.remove(&pod.key);
            state.cluster.forget_nomination(&pod.key);
            drop(state);
            shared.recorder.normal(&reference(&*pod.pod), "Scheduled", format!("Successfully assigned {} to {node}", pod.key));
        }
        Err(error) => {
            state.cluster.remove_pod(&pod.key);
            shared.happened(&mut state, Event::PodGone);
            if error.is_not_found() {
                state.queue.remove(&pod.key);
                return;
            }
            tracing::warn!(namespace, name, node, %error, "a pod could not be bound");
            state.queue.refused(&pod.key, BTreeSet::new(), PLUGINS, shared.now());
            shared.wake.notify_one();
        }
    }
}

async fn refuse(shared: Arc<Shared>, waiting: Waiting, failure: Failure, plan: Option<preempt::Plan>) {
    let pod = waiting.pod;
    let mut message = failure.message();
    match &plan {
        Some(plan) => {
            message += &format!(" preemption: {} pods on {} have to leave first.", plan.victims.len(), plan.node);
            evict(&shared, &pod, plan).await;
        }
        None if failure.nodes > 0 => {
            let helpless = failure.nodes - failure.candidates.len();
            message += &format!(" preemption: 0/{} nodes are available: ", failure.nodes);
            let mut parts = Vec::new();
            if helpless > 0 {
                parts.push(format!("{helpless} Preemption is not helpful for scheduling"));
            }
            if !failure.candidates.is_empty() {
                parts.push(format!("{} No preemption victims found for incoming pod", failure.candidates.len()));
            }
            message += &format!("{}.", parts.join(", "));
        }
        None => {}
    }
    shared.recorder.warning(&reference(&*pod.pod), "FailedScheduling", message.clone());
    tell(&shared, &pod, &message, plan.map(|plan| plan.node)).await;
}

/// Writes the condition (and the nominated node), if it says something new.
async fn tell(shared: &Shared, pod: &PodInfo, message: &str, nominated: Option<String>) {
    let conditions = pod.pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let told = |condition: &PodCondition| condition.type_ == "PodScheduled" && condition.message.as_deref() == Some(message);
    if nominated.is_none() && conditions.iter().any(told) {
        return;
    }
    let mut condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
    if !conditions.iter().any(|condition| condition.type_ == "PodScheduled" && condition.status == "False") {
        condition["lastTransitionTime"] = format!("{:.0}", shared.now()).into();
    }
    let mut status = json!({"conditions": [condition]});
    if let Some(node) = nominated {
        status["nominatedNodeName"] = node.into();
    }
    let patch = Patch::Strategic(json!({"metadata": {"uid": pod.uid}, "status": status}));
    if let Err(error) = shared.config.client.patch::<Pod>(&pod.key.namespace, &pod.key.name, "status", &patch).await {
        tracing::debug!(namespace = pod.key.namespace, name = pod.key.name, %error, "the reason could not be written");
    }
}

/// Removes the victims, each with a condition that says why.
async fn evict(shared: &Shared, pod: &PodInfo, plan: &preempt::Plan) {
    for victim in &plan.victims {
        let Key { namespace, name } = &victim.key;
        let message = format!("{}: preempting to accommodate a higher priority pod", shared.config.name);
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": message,
            "lastTransitionTime": format!("{:.0}", shared.now())});
        let patch = Patch::Strategic(json!({"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}}));
        let _ = shared.config.client.patch::<Pod>(namespace, name, "status", &patch).await; // it may have gone by itself
        let options = DeleteOptions { uid: Some(victim.uid.clone()), ..DeleteOptions::default() };
        match shared.config.client.delete::<Pod>(namespace, name, &options).await {
            Ok(()) => {
                let told = format!("Preempted by pod {} on node {}", pod.uid, plan.node);
                shared.recorder.normal(&reference(&*victim.pod), "Preempted", told);
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => tracing::warn!(namespace, name, %error, "a pod could not be preempted"),
        }
    }
}
