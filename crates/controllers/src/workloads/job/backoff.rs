//! How long a Job waits before it tries again: 10 s, 20 s, … up to 10 minutes, counted from the end of the last failed pod.
use crate::objects::conditions::{Condition, find};
use crate::objects::{annotation, created, pods, seconds};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;

const FIRST_SECONDS: i64 = 10;
const LAST_SECONDS: i64 = 600;
pub const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// When the next pod may start, after the failures since the last success.
pub fn next_start<'a>(finished: impl Iterator<Item = &'a Arc<Pod>>, is_failed: impl Fn(&Pod) -> bool) -> Option<Timestamp> {
    let (mut failures, mut successes) = (Vec::new(), Vec::new());
    for pod in finished {
        if is_failed(pod) { failures.push(ended(pod)) } else { successes.push(ended(pod)) }
    }
    let last_success = successes.into_iter().max();
    failures.retain(|at| last_success.is_none_or(|success| *at > success));
    Some(*failures.iter().max()? + delay(failures.len()))
}

/// When the index of this failed pod may be tried again.
pub fn next_start_of_index(last: &Pod) -> Timestamp {
    ended(last) + delay(failures_of_index(last) as usize + 1)
}

fn delay(failures: usize) -> std::time::Duration {
    let doubled = FIRST_SECONDS << failures.saturating_sub(1).min(10);
    seconds(doubled.min(LAST_SECONDS))
}

/// Counted and ignored failures of the pod's index before it.
pub fn failures_of_index(pod: &Pod) -> i32 {
    counted_failures(pod) + ignored_failures(pod)
}

pub fn counted_failures(pod: &Pod) -> i32 {
    number(pod, FAILURES)
}

pub fn ignored_failures(pod: &Pod) -> i32 {
    number(pod, IGNORED_FAILURES)
}

fn number(pod: &Pod, key: &str) -> i32 {
    annotation(&pod.metadata, key).and_then(|text| text.parse().ok()).filter(|number| *number >= 0).unwrap_or(0)
}

/// When a pod ended: its last container's end; else when it ceased to be ready; else when it was deleted.
pub fn ended(pod: &Pod) -> Timestamp {
    let sidecar = |name: &str| {
        let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        init.into_iter().any(|container| container.name == name && container.restart_policy.as_deref() == Some("Always"))
    };
    let init = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    let main = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let all: Option<Vec<Timestamp>> = main
        .chain(init.filter(|container| sidecar(&container.name)))
        .map(|container| Some(container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0))
        .collect();
    if let Some(last) = all.and_then(|all| all.into_iter().max()) {
        return last;
    }
    let unready = pod.status.as_ref().and_then(|status| find(&status.conditions, "Ready")).filter(|ready| ready.status() == "False");
    if let Some(since) = unready.and_then(Condition::since) {
        return since;
    }
    match &pod.metadata.deletion_timestamp {
        Some(at) => at.0 - seconds(pod.metadata.deletion_grace_period_seconds.unwrap_or(0)),
        None => created(&pod.metadata),
    }
}

/// Restarts of containers in pods that are not finished.
pub fn restarts<'a>(all: impl Iterator<Item = &'a Arc<Pod>>) -> i32 {
    let running = all.filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
    running.map(|pod| pods::containers(pod).map(|container| container.restart_count).sum::<i32>()).sum()
}
