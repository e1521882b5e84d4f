//! What a client may change about a pod that exists: images, deadline, more tolerations, fewer gates; and ephemeral containers
//! through their own door.
use super::count_generation;
use super::validate::{is_mirror, tolerations, unchanged_annotations, whole};
use crate::access::{List, Text, differences, same};
use k8s_openapi::api::core::v1::{Affinity, Container, NodeAffinity, NodeSelectorTerm, Pod, PodSpec};
use machinery::errors::Errors;
use std::collections::BTreeMap;

const CHANGEABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions \
                          to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub fn validate_update(new: &Pod, old: &Pod, errors: &mut Errors) {
    unchanged_annotations(new, old, errors);
    let none = PodSpec::default();
    let (new, old) = (new.spec.as_ref().unwrap_or(&none), old.spec.as_ref().unwrap_or(&none));
    errors.at("spec", |errors| {
        let kept = same_containers("containers", &new.containers, &old.containers, errors)
            && same_containers("initContainers", new.init_containers.list(), old.init_containers.list(), errors);
        if !kept || !deadline(new, old, errors) {
            return;
        }
        only_more_tolerations(new, old, errors);
        only_fewer_gates(new, old, errors);
        if !same(new, old) {
            nothing_else(new, old, errors);
        }
    });
}

fn same_containers(field: &str, new: &[Container], old: &[Container], errors: &mut Errors) -> bool {
    if new.len() != old.len() {
        errors.forbidden(field, "pod updates may not add or remove containers");
        return false;
    }
    errors.each(field, new, |errors, container| {
        let image = container.image.text();
        if image.is_empty() {
            errors.required("image", "");
        }
        if image.trim() != image {
            errors.invalid("image", image, "must not have leading or trailing whitespace");
        }
    });
    true
}

/// A deadline may come nearer, and says whether it is in order.
fn deadline(new: &PodSpec, old: &PodSpec, errors: &mut Errors) -> bool {
    const FIELD: &str = "activeDeadlineSeconds";
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            errors.invalid(FIELD, seconds, "must be between 0 and 2147483647, inclusive");
            false
        }
        (Some(seconds), Some(before)) if before < seconds => {
            errors.invalid(FIELD, seconds, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            errors.invalid(FIELD, None::<i64>, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

fn only_more_tolerations(new: &PodSpec, old: &PodSpec, errors: &mut Errors) {
    let all = new.tolerations.list();
    for toleration in old.tolerations.list() {
        let kept = all.iter().any(|other| {
            let mut before = toleration.clone();
            before.toleration_seconds = other.toleration_seconds;
            same(&before, other)
        });
        if !kept {
            return errors.forbidden("tolerations", "existing toleration can not be modified except its tolerationSeconds");
        }
    }
    tolerations(all, errors);
}

fn only_fewer_gates(new: &PodSpec, old: &PodSpec, errors: &mut Errors) {
    errors.each("schedulingGates", new.scheduling_gates.list(), |errors, gate| {
        if !old.scheduling_gates.list().iter().any(|known| known.name == gate.name) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.name);
            errors.forbidden("name", &why);
        }
    });
}

/// Puts back what may change and compares the rest.
fn nothing_else(new: &PodSpec, old: &PodSpec, errors: &mut Errors) {
    let mut rest = new.clone();
    for (container, before) in rest.containers.iter_mut().zip(&old.containers) {
        container.image.clone_from(&before.image);
    }
    for (container, before) in rest.init_containers.iter_mut().flatten().zip(old.init_containers.list()) {
        container.image.clone_from(&before.image);
    }
    rest.active_deadline_seconds = old.active_deadline_seconds;
    rest.scheduling_gates.clone_from(&old.scheduling_gates);
    rest.tolerations.clone_from(&old.tolerations);
    if old.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) && rest.termination_grace_period_seconds == Some(1) {
        rest.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    if !old.scheduling_gates.list().is_empty() {
        gated(&mut rest, old, errors);
    }
    if !same(&rest, old) {
        let why = format!("pod updates may not change fields other than {CHANGEABLE}\n{}", differences(old, &rest));
        errors.forbidden("", &why);
    }
}

/// While a gate holds a pod back, where it may run can be narrowed.
fn gated(rest: &mut PodSpec, old: &PodSpec, errors: &mut Errors) {
    if !same(&rest.node_selector, &old.node_selector) {
        let none = BTreeMap::new();
        let new = rest.node_selector.as_ref().unwrap_or(&none);
        let added_only = old.node_selector.iter().flatten().all(|(key, value)| new.get(key) == Some(value));
        if !added_only {
            let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            errors.invalid("nodeSelector", new, why);
        }
        rest.node_selector.clone_from(&old.node_selector);
    }
    let of = |affinity: &Option<Affinity>| affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
    let (new, before) = (of(&rest.affinity), of(&old.affinity));
    if same(&new, &before) {
        return;
    }
    errors.at("affinity.nodeAffinity", |errors| narrower(new.as_ref(), before.as_ref(), errors));
    if let Some(affinity) = &mut rest.affinity {
        affinity.node_affinity = before;
    } else {
        rest.affinity = Some(Affinity { node_affinity: before, ..Affinity::default() });
    }
}

fn narrower(new: Option<&NodeAffinity>, old: Option<&NodeAffinity>, errors: &mut Errors) {
    const FIELD: &str = "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let terms = |affinity: Option<&NodeAffinity>| {
        let selector = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.clone());
        selector.map(|selector| selector.node_selector_terms)
    };
    let (Some(old), new) = (terms(old), terms(new).unwrap_or_default()) else { return };
    if new.len() != old.len() {
        return errors.invalid(FIELD, &new, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
    }
    for (index, (new, old)) in new.iter().zip(&old).enumerate() {
        if !only_additions(new, old) {
            let why = "only additions are allowed (no mutations or deletions)";
            errors.invalid(&format!("{FIELD}[{index}]"), new, why);
        }
    }
}

