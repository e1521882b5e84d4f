//! The `status` door, which kubelets and the scheduler use.
use super::usage::is_sidecar;
use super::validate::unchanged_annotations;
use crate::access::{List, Text};
use crate::forms::{id, parse_ip};
use crate::meta::report;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus};
use machinery::content;
use machinery::errors::Errors;

pub fn prepare(new: &mut Pod, old: &Pod) {
    new.spec.clone_from(&old.spec);
    new.metadata.generation = old.metadata.generation;
    new.metadata.deletion_timestamp = None;
    new.metadata.owner_references.clone_from(&old.metadata.owner_references);
    let Some(before) = &old.status else { return };
    let status = new.status.get_or_insert_default();
    if status.qos_class.text().is_empty() {
        status.qos_class.clone_from(&before.qos_class);
    }
    if status.resource_claim_statuses.is_none() {
        status.resource_claim_statuses.clone_from(&before.resource_claim_statuses);
    }
    if status.extended_resource_claim_status.is_none() {
        status.extended_resource_claim_status.clone_from(&before.extended_resource_claim_status);
    }
    if status.node_allocatable_resource_claim_statuses.is_none() {
        status.node_allocatable_resource_claim_statuses.clone_from(&before.node_allocatable_resource_claim_statuses);
    }
    keep_generations(status, before);
}

/// Writers that do not know `observedGeneration` do not take it away.
fn keep_generations(status: &mut PodStatus, before: &PodStatus) {
    if status.observed_generation.unwrap_or(0) == 0 {
        status.observed_generation = before.observed_generation;
    }
    for condition in status.conditions.iter_mut().flatten().filter(|condition| condition.observed_generation.unwrap_or(0) == 0) {
        let known = before.conditions.list().iter().find(|known| known.type_ == condition.type_);
        condition.observed_generation = known.and_then(|known| known.observed_generation);
    }
}

pub fn validate(new: &Pod, old: &Pod, errors: &mut Errors) {
    unchanged_annotations(new, old, errors);
    let (no_spec, none) = (PodSpec::default(), PodStatus::default());
    let spec = old.spec.as_ref().unwrap_or(&no_spec);
    let (new, old) = (new.status.as_ref().unwrap_or(&none), old.status.as_ref().unwrap_or(&none));
    errors.at("status", |errors| {
        conditions(new, errors);
        nominated_node(spec, new, old, errors);
        if new.observed_generation.is_some_and(|generation| generation < 0) {
            errors.invalid("observedGeneration", new.observed_generation, "must be a non-negative integer");
        }
        if new.qos_class.text() != old.qos_class.text() {
            errors.invalid("qosClass", new.qos_class.text(), crate::meta::IMMUTABLE);
        }
        transitions("containerStatuses", &new.container_statuses, &old.container_statuses, spec, &spec.containers, errors);
        let init = spec.init_containers.list();
        transitions("initContainerStatuses", &new.init_container_statuses, &old.init_container_statuses, spec, init, errors);
        ended("ephemeralContainerStatuses", &new.ephemeral_container_statuses, &old.ephemeral_container_statuses, |_, _| false, errors);
        claims(new, spec, errors);
        addresses(new, old, errors);
        for (field, list) in [
            ("containerStatuses", &new.container_statuses),
            ("initContainerStatuses", &new.init_container_statuses),
            ("ephemeralContainerStatuses", &new.ephemeral_container_statuses),
        ] {
            errors.each(field, list.list(), |errors, status| users(status, spec, errors));
        }
    });
}

fn conditions(status: &PodStatus, errors: &mut Errors) {
    errors.each("conditions", status.conditions.list(), |errors, condition| {
        if condition.observed_generation.is_some_and(|generation| generation < 0) {
            errors.invalid("observedGeneration", condition.observed_generation, "must be a non-negative integer");
        }
        if !["PodScheduled", "Ready", "Initialized"].contains(&condition.type_.as_str()) {
            report(errors, "Type", &condition.type_, content::label_key(&condition.type_));
        }
    });
}

fn nominated_node(spec: &PodSpec, new: &PodStatus, old: &PodStatus, errors: &mut Errors) {
    let name = new.nominated_node_name.text();
    if name.is_empty() || name == old.nominated_node_name.text() {
        return;
    }
    report(errors, "nominatedNodeName", name, content::dns_subdomain(name));
    if !spec.node_name.text().is_empty() {
        errors.forbidden("nominatedNodeName", "may not be set on pods that are already bound to a node");
    }
}

type Statuses = Option<Vec<ContainerStatus>>;

