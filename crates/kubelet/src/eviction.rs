//! When the node runs short, who has to go: which pressures hold, and the pod that goes first. Pure.
use crate::pod::view::PodView;
use crate::spec::resources::pod_request;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;

/// What the machine has left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signals {
    pub memory_available: u64,
    pub disk_available: u64,
    pub disk_capacity: u64,
    pub inodes_free: u64,
    pub inodes: u64,
    pub pids_available: u64,
    pub pids: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub memory_bytes: u64,
    pub disk_percent: u64,
    pub inodes_percent: u64,
    pub pids_percent: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { memory_bytes: 100 << 20, disk_percent: 10, inodes_percent: 5, pids_percent: 10 }
    }
}

/// A pressure holds on for this long after its cause is gone, so that the node does not flap.
const HOLD_SECONDS: i64 = 300;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressures {
    pub memory: Option<Timestamp>,
    pub disk: Option<Timestamp>,
    pub pids: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    Memory,
    Disk,
    Pids,
}

impl Pressures {
    /// The pressures after a look; and what is short right now.
    pub fn observe(self, signals: &Signals, limits: &Thresholds, now: Timestamp) -> (Pressures, Option<Short>) {
        let below = |left: u64, all: u64, percent: u64| all > 0 && left * 100 < all * percent;
        let memory = signals.memory_available < limits.memory_bytes;
        let disk = below(signals.disk_available, signals.disk_capacity, limits.disk_percent)
            || below(signals.inodes_free, signals.inodes, limits.inodes_percent);
        let pids = below(signals.pids_available, signals.pids, limits.pids_percent);
        let hold = |short: bool, since: Option<Timestamp>| match (short, since) {
            (true, _) => Some(now),
            (false, Some(last)) if now < last + SignedDuration::from_secs(HOLD_SECONDS) => Some(last),
            (false, _) => None,
        };
        let next = Pressures { memory: hold(memory, self.memory), disk: hold(disk, self.disk), pids: hold(pids, self.pids) };
        let short = match (memory, disk, pids) {
            (true, _, _) => Some(Short::Memory),
            (_, true, _) => Some(Short::Disk),
            (_, _, true) => Some(Short::Pids),
            _ => None,
        };
        (next, short)
    }
}

/// One pod with what it uses.
pub struct Candidate {
    pub pod: Arc<Pod>,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

/// The pod to evict and the words for it: first those that use more than they asked for, then the least important, then by use.
/// Static and critical pods stay.
pub fn choose(short: Short, candidates: &[Candidate]) -> Option<(Arc<Pod>, String)> {
    const CRITICAL: i32 = 2_000_000_000;
    let mut open: Vec<&Candidate> = candidates
        .iter()
        .filter(|one| !one.pod.is_static() && !one.pod.is_mirror() && one.pod.pod_spec().priority.unwrap_or(0) < CRITICAL)
        .collect();
    let use_of = |one: &Candidate| match short {
        Short::Memory => (one.memory_bytes as i64, pod_request(&one.pod, "memory")),
        Short::Disk => (one.disk_bytes as i64, pod_request(&one.pod, "ephemeral-storage")),
        Short::Pids => (0, 0),
    };
    open.sort_by_key(|one| {
        let (used, asked) = use_of(one);
        (used <= asked, one.pod.pod_spec().priority.unwrap_or(0), std::cmp::Reverse(used - asked))
    });
    let first = open.first()?;
    let resource = match short {
        Short::Memory => "memory",
        Short::Disk => "ephemeral-storage",
        Short::Pids => "pids",
    };
    Some((first.pod.clone(), format!("The node was low on resource: {resource}. ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn the_greedy_and_unimportant_goes_first() {
        let candidate = |name: &str, priority: i32, asked: &str, used: u64| {
            let requests = json!({"memory": asked});
            let mut pod = pod(json!({"priority": priority, "containers": [{"name": "a", "resources": {"requests": requests}}]}));
            pod.metadata.name = Some(name.into());
            Candidate { pod: Arc::new(pod), memory_bytes: used, disk_bytes: 0 }
        };
        let first = |list: &[Candidate]| choose(Short::Memory, list).map(|(pod, _)| pod.pod_name().to_string());
        let list = [candidate("modest", 0, "100", 50), candidate("greedy", 5, "10", 90), candidate("vital", 2_000_000_000, "1", 999)];
        assert_eq!(first(&list).as_deref(), Some("greedy"));
        assert_eq!(first(&list[2..]), None);
    }

    #[test]
    fn a_pressure_lasts_a_while() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let low = Signals { memory_available: 1, ..Signals::default() };
        let well = Signals { memory_available: 1 << 40, ..Signals::default() };
        let (held, short) = Pressures::default().observe(&low, &Thresholds::default(), at(0));
        assert_eq!(short, Some(Short::Memory));
        assert!(held.observe(&well, &Thresholds::default(), at(299)).0.memory.is_some());
        assert!(held.observe(&well, &Thresholds::default(), at(300)).0.memory.is_none());
    }
}
