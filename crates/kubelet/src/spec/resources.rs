//! Requests and limits as cgroup settings, the quality of service, and the out-of-memory score. Numbers only.
use crate::pod::observed::Resources;
use crate::pod::view::{PodView, is_sidecar};
use crate::spec::quantity::{List, milli_of, value_of};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};

pub const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
pub const PERIOD_US: i64 = 100_000;
const MIN_QUOTA_US: i64 = 1_000;
const GUARANTEED_SCORE: i64 = -997;
const BEST_EFFORT_SCORE: i64 = 1000;
/// Pods of this priority and above are never the first to go.
const CRITICAL_PRIORITY: i32 = 2_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    pub fn shown(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

pub fn shares(milli: i64) -> i64 {
    if milli == 0 { MIN_SHARES } else { (milli.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES) }
}

/// 0: no limit.
pub fn quota(milli: i64) -> i64 {
    if milli == 0 { 0 } else { (milli.saturating_mul(PERIOD_US) / 1000).max(MIN_QUOTA_US) }
}

/// cgroup v2's weight for shares of v1.
pub fn weight(shares: i64) -> i64 {
    1 + ((shares.clamp(MIN_SHARES, MAX_SHARES) - 2) * 9999) / 262_142
}

/// The settings of one container; zero where there is no limit.
pub fn of_container(container: &Container) -> Resources {
    let resources = container.resources.as_ref();
    let (requests, limits) = (resources.and_then(|all| all.requests.as_ref()), resources.and_then(|all| all.limits.as_ref()));
    let limit = milli_of(limits, "cpu");
    let request = if requests.is_some_and(|list| list.contains_key("cpu")) { milli_of(requests, "cpu") } else { limit };
    Resources {
        cpu_shares: shares(request),
        cpu_quota: quota(limit),
        cpu_period: PERIOD_US,
        memory_limit_bytes: value_of(limits, "memory"),
    }
}

/// Does a running container's CPU or memory differ from its spec? Not known counts as no.
pub fn differs(container: &Container, seen: Option<&Resources>) -> (bool, bool) {
    let Some(seen) = seen else { return (false, false) };
    let want = of_container(container);
    let quota = |value: i64| value.max(0);
    let cpu = (seen.cpu_shares > 0 && weight(seen.cpu_shares) != weight(want.cpu_shares)) || quota(seen.cpu_quota) != want.cpu_quota;
    let memory = want.memory_limit_bytes != 0 && seen.memory_limit_bytes > 0 && seen.memory_limit_bytes != want.memory_limit_bytes;
    (cpu, memory)
}

pub fn qos(pod: &Pod) -> Qos {
    if let Some(own) = pod.pod_spec().resources.as_ref().filter(|own| own.requests.is_some() || own.limits.is_some()) {
        return qos_of(std::iter::once(own));
    }
    let all = pod.init_containers().iter().chain(&pod.pod_spec().containers);
    let none = ResourceRequirements::default();
    let listed: Vec<&ResourceRequirements> = all.map(|container| container.resources.as_ref().unwrap_or(&none)).collect();
    qos_of(listed.into_iter())
}

fn qos_of<'a>(all: impl Iterator<Item = &'a ResourceRequirements>) -> Qos {
    let (mut any, mut guaranteed) = (false, true);
    for resources in all {
        let (requests, limits) = (resources.requests.as_ref(), resources.limits.as_ref());
        for (name, read) in [("cpu", milli_of as fn(Option<&List>, &str) -> i64), ("memory", value_of)] {
            let (request, limit) = (read(requests, name), read(limits, name));
            any |= request > 0 || limit > 0;
            guaranteed &= limit > 0 && (request == limit || requests.is_none_or(|list| !list.contains_key(name)));
        }
    }
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

pub fn oom_score(pod: &Pod, container: &Container, capacity_bytes: i64) -> i64 {
    if pod.pod_spec().priority.unwrap_or(0) >= CRITICAL_PRIORITY {
        return GUARANTEED_SCORE;
    }
    match qos(pod) {
        Qos::Guaranteed => return GUARANTEED_SCORE,
        Qos::BestEffort => return BEST_EFFORT_SCORE,
        Qos::Burstable => {}
    }
    let own = burstable_score(container, capacity_bytes);
    // A sidecar must not be killed before the containers that it serves.
    if is_sidecar(container) {
        return pod.pod_spec().containers.iter().map(|app| burstable_score(app, capacity_bytes)).fold(own, i64::min);
    }
    own
}

fn burstable_score(container: &Container, capacity_bytes: i64) -> i64 {
    let requests = container.resources.as_ref().and_then(|all| all.requests.as_ref());
    let score = 1000 - 1000 * value_of(requests, "memory") / capacity_bytes.max(1);
    score.clamp(1000 + GUARANTEED_SCORE, BEST_EFFORT_SCORE - 1)
}

/// What a pod asks for of `resource`, as the scheduler counts: the larger of all apps together with the sidecars, and of each
/// init container with the sidecars before it; and the overhead.
pub fn pod_request(pod: &Pod, resource: &str) -> i64 {
    let read: fn(Option<&List>, &str) -> i64 = if resource == "cpu" { milli_of } else { value_of };
    let spec = pod.pod_spec();
    let overhead = read(spec.overhead.as_ref(), resource);
    if let Some(own) = spec.resources.as_ref().and_then(|own| own.requests.as_ref()).filter(|list| list.contains_key(resource)) {
        return read(Some(own), resource) + overhead;
    }
    let of = |container: &Container| read(container.resources.as_ref().and_then(|all| all.requests.as_ref()), resource);
    let (mut sidecars, mut peak) = (0i64, 0i64);
    for container in pod.init_containers() {
        if is_sidecar(container) {
            sidecars += of(container);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars + of(container));
        }
    }
    let apps: i64 = spec.containers.iter().map(of).sum();
    peak.max(apps.saturating_add(sidecars)).saturating_add(overhead)
}

/// The settings of the pod's own cgroup; a limit holds only if every container has one.
pub fn of_pod(pod: &Pod) -> Resources {
    let apps = &pod.pod_spec().containers;
    let limits = |container: &Container| container.resources.as_ref().and_then(|all| all.limits.clone());
    let sidecars = pod.init_containers().iter().filter(|container| is_sidecar(container));
    let long: Vec<&Container> = apps.iter().chain(sidecars).collect();
    let own = pod.pod_spec().resources.as_ref().and_then(|own| own.limits.as_ref());
    let sum = |resource: &str, read: fn(Option<&List>, &str) -> i64| {
        if let Some(list) = own.filter(|list| list.contains_key(resource)) {
            return read(Some(list), resource);
        }
        let each: Vec<i64> = long.iter().map(|container| read(limits(container).as_ref(), resource)).collect();
        if each.contains(&0) {
            return 0;
        }
        let once = pod.init_containers().iter().map(|container| read(limits(container).as_ref(), resource)).max().unwrap_or(0);
        each.iter().sum::<i64>().max(once)
    };
    Resources {
        cpu_shares: shares(pod_request(pod, "cpu")),
        cpu_quota: quota(sum("cpu", milli_of)),
        cpu_period: PERIOD_US,
        memory_limit_bytes: sum("memory", value_of),
    }
}
