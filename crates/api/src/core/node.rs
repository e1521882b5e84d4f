//! Node: a machine that runs pods.
use crate::access::{Entries, Flag, List, Text, canonical_resources};
use crate::columns::{text, wide};
use crate::core::names::{READ_WRITE, core};
use crate::core::resources;
use crate::forms::{cidr, parse_cidr};
use crate::meta::report;
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, Taint};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Field, Kind, Names, Subresource};
use machinery::table::{age_column, name_column, or_none};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE: &str = "kubernetes.io/role";
const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub static NODE: Kind<Node> = Kind {
    default,
    on_create: |node| {
        if let Some(spec) = &mut node.spec {
            spec.config_source = None;
            spec.pod_preemption_policy = None;
        }
        if let Some(status) = &mut node.status {
            status.config = None;
        }
    },
    on_update: |new, old| new.status.clone_from(&old.status),
    validate,
    validate_update: changes,
    columns: &[
        name_column(),
        text("Status", |node, _| state(node).into()),
        text("Roles", |node, _| or_none(&roles(node)).into()),
        age_column(),
        text("Version", |node, _| info(node, |info| &info.kubelet_version).into()),
        wide("Internal-IP", |node, _| address(node, "InternalIP").into()),
        wide("External-IP", |node, _| address(node, "ExternalIP").into()),
        wide("OS-Image", |node, _| known(info(node, |info| &info.os_image)).into()),
        wide("Kernel-Version", |node, _| {
            let kernel = known(info(node, |info| &info.kernel_version));
            match info(node, |info| &info.architecture) {
                "" => kernel.into(),
                architecture => format!("{kernel} ({architecture})").into(),
            }
        }),
        wide("Container-Runtime", |node, _| known(info(node, |info| &info.container_runtime_version)).into()),
    ],
    fields: &[Field { path: "spec.unschedulable", value: |node| spec(node).is_some_and(|spec| spec.unschedulable.on()).to_string() }],
    subresources: &[Subresource {
        name: "status",
        verbs: READ_WRITE,
        prepare: |new, old| new.spec.clone_from(&old.spec),
        validate: |new, old, errors| {
            amounts(new, errors);
            declared_features(new, errors);
            changes(new, old, errors);
        },
    }],
    ..Kind::of(Names { short: &["no"], namespaced: false, ..core("Node", "nodes", "node", "minions", "io.k8s.api.core.v1.Node") })
};

fn spec(node: &Node) -> Option<&NodeSpec> {
    node.spec.as_ref()
}

fn default(node: &mut Node) {
    node.spec.get_or_insert_default();
    let status: &mut NodeStatus = node.status.get_or_insert_default();
    if status.allocatable.is_none() {
        status.allocatable.clone_from(&status.capacity);
    }
    // Always on the wire, empty or not.
    status.node_info.get_or_insert_default();
    status.daemon_endpoints.get_or_insert_default().kubelet_endpoint.get_or_insert_default();
    canonical_resources(&mut status.allocatable);
    canonical_resources(&mut status.capacity);
    if let Some(spec) = &mut node.spec {
        // `podCIDR` is the first of `podCIDRs`, which older clients do not know.
        match (spec.pod_cidr.text(), spec.pod_cidrs.list()) {
            ("", [first, ..]) => spec.pod_cidr = Some(first.clone()),
            (single, []) if !single.is_empty() => spec.pod_cidrs = Some(vec![single.into()]),
            _ => {}
        }
    }
}

fn validate(node: &Node, errors: &mut Errors) {
    let Some(spec) = spec(node) else { return };
    errors.at("metadata", |errors| taints(spec.taints.list(), errors));
    amounts(node, errors);
    declared_features(node, errors);
    let ranges = spec.pod_cidrs.list();
    errors.each("spec.podCIDRs", ranges, |errors, range| {
        cidr(errors, "", range);
    });
    let fours = ranges.iter().filter_map(|range| parse_cidr(range)).filter(|(address, _)| address.is_ipv4()).count();
    if ranges.len() > 2 || (ranges.len() == 2 && fours != 1) {
        errors.invalid("spec.podCIDRs", ranges, "may specify no more than one CIDR for each IP family");
    }
}

