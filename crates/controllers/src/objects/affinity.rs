//! Whether a node is one that a pod spec asks for: nodeSelector and required node affinity.
use super::{labels, name};
use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

pub fn wants(spec: &PodSpec, node: &Node) -> bool {
    let own = labels(&node.metadata);
    if !spec.node_selector.iter().flatten().all(|(key, value)| own.get(key) == Some(value)) {
        return false;
    }
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    match affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref()) {
        Some(required) => required.node_selector_terms.iter().any(|term| matches(term, node)),
        None => true,
    }
}

/// A term without requirements matches nothing.
fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let own = labels(&node.metadata);
    let of_field = |key: &str| (key == "metadata.name").then(|| name(&node.metadata));
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|one| meets(one, own.get(&one.key).map(String::as_str)))
        && fields.iter().all(|one| meets(one, of_field(&one.key)))
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_in = || value.is_some_and(|value| values.iter().any(|own| own == value));
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => is_in(),
        "NotIn" => !is_in(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(own, limit)| own > limit),
        "Lt" => numbers().is_some_and(|(own, limit)| own < limit),
        _ => false,
    }
}