fn only_additions(new: &NodeSelectorTerm, old: &NodeSelectorTerm) -> bool {
    let empty = old.match_expressions.list().is_empty() && old.match_fields.list().is_empty();
    let contains = |new: &[_], old: &[_]| new.len() >= old.len() && new.iter().zip(old).all(|(new, old)| same(new, old));
    if empty {
        return new.match_expressions.list().is_empty() && new.match_fields.list().is_empty();
    }
    contains(new.match_expressions.list(), old.match_expressions.list()) && contains(new.match_fields.list(), old.match_fields.list())
}

/// Takes back all but the ephemeral containers.
pub fn prepare_ephemeral(new: &mut Pod, old: &Pod) {
    let containers = new.spec.take().and_then(|spec| spec.ephemeral_containers);
    keep_all_but_managed(new, old);
    new.spec.clone_from(&old.spec);
    new.spec.get_or_insert_default().ephemeral_containers = containers;
    count_generation(new, old);
}

/// Status and metadata as they were; only the managers of fields follow the request.
pub(super) fn keep_all_but_managed(new: &mut Pod, old: &Pod) {
    new.status.clone_from(&old.status);
    let (managed, version) = (new.metadata.managed_fields.take(), new.metadata.resource_version.take());
    new.metadata.clone_from(&old.metadata);
    (new.metadata.managed_fields, new.metadata.resource_version) = (managed, version);
}

pub fn validate_ephemeral(new: &Pod, old: &Pod, errors: &mut Errors) {
    if is_mirror(&old.metadata) {
        return errors.forbidden("", "static pods do not support ephemeral containers");
    }
    whole(new, errors);
    let none = PodSpec::default();
    let (new, old) = (new.spec.as_ref().unwrap_or(&none), old.spec.as_ref().unwrap_or(&none));
    for before in old.ephemeral_containers.list() {
        let why = match new.ephemeral_containers.list().iter().find(|container| container.name == before.name) {
            None => format!("existing ephemeral containers {:?} may not be removed\n", before.name),
            Some(now) if !same(now, before) => {
                format!("existing ephemeral containers {:?} may not be changed\n{}", before.name, differences(before, now))
            }
            Some(_) => continue,
        };
        errors.forbidden("spec.ephemeralContainers", &why);
    }
}
