//! What the kubelet remembers of one pod between steps. All of it can be lost: a restarted kubelet finds containers by their
//! labels and goes on from there.
use crate::pod::delay::Delay;
use crate::pod::effect::{Outcome, Waiting};
use crate::pod::observed::{Observed, Resources, State};
use crate::pod::probe::Probes;
use crate::pod::view::PodView;
use crate::spec::resources;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// After a failed start, sandbox or clean-up.
const RETRY_SECONDS: i64 = 10;
/// After a failed kill.
const KILL_RETRY_SECONDS: i64 = 2;
/// From a failed pull to the first look at whether it may be tried again.
const PULL_LOOK_SECONDS: i64 = 3;
/// Mounting is tried again after 1 s, 2 s, … up to this.
const MOUNT_RETRY_LIMIT_SECONDS: i64 = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    #[default]
    Api,
    /// From the manifest directory; the API shows a mirror.
    Static,
    /// Containers without a pod, found at start: they are ended.
    Lost,
}

/// Why a pod is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Deleted,
    Completed,
    Evicted,
    DeadlineExceeded,
    Refused,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    pub why: Why,
    /// Status reason and message, with phase `Failed`; empty where containers speak for themselves.
    pub reason: String,
    pub message: String,
    pub grace_seconds: i64,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Default)]
pub struct PodRecord {
    pub pod: Arc<Pod>,
    pub source: Source,
    /// When the kubelet first took the pod: its `startTime`.
    pub started_at: Timestamp,
    pub stop: Option<Stop>,
    /// The object (or the manifest) is no longer there.
    pub gone: bool,
    pub prepared: bool,
    pub prepare_failures: u32,
    pub prepare_at: Option<Timestamp>,
    pub sandbox_at: Option<Timestamp>,
    /// Not before these: a kill or a removal has failed.
    pub kill_at: Option<Timestamp>,
    pub remove_at: Option<Timestamp>,
    pub crash: BTreeMap<String, Delay>,
    /// By image.
    pub pulls: BTreeMap<String, (Delay, String)>,
    pub waiting: BTreeMap<String, Waiting>,
    pub retry_at: BTreeMap<String, Timestamp>,
    /// Killed because of a new definition: restarted whatever the policy says.
    pub restart_anyway: BTreeSet<String>,
    pub probes: Probes,
    /// By container id: the cgroup settings last asked for.
    pub applied: BTreeMap<String, Resources>,
    pub resize_at: Option<Timestamp>,
    /// The driver is at work; only urgent things are decided.
    pub busy: bool,
    /// The grace with which the pod is being killed now.
    pub killing: Option<i64>,
    /// All containers and sandboxes have stopped.
    pub ended: bool,
    pub cleaned: bool,
    pub object_deleted: bool,
    pub erased: bool,
    pub again_at: Option<Timestamp>,
    /// When time alone changes the answer.
    pub wake_at: Option<Timestamp>,
    /// The status last made; the next one is built on it.
    pub status: Arc<PodStatus>,
}

impl PodRecord {
    pub fn new(pod: Arc<Pod>, source: Source, now: Timestamp) -> PodRecord {
        let known = pod.pod_status().start_time.as_ref().map(|time| time.0);
        let status = Arc::new(pod.pod_status().clone());
        PodRecord { started_at: known.unwrap_or(now), pod, source, status, ..PodRecord::default() }
    }

    /// A new state of the object.
    pub fn update(&mut self, pod: Arc<Pod>) {
        self.pod = pod;
    }

    pub fn deletion_asked(&self) -> bool {
        self.gone || self.pod.metadata.deletion_timestamp.is_some()
    }

    pub fn refuse(&mut self, reason: &str, message: &str, now: Timestamp) {
        self.stop(Why::Refused, reason, message, 0, now);
    }

    /// Begins the end, or shortens the grace of one that has begun.
    pub fn stop(&mut self, why: Why, reason: &str, message: &str, grace_seconds: i64, now: Timestamp) {
        match &mut self.stop {
            Some(stop) => stop.grace_seconds = stop.grace_seconds.min(grace_seconds),
            None => self.stop = Some(Stop { why, reason: reason.into(), message: message.into(), grace_seconds, at: now }),
        }
    }

