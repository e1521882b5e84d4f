//! What controllers ask of pods: phase, readiness, availability, and which one to give up first.
use super::conditions::{Condition, find, is_true};
use super::{annotation, created, is_deleting, name, namespace, seconds, uid};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use std::cmp::{Ordering, Reverse};

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Neither finished nor being deleted.
pub fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_deleting(&pod.metadata)
}

/// Being deleted but not finished.
pub fn is_terminating(pod: &Pod) -> bool {
    !is_finished(pod) && is_deleting(&pod.metadata)
}

pub fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

pub fn by_node(pod: &Pod) -> Vec<String> {
    vec![node(pod).to_string()]
}

pub fn is_ready(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| is_true(&status.conditions, "Ready"))
}

pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    find(&pod.status.as_ref()?.conditions, "Ready").filter(|ready| ready.status() == "True")?.since()
}

/// Ready for at least `min_ready` seconds.
pub fn is_available(pod: &Pod, min_ready: i32, now: Timestamp) -> bool {
    is_ready(pod) && (min_ready <= 0 || available_at(pod, min_ready).is_some_and(|at| at <= now))
}

/// When a ready pod becomes available.
pub fn available_at(pod: &Pod, min_ready: i32) -> Option<Timestamp> {
    ready_since(pod).map(|since| since + seconds(min_ready.into()))
}

/// The next moment at which one of the pods becomes available by time alone.
pub fn next_available<'a>(pods: impl IntoIterator<Item = &'a Pod>, min_ready: i32, now: Timestamp) -> Option<Timestamp> {
    if min_ready <= 0 {
        return None;
    }
    pods.into_iter().filter_map(|pod| available_at(pod, min_ready)).filter(|at| *at > now).min()
}

pub fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let main = status.and_then(|status| status.container_statuses.as_ref());
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    main.into_iter().chain(init).flatten()
}

fn most_restarts(pod: &Pod) -> i32 {
    containers(pod).map(|container| container.restart_count).max().unwrap_or(0)
}

fn deletion_cost(pod: &Pod) -> i32 {
    annotation(&pod.metadata, "controller.kubernetes.io/pod-deletion-cost").and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// Those that cost least come first: unassigned, pending, unready, cheap, doubled up on a node (`rank`), ready for a short time,
/// often restarted, young. Times count by their order of magnitude, so that the choice among equals is spread (KEP-2185).
pub fn give_up_first(a: (&Pod, usize), b: (&Pod, usize), now: Timestamp) -> Ordering {
    let ((a, rank_a), (b, rank_b)) = (a, b);
    let phase_order = |pod: &Pod| match phase(pod) {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    let cheap = |pod: &Pod| (!node(pod).is_empty(), phase_order(pod), is_ready(pod), deletion_cost(pod));
    let readiness = || match (ready_since(a), ready_since(b)) {
        (Some(one), Some(other)) if is_ready(a) && is_ready(b) && one != other => younger(one, other, now).then_with(|| by_uid(a, b)),
        _ => Ordering::Equal,
    };
    let age = || {
        let (one, other) = (created(&a.metadata), created(&b.metadata));
        if one == other { Ordering::Equal } else { younger(one, other, now).then_with(|| by_uid(a, b)) }
    };
    let order = cheap(a).cmp(&cheap(b)).then(rank_b.cmp(&rank_a)).then_with(readiness);
    let order = order.then_with(|| Reverse(most_restarts(a)).cmp(&Reverse(most_restarts(b)))).then_with(age);
    order.then_with(|| name(&a.metadata).cmp(name(&b.metadata)))
}

fn younger(a: Timestamp, b: Timestamp, now: Timestamp) -> Ordering {
    let magnitude = |at: Timestamp| (now.duration_since(at).as_secs().max(0) + 1).ilog2();
    magnitude(a).cmp(&magnitude(b))
}

fn by_uid(a: &Pod, b: &Pod) -> Ordering {
    uid(&a.metadata).cmp(uid(&b.metadata))
}

/// A pod of a template, named by the server.
pub fn from_template(template: &PodTemplateSpec, owner: &ObjectMeta, reference: OwnerReference) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-", name(owner))),
        namespace: Some(namespace(owner).into()),
        labels: meta.labels,
        annotations: meta.annotations,
        finalizers: meta.finalizers,
        owner_references: Some(vec![reference]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: template.spec.clone(), status: None }
}