/// A container that ended for good does not run again.
fn transitions(field: &str, new: &Statuses, old: &Statuses, spec: &PodSpec, containers: &[Container], errors: &mut Errors) {
    let all_restart = spec
        .containers
        .iter()
        .chain(spec.init_containers.list())
        .any(|container| container.restart_policy_rules.list().iter().any(|rule| rule.action == "RestartAllContainers"));
    if !all_restart {
        let restarts = |name: &str, code| containers.iter().any(|container| container.name == name && restarts(container, spec, code));
        ended(field, new, old, restarts, errors);
    }
}

fn ended(field: &str, new: &Statuses, old: &Statuses, restarts: impl Fn(&str, i32) -> bool, errors: &mut Errors) {
    errors.each(field, old.list(), |errors, before| {
        let Some(end) = before.state.as_ref().and_then(|state| state.terminated.as_ref()) else { return };
        let Some(now) = new.list().iter().find(|status| status.name == before.name) else { return };
        let over = now.state.as_ref().is_some_and(|state| state.terminated.is_some());
        if !over && !restarts(&before.name, end.exit_code) {
            errors.forbidden("state", "may not be transitioned to non-terminated state");
        }
    });
}

/// Does a container start again after it ended with this code?
fn restarts(container: &Container, spec: &PodSpec, code: i32) -> bool {
    for rule in container.restart_policy_rules.list() {
        let Some(codes) = &rule.exit_codes else { continue };
        let listed = codes.values.list().contains(&code);
        if (codes.operator == "In") == listed {
            return true;
        }
    }
    if is_sidecar(container) {
        return true;
    }
    match container.restart_policy.as_deref().unwrap_or(spec.restart_policy.text()) {
        "Always" => true,
        "OnFailure" => code != 0,
        _ => false,
    }
}

fn claims(status: &PodStatus, spec: &PodSpec, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    errors.each("resourceClaimStatuses", status.resource_claim_statuses.list(), |errors, claim| {
        if !spec.resource_claims.list().iter().any(|known| known.name == claim.name) {
            errors.invalid("name", &claim.name, "must match the name of an entry in `spec.resourceClaims`");
        }
        if seen.contains(&claim.name.as_str()) {
            errors.duplicate("name", &claim.name);
        }
        seen.push(&claim.name);
        if let Some(name) = &claim.resource_claim_name {
            report(errors, "resourceClaimName", name, content::dns_subdomain(name));
        }
    });
}

fn addresses(new: &PodStatus, old: &PodStatus, errors: &mut Errors) {
    let ips = new.pod_ips.list();
    let list: Vec<&str> = ips.iter().map(|ip| ip.ip.as_str()).collect();
    let before: Vec<&str> = old.pod_ips.list().iter().map(|ip| ip.ip.as_str()).collect();
    family_each("podIPs", &list, &before, errors);
    match (new.pod_ip.text(), list.first()) {
        ("", None) => {}
        ("", Some(_)) | (_, None) => errors.invalid("podIPs", ips, "podIP and podIPs must either both be set or both be unset"),
        (single, Some(first)) if single != *first => errors.invalid("podIPs[0].ip", first, "must be equal to `podIP`"),
        _ => {}
    }
    let list: Vec<&str> = new.host_ips.list().iter().map(|ip| ip.ip.as_str()).collect();
    let before: Vec<&str> = old.host_ips.list().iter().map(|ip| ip.ip.as_str()).collect();
    if let Some(first) = list.first().filter(|first| **first != new.host_ip.text()) {
        errors.invalid("hostIPs[0].ip", first, "must be equal to `hostIP`");
    }
    family_each("hostIPs", &list, &before, errors);
}

/// Addresses, at most one of each family.
fn family_each(field: &str, list: &[&str], before: &[&str], errors: &mut Errors) {
    errors.each(field, list, |errors, address| {
        if !before.contains(address) {
            crate::forms::ip(errors, "", address);
        }
    });
    let fours = list.iter().filter_map(|address| parse_ip(address)).filter(|address| address.is_ipv4()).count();
    if list.len() > 2 || (list.len() == 2 && fours != 1) {
        let shown: Vec<_> = list.iter().map(|address| serde_json::json!({"ip": address})).collect();
        errors.invalid(field, shown, "may specify no more than one IP for each IP family");
    }
}

fn users(status: &ContainerStatus, spec: &PodSpec, errors: &mut Errors) {
    let Some(user) = status.user.as_ref().and_then(|user| user.linux.as_ref()) else { return };
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return errors.forbidden("user.linux", "cannot be set for a windows pod");
    }
    errors.at("user.linux", |errors| {
        if !(0..=i64::from(u32::MAX)).contains(&user.uid) {
            errors.invalid("uid", user.uid, &format!("must be between 0 and {}, inclusive", u32::MAX));
        }
        id(errors, "gid", Some(user.gid));
        errors.each("supplementalGroups", user.supplemental_groups.list(), |errors, group| id(errors, "", Some(*group)));
    });
}