    /// The next moment of interest, if it is earlier than the ones known.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    /// Takes in what came of an effect.
    pub fn absorb(&mut self, outcome: Outcome, now: Timestamp) {
        let retry = now + SignedDuration::from_secs(RETRY_SECONDS);
        match outcome {
            Outcome::Prepared(result) => self.absorb_prepared(result, now),
            Outcome::SandboxCreated(result) => self.sandbox_at = result.is_err().then_some(retry),
            Outcome::Started { name, image, result } => self.absorb_started(name, image, result, now),
            Outcome::Probed { id, kind, success } => self.probes.absorb(&id, kind, success, now),
            Outcome::Resized { result: Ok(()), .. } => {}
            Outcome::Killed { result, .. } if result.is_err() => self.kill_at = Some(now + SignedDuration::from_secs(KILL_RETRY_SECONDS)),
            Outcome::Killed { .. } => self.kill_at = None,
            Outcome::Removed(result) => self.remove_at = result.is_err().then_some(retry),
            Outcome::Resized { id, result: Err(_) } => {
                self.applied.insert(id, Resources::default());
                self.resize_at = Some(retry);
            }
            Outcome::PodKilled(result) => {
                self.killing = None;
                self.kill_at = result.is_err().then(|| now + SignedDuration::from_secs(KILL_RETRY_SECONDS));
                self.again_at = self.kill_at;
            }
            Outcome::CleanedUp(result) => {
                self.cleaned = result.is_ok();
                self.again_at = result.is_err().then_some(retry);
            }
            Outcome::ObjectDeleted(result) => {
                self.object_deleted = result.is_ok();
                self.again_at = result.is_err().then_some(retry);
            }
            Outcome::Erased(result) => {
                self.erased = result.is_ok();
                self.again_at = result.is_err().then_some(retry);
            }
        }
    }

    fn absorb_prepared(&mut self, result: Result<(), String>, now: Timestamp) {
        // Volumes that could not be brought up to date stay as they are.
        self.prepared |= result.is_ok();
        self.prepare_failures = if result.is_ok() { 0 } else { self.prepare_failures + 1 };
        let seconds = (1i64 << (self.prepare_failures.max(1) - 1).min(10)).min(MOUNT_RETRY_LIMIT_SECONDS);
        self.prepare_at = result.is_err().then(|| now + SignedDuration::from_secs(seconds));
    }

    fn absorb_started(&mut self, name: String, image: String, result: Result<String, Waiting>, now: Timestamp) {
        let Err(waiting) = result.map(|id| self.note_applied(&name, id)) else {
            self.waiting.remove(&name);
            self.retry_at.remove(&name);
            self.restart_anyway.remove(&name);
            self.pulls.remove(&image);
            return;
        };
        let seconds = match waiting.reason.as_str() {
            "ErrImagePull" | "RegistryUnavailable" | "SignatureValidationFailed" => {
                let delay = Delay::next(self.pulls.get(&image).map(|(delay, _)| delay), now, now);
                self.pulls.insert(image, (delay, format!("{}: {}", waiting.reason, waiting.message)));
                PULL_LOOK_SECONDS
            }
            "ImagePullBackOff" => match self.pulls.get(&image) {
                Some((delay, _)) => (delay.seconds - now.duration_since(delay.updated_at).as_secs()).max(1),
                None => RETRY_SECONDS,
            },
            _ => RETRY_SECONDS,
        };
        self.retry_at.insert(name.clone(), now + SignedDuration::from_secs(seconds));
        self.waiting.insert(name, waiting);
    }

    fn note_applied(&mut self, name: &str, id: String) {
        if let Some((_, container)) = self.pod.container(name) {
            self.applied.insert(id, resources::of_container(&container));
        }
    }

    /// Takes up containers that were running before, and forgets what belongs to those that are no longer there.
    pub fn take_stock(&mut self, observed: &Observed) {
        self.probes.keep(|id| observed.by_id(id).is_some());
        self.applied.retain(|id, _| observed.by_id(id).is_some());
        for seen in observed.containers.iter().filter(|seen| seen.state == State::Running) {
            if self.applied.contains_key(&seen.id) {
                continue;
            }
            let Some((_, container)) = self.pod.container(&seen.name) else { continue };
            let (cpu, memory) = resources::differs(&container, seen.resources.as_ref());
            let wanted = resources::of_container(&container);
            let applied = seen.resources.filter(|_| cpu || memory).unwrap_or(wanted);
            self.applied.insert(seen.id.clone(), applied);
        }
    }

    /// Do CPU or memory of a running container have to change?
    pub fn resized(&self, container: &Container, id: &str) -> (bool, bool) {
        let wanted = resources::of_container(container);
        let Some(applied) = self.applied.get(id) else { return (false, false) };
        let cpu = (applied.cpu_shares, applied.cpu_quota.max(0)) != (wanted.cpu_shares, wanted.cpu_quota);
        (cpu, applied.memory_limit_bytes != wanted.memory_limit_bytes)
    }
}