fn amounts(node: &Node, errors: &mut Errors) {
    let Some(status) = &node.status else { return };
    for (field, list) in [("status.capacity", &status.capacity), ("status.allocatable", &status.allocatable)] {
        for (name, quantity) in list.entries() {
            errors.at(&format!("{field}.{name}"), |errors| resources::quantity(errors, name, quantity));
        }
    }
}

fn declared_features(node: &Node, errors: &mut Errors) {
    let features = node.status.as_ref().map_or(&[][..], |status| status.declared_features.list());
    for (index, pair) in features.windows(2).enumerate() {
        let field = format!("status.declaredFeatures[{}]", index + 1);
        match pair[0].cmp(&pair[1]) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => errors.duplicate(&field, &pair[1]),
            std::cmp::Ordering::Greater => errors.invalid(&field, &pair[1], "list must be sorted alphabetically"),
        }
    }
}

fn taints(taints: &[Taint], errors: &mut Errors) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    errors.each("taints", taints, |errors, taint| {
        report(errors, "key", &taint.key, content::label_key(&taint.key));
        let problems = content::label_value(taint.value.text());
        if !problems.is_empty() {
            errors.invalid("value", taint.value.text(), &problems.join(";"));
        }
        match taint.effect.as_str() {
            "" => errors.required("effect", ""),
            effect if EFFECTS.contains(&effect) => {}
            other => errors.not_supported("effect", other, EFFECTS),
        }
        let pair = (taint.key.as_str(), taint.effect.as_str());
        if seen.contains(&pair) {
            errors.duplicate("", taint);
        }
        seen.push(pair);
    });
}

/// Checks what is fixed once it is set.
fn changes(new: &Node, old: &Node, errors: &mut Errors) {
    let addresses = new.status.as_ref().map_or(&[][..], |status| status.addresses.list());
    for (index, address) in addresses.iter().enumerate().filter(|(index, address)| addresses[..*index].contains(address)) {
        errors.duplicate(&format!("status.addresses[{index}]"), address);
    }
    let none = NodeSpec::default();
    let (new, old) = (spec(new).unwrap_or(&none), spec(old).unwrap_or(&none));
    if !old.pod_cidrs.list().is_empty() && old.pod_cidrs.list() != new.pod_cidrs.list() {
        errors.forbidden("spec.podCIDRs", "node updates may not change podCIDR except from \"\" to valid");
    }
    match (old.provider_id.text(), new.provider_id.text()) {
        ("", _) => {}
        (_, "") => errors.invalid("spec.providerID", None::<&str>, "field cannot be cleared once set"),
        (old, new) if old != new => errors.invalid("spec.providerID", None::<&str>, "field cannot be modified once set"),
        _ => {}
    }
    if new.external_id.text() != old.external_id.text() {
        errors.forbidden("spec.externalID", "may not be updated");
    }
}

fn state(node: &Node) -> String {
    let conditions = node.status.as_ref().map_or(&[][..], |status| status.conditions.list());
    let ready = match conditions.iter().find(|condition| condition.type_ == "Ready") {
        None => "Unknown",
        Some(condition) if condition.status == "True" => "Ready",
        Some(_) => "NotReady",
    };
    let cordoned = spec(node).is_some_and(|spec| spec.unschedulable.on());
    if cordoned { format!("{ready},SchedulingDisabled") } else { ready.into() }
}

fn roles(node: &Node) -> String {
    let named = node.metadata.labels.entries().filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) if !role.is_empty() => Some(role),
        None if key == ROLE && !value.is_empty() => Some(value.as_str()),
        _ => None,
    });
    let roles: std::collections::BTreeSet<&str> = named.collect();
    roles.into_iter().collect::<Vec<_>>().join(",")
}

fn address<'a>(node: &'a Node, kind: &str) -> &'a str {
    let addresses = node.status.as_ref().map_or(&[][..], |status| status.addresses.list());
    addresses.iter().find(|address| address.type_ == kind).map_or("<none>", |address| &address.address)
}

fn info(node: &Node, of: fn(&k8s_openapi::api::core::v1::NodeSystemInfo) -> &String) -> &str {
    node.status.as_ref().and_then(|status| status.node_info.as_ref()).map_or("", |info| of(info))
}

fn known(text: &str) -> &str {
    if text.is_empty() { "<unknown>" } else { text }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}"#;
