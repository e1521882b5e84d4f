//! The status of a pod, made from its record and what is observed. Pure; writing it is the driver's.
//! It never goes backwards: a phase that says the pod is over stays, restart counts never shrink.
pub mod conditions;
pub mod containers;
pub mod patch;
pub mod phase;

use crate::pod::observed::Observed;
use crate::pod::record::{PodRecord, Why};
use crate::pod::view::{PodView, Role, api_time};
use crate::spec::resources::qos;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, HostIP, PodIP, PodStatus};

/// What a status says about the node.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    pub ips: Vec<String>,
    /// The name before `://` in container ids.
    pub runtime: String,
}

const OVER: [&str; 2] = ["Succeeded", "Failed"];

pub fn status(record: &PodRecord, observed: &Observed, node: &NodeFacts, now: Timestamp) -> PodStatus {
    let (pod, old) = (&record.pod, &record.status);
    let told = pod.pod_status();
    let all = pod.every_container();
    // A refused pod has never had containers to tell of.
    let refused = record.stop.as_ref().is_some_and(|stop| stop.why == Why::Refused);
    let all = if refused { Vec::new() } else { all };
    let of = |roles: &[Role], known: &Option<Vec<ContainerStatus>>| {
        let mine: Vec<(Role, Container)> = all.iter().filter(|(role, _)| roles.contains(role)).cloned().collect();
        containers::statuses(record, observed, &mine, known.as_deref().unwrap_or_default(), &node.runtime)
    };
    let init = of(&[Role::Init, Role::Sidecar], &old.init_container_statuses);
    let apps = of(&[Role::App], &old.container_statuses);
    let ephemeral = ephemeral(record, observed, of(&[Role::Ephemeral], &old.ephemeral_container_statuses));
    let both: Vec<ContainerStatus> = apps.iter().chain(&init).cloned().collect();
    let (phase, reason, message) = verdict(record, observed, &both);
    let shown_phase = shown_phase(record, observed, &phase);
    let known = old.conditions.as_deref().unwrap_or_default();
    let others = told.conditions.as_deref().unwrap_or_default();
    let mut conditions = conditions::conditions(pod, observed, &both, &phase, known, others, now);
    if let Some(stop) = record.stop.as_ref().filter(|stop| stop.why == Why::Evicted) {
        conditions::disrupt(&mut conditions, pod, &stop.message, stop.at);
    }
    let held_back = shown_phase != phase;
    let some = |list: Vec<ContainerStatus>| (!list.is_empty()).then_some(list);
    let (pod_ip, pod_ips) = pod_ips(record, observed, node);
    let text = |text: String| (!text.is_empty() && !held_back).then_some(text);
    PodStatus {
        phase: Some(shown_phase),
        reason: text(reason),
        message: text(message),
        conditions: Some(conditions),
        init_container_statuses: some(init),
        container_statuses: some(apps),
        ephemeral_container_statuses: some(ephemeral),
        host_ip: node.ips.first().cloned(),
        host_ips: Some(node.ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect::<Vec<_>>()).filter(|ips| !ips.is_empty()),
        pod_ip,
        pod_ips,
        qos_class: Some(told.qos_class.clone().unwrap_or_else(|| qos(pod).shown().into())),
        start_time: Some(api_time(record.started_at)),
        observed_generation: Some(pod.generation()).filter(|generation| *generation != 0),
        nominated_node_name: told.nominated_node_name.clone(),
        resource_claim_statuses: told.resource_claim_statuses.clone(),
        ..PodStatus::default()
    }
}

/// Ephemeral containers show once they exist or wait for a reason of their own.
fn ephemeral(record: &PodRecord, observed: &Observed, all: Vec<ContainerStatus>) -> Vec<ContainerStatus> {
    let known = |status: &ContainerStatus| observed.latest(&status.name).is_some() || record.waiting.contains_key(&status.name);
    let told = record.status.ephemeral_container_statuses.as_deref().unwrap_or_default();
    all.into_iter().filter(|status| known(status) || told.iter().any(|old| old.name == status.name)).collect()
}

fn verdict(record: &PodRecord, observed: &Observed, statuses: &[ContainerStatus]) -> (String, String, String) {
    let pod = &record.pod;
    if let Some(stop) = record.stop.as_ref().filter(|stop| matches!(stop.why, Why::Evicted | Why::DeadlineExceeded | Why::Refused)) {
        return ("Failed".into(), stop.reason.clone(), stop.message.clone());
    }
    let initialized = pod.pod_spec().containers.iter().any(|app| observed.active(&app.name).is_some());
    let mut phase = phase::phase(pod, statuses, record.ended, initialized).to_string();
    let over = |phase: Option<&str>| phase.filter(|phase| OVER.contains(phase)).map(String::from);
    if let Some(known) = over(pod.pod_status().phase.as_deref()).or(over(record.status.phase.as_deref())) {
        phase = known;
    }
    if record.ended && !OVER.contains(&phase.as_str()) && !pod.is_static() {
        phase = "Failed".into();
    }
    let (old, told) = (&record.status, pod.pod_status());
    if old.phase.as_deref() != Some(&phase) {
        return (phase, String::new(), String::new());
    }
    let reason = old.reason.clone().or(told.reason.clone()).unwrap_or_default();
    let message = old.message.clone().or(told.message.clone()).unwrap_or_default();
    (phase, reason, message)
}

/// A pod is not over while something of it runs.
fn shown_phase(record: &PodRecord, observed: &Observed, phase: &str) -> String {
    let known = record.status.phase.as_deref().unwrap_or("Pending");
    let over = OVER.contains(&phase) && !OVER.contains(&known);
    if over && !record.ended && observed.running().next().is_some() { known.into() } else { phase.into() }
}

fn pod_ips(record: &PodRecord, observed: &Observed, node: &NodeFacts) -> (Option<String>, Option<Vec<PodIP>>) {
    let ips: Vec<String> = match observed.sandboxes.first() {
        _ if record.pod.is_host_network() => node.ips.clone(),
        Some(sandbox) if !sandbox.ips.is_empty() => sandbox.ips.clone(),
        _ if record.stop.is_some() => return (record.status.pod_ip.clone(), record.status.pod_ips.clone()),
        _ => Vec::new(),
    };
    let list: Vec<PodIP> = ips.iter().map(|ip| PodIP { ip: ip.clone() }).collect();
    (ips.first().cloned(), (!list.is_empty()).then_some(list))
}

#[cfg(test)]
mod tests;
