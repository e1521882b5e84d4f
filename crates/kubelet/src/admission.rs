//! Whether a pod may run on this node: resources, ports, labels, taints. Pure; the scheduler has asked the same, but pods can
//! be bound by hand and nodes change.
use crate::pod::view::PodView;
use crate::spec::quantity::{self, List};
use crate::spec::resources::pod_request;
use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why a pod is refused, as its status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub message: String,
}

/// `others` are the pods that use the node now.
pub fn admit(pod: &Pod, node: &Node, allocatable: &List, others: &[Arc<Pod>]) -> Result<(), Refusal> {
    if let Some(os) = pod.pod_spec().os.as_ref().filter(|os| os.name != "linux") {
        let _ = os;
        return Err(refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS".into()));
    }
    fits(pod, allocatable, others)?;
    if !matches_node(pod, node) {
        return Err(predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
    }
    if ports_clash(pod, others) {
        return Err(predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"));
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerations = pod.pod_spec().tolerations.as_deref().unwrap_or_default();
    let untolerated = taints.iter().any(|taint| taint.effect == "NoExecute" && !tolerations.iter().any(|one| tolerates(one, taint)));
    if untolerated && !pod.is_static() {
        return Err(predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate"));
    }
    Ok(())
}

fn refusal(reason: &str, message: String) -> Refusal {
    Refusal { reason: reason.into(), message: format!("Pod was rejected: {message}") }
}

fn predicate(name: &str, why: &str) -> Refusal {
    refusal(name, format!("Predicate {name} failed: {why}"))
}

fn fits(pod: &Pod, allocatable: &List, others: &[Arc<Pod>]) -> Result<(), Refusal> {
    let lacks = |resource: &str, asked: i64, used: i64, capacity: i64| {
        let reason = match resource {
            "cpu" => "OutOfcpu".to_string(),
            other => format!("OutOf{other}"),
        };
        let message = format!("Node didn't have enough resource: {resource}, requested: {asked}, used: {used}, capacity: {capacity}");
        Err(refusal(&reason, message))
    };
    let pods = quantity::value_of(Some(allocatable), "pods");
    if allocatable.contains_key("pods") && others.len() as i64 + 1 > pods {
        return lacks("pods", 1, others.len() as i64, pods);
    }
    for resource in requested(pod) {
        let asked = pod_request(pod, &resource);
        let known = allocatable.get(&resource);
        // Resources that the node does not know are somebody else's matter.
        let Some(known) = known.filter(|_| asked > 0) else { continue };
        let capacity = if resource == "cpu" { quantity::milli(known) } else { quantity::value(known) };
        let used: i64 = others.iter().map(|other| pod_request(other, &resource)).sum();
        if asked > capacity - used {
            return lacks(&resource, asked, used, capacity);
        }
    }
    Ok(())
}

fn requested(pod: &Pod) -> BTreeSet<String> {
    let containers = pod.init_containers().iter().chain(&pod.pod_spec().containers);
    let lists = containers.filter_map(|container| container.resources.as_ref()?.requests.as_ref());
    let own = pod.pod_spec().resources.as_ref().and_then(|own| own.requests.as_ref());
    lists.chain(own).flat_map(|list| list.keys().cloned()).collect()
}

fn ports_clash(pod: &Pod, others: &[Arc<Pod>]) -> bool {
    let mine = host_ports(pod);
    let clash = |one: &(String, String, i32), other: &(String, String, i32)| {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
        one.2 == other.2 && one.1 == other.1 && (any(&one.0) || any(&other.0) || one.0 == other.0)
    };
    others.iter().any(|other| host_ports(other).iter().any(|theirs| mine.iter().any(|own| clash(own, theirs))))
}

fn host_ports(pod: &Pod) -> Vec<(String, String, i32)> {
    let all = pod.every_container().into_iter().flat_map(|(_, container)| container.ports.unwrap_or_default());
    all.filter(|port| port.host_port.unwrap_or(0) > 0)
        .map(|port| {
            let protocol = port.protocol.unwrap_or_else(|| "TCP".into());
            (port.host_ip.unwrap_or_default(), protocol, port.host_port.unwrap_or(0))
        })
        .collect()
}

fn matches_node(pod: &Pod, node: &Node) -> bool {
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let spec = pod.pod_spec();
    if spec.node_selector.iter().flatten().any(|(key, value)| labels.get(key) != Some(value)) {
        return false;
    }
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    match affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref()) {
        None => true,
        Some(required) => {
            let name = node.metadata.name.clone().unwrap_or_default();
            let fields = BTreeMap::from([("metadata.name".to_string(), name)]);
            required.node_selector_terms.iter().any(|term| matches_term(term, labels, &fields))
        }
    }
}

fn matches_term(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, fields: &BTreeMap<String, String>) -> bool {
    let (expressions, on_fields) =
        (term.match_expressions.as_deref().unwrap_or_default(), term.match_fields.as_deref().unwrap_or_default());
    if expressions.is_empty() && on_fields.is_empty() {
        return false;
    }
    expressions.iter().all(|one| matches_one(one, labels)) && on_fields.iter().all(|one| matches_one(one, fields))
}

fn matches_one(one: &NodeSelectorRequirement, map: &BTreeMap<String, String>) -> bool {
    let value = map.get(&one.key);
    let values = one.values.as_deref().unwrap_or_default();
    let compared = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match one.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared().is_some_and(|(have, bound)| have > bound),
        "Lt" => compared().is_some_and(|(have, bound)| have < bound),
        _ => false,
    }
}

fn tolerates(one: &Toleration, taint: &Taint) -> bool {
    let empty = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    if !empty(&one.effect) && one.effect.as_deref() != Some(&taint.effect) {
        return false;
    }
    if !empty(&one.key) && one.key.as_deref() != Some(&taint.key) {
        return false;
    }
    match one.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        _ => !empty(&one.key) && one.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    fn check(spec: serde_json::Value, others: &[serde_json::Value]) -> String {
        let allocatable = serde_json::from_value(json!({"cpu": "2", "memory": "1Gi", "pods": "3"})).unwrap();
        let node =
            json!({"metadata": {"name": "n", "labels": {"zone": "a"}}, "spec": {"taints": [{"key": "gone", "effect": "NoExecute"}]}});
        let node: Node = serde_json::from_value(node).unwrap();
        let mut spec = spec;
        if spec["tolerations"].is_null() {
            spec["tolerations"] = json!([{"operator": "Exists"}]);
        }
        let others: Vec<Arc<Pod>> = others.iter().map(|spec| Arc::new(pod(spec.clone()))).collect();
        admit(&pod(spec), &node, &allocatable, &others).map_or_else(|refusal| refusal.reason, |()| "ok".into())
    }

    fn asks(cpu: &str) -> serde_json::Value {
        json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]})
    }

    #[test]
    fn says_what_is_short() {
        assert_eq!(check(asks("2"), &[]), "ok");
        assert_eq!(check(asks("1500m"), &[asks("600m")]), "OutOfcpu");
        assert_eq!(check(asks("1m"), &[asks("0"), asks("0"), asks("0")]), "OutOfpods");
        assert_eq!(check(json!({"nodeSelector": {"zone": "b"}}), &[]), "NodeAffinity");
        assert_eq!(check(json!({"tolerations": []}), &[]), "TaintToleration");
        let port = json!({"containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": 80}]}]});
        assert_eq!(check(port.clone(), &[port]), "NodePorts");
    }
}
