//! Pod: the unit that is scheduled and run. Defaults, checks, what each door may change, columns.
mod columns;
pub mod default;
mod image;
pub mod qos;
mod resize;
mod status;
mod update;
pub mod usage;
pub mod validate;
mod volumes;
mod warnings;

pub use default::{default_pod_spec, default_pod_template};
pub use validate::{validate_pod_spec, validate_pod_template};
pub use volumes::default_claim_spec;
pub use warnings::template_warnings;

use crate::access::{Flag, List, Text, same};
use crate::core::names::{ALL_VERBS, READ_WRITE, core};
use k8s_openapi::api::core::v1::{Affinity, Pod, PodAffinityTerm, PodCondition, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use machinery::kind::{Field, Kind, Names, Subresource};
use std::collections::BTreeMap;

pub static POD: Kind<Pod> = Kind {
    default: default::default_pod,
    on_create,
    on_update,
    validate: validate::validate,
    validate_update: update::validate_update,
    warnings: warnings::warnings,
    columns: columns::COLUMNS,
    fields: FIELDS,
    subresources: SUBRESOURCES,
    grace,
    ..Kind::of(Names {
        short: &["po"],
        categories: &["all"],
        verbs: ALL_VERBS,
        ..core("Pod", "pods", "pod", "pods", "io.k8s.api.core.v1.Pod")
    })
};

const FIELDS: &[Field<Pod>] = &[
    Field { path: "spec.nodeName", value: |pod| spec(pod, |spec| spec.node_name.text()) },
    Field { path: "spec.restartPolicy", value: |pod| spec(pod, |spec| spec.restart_policy.text()) },
    Field { path: "spec.schedulerName", value: |pod| spec(pod, |spec| spec.scheduler_name.text()) },
    Field { path: "spec.serviceAccountName", value: |pod| spec(pod, |spec| spec.service_account_name.text()) },
    Field { path: "spec.hostNetwork", value: |pod| pod.spec.as_ref().is_some_and(|spec| spec.host_network.on()).to_string() },
    Field { path: "status.phase", value: |pod| status(pod, |status| status.phase.text()) },
    Field { path: "status.podIP", value: |pod| status(pod, |status| status.pod_ips.list().first().map_or("", |first| &first.ip)) },
    Field { path: "status.nominatedNodeName", value: |pod| status(pod, |status| status.nominated_node_name.text()) },
];

const SUBRESOURCES: &[Subresource<Pod>] = &[
    Subresource {
        name: "ephemeralcontainers",
        verbs: READ_WRITE,
        prepare: update::prepare_ephemeral,
        validate: update::validate_ephemeral,
    },
    Subresource { name: "resize", verbs: READ_WRITE, prepare: resize::prepare, validate: resize::validate },
    Subresource { name: "status", verbs: READ_WRITE, prepare: status::prepare, validate: status::validate },
];

fn spec(pod: &Pod, of: fn(&PodSpec) -> &str) -> String {
    pod.spec.as_ref().map(of).unwrap_or_default().into()
}

fn status(pod: &Pod, of: fn(&PodStatus) -> &str) -> String {
    pod.status.as_ref().map(of).unwrap_or_default().into()
}

fn on_create(pod: &mut Pod) {
    pod.metadata.generation = Some(1);
    let mut status = PodStatus { phase: Some("Pending".into()), ..PodStatus::default() };
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let spec = pod.spec.get_or_insert_default();
    if !spec.scheduling_gates.list().is_empty() {
        status.conditions = Some(vec![PodCondition {
            type_: "PodScheduled".into(),
            status: "False".into(),
            reason: Some("SchedulingGated".into()),
            message: Some("Scheduling is blocked due to non-empty scheduling gates".into()),
            last_transition_time: pod.metadata.creation_timestamp.clone(),
            ..PodCondition::default()
        }]);
    }
    if let Some(affinity) = &mut spec.affinity {
        affinity_terms(affinity).for_each(|term| merge_label_keys(term, &labels));
    }
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        if let Some(selector) = &mut constraint.label_selector {
            require(selector, constraint.match_label_keys.list(), "In", &labels);
        }
    }
    default::default_pod_level(spec);
    status.qos_class = Some(qos::class(spec).into());
    pod.status = Some(status);
}

fn affinity_terms(affinity: &mut Affinity) -> impl Iterator<Item = &mut PodAffinityTerm> {
    let (mut required, mut preferred) = (Vec::new(), Vec::new());
    if let Some(near) = &mut affinity.pod_affinity {
        required.push(&mut near.required_during_scheduling_ignored_during_execution);
        preferred.push(&mut near.preferred_during_scheduling_ignored_during_execution);
    }
    if let Some(far) = &mut affinity.pod_anti_affinity {
        required.push(&mut far.required_during_scheduling_ignored_during_execution);
        preferred.push(&mut far.preferred_during_scheduling_ignored_during_execution);
    }
    let weighted = preferred.into_iter().flatten().flatten().map(|weighted| &mut weighted.pod_affinity_term);
    required.into_iter().flatten().flatten().chain(weighted)
}

/// `matchLabelKeys` become terms of the selector, with the pod's own values (KEP-3633).
fn merge_label_keys(term: &mut PodAffinityTerm, labels: &BTreeMap<String, String>) {
    if let Some(selector) = &mut term.label_selector {
        require(selector, term.match_label_keys.list(), "In", labels);
        require(selector, term.mismatch_label_keys.list(), "NotIn", labels);
    }
}

fn require(selector: &mut LabelSelector, keys: &[String], operator: &str, labels: &BTreeMap<String, String>) {
    for (key, value) in keys.iter().filter_map(|key| labels.get_key_value(key)) {
        let requirement = LabelSelectorRequirement { key: key.clone(), operator: operator.into(), values: Some(vec![value.clone()]) };
        selector.match_expressions.get_or_insert_default().push(requirement);
    }
}

fn on_update(new: &mut Pod, old: &Pod) {
    new.status.clone_from(&old.status);
    if let (Some(new), Some(old)) = (&mut new.spec, &old.spec)
        && new.resources.is_none()
    {
        new.resources.clone_from(&old.resources);
    }
    count_generation(new, old);
}

/// The generation rises with every change of the spec.
fn count_generation(new: &mut Pod, old: &Pod) {
    let generation = old.metadata.generation.unwrap_or(0);
    new.metadata.generation = Some(generation + i64::from(!same(&new.spec, &old.spec)));
}

/// Pods that run somewhere are marked first and go when their kubelet says so.
fn grace(pod: &Pod, asked: Option<i64>) -> Option<i64> {
    let spec = pod.spec.as_ref();
    let own = spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(0);
    let unscheduled = spec.is_none_or(|spec| spec.node_name.text().is_empty());
    let over = ["Failed", "Succeeded"].contains(&pod.status.as_ref().map_or("", |status| status.phase.text()));
    Some(match asked.unwrap_or(own) {
        _ if unscheduled || over => 0,
        seconds if seconds < 0 => 1,
        seconds => seconds,
    })
}

#[cfg(test)]
pub const MINIMAL: &str =
    r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"x"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;

#[cfg(test)]
mod tests;
