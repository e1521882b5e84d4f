//! The node lifecycle controller: a node that is not heard of becomes `Unknown`, conditions become taints, and pods of a node
//! that is not ready are not ready.
//! Reads nodes, leases and pods; writes nodes and the status of nodes and pods; is woken by nodes and leases.
use crate::driver::{Caches, Controller, Moment, Outcome, Plan, itself, reads, reads_indexed};
use crate::objects::conditions::{Condition, find, is_true};
use crate::objects::taints::{NOT_READY, UNREACHABLE};
use crate::objects::{name, pods, set_entry, time};
use client::Delta;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use machinery::meta::Key;
use std::sync::Arc;
use std::time::Duration;

pub const LEASES: &str = "kube-node-lease";
/// A node that never posted a status is given so long.
const STARTUP_GRACE: Duration = Duration::from_secs(60);
/// Conditions that nobody but the kubelet can know.
const FROM_KUBELET: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Condition, its status, and the taint that it means.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

pub static CONTROLLER: Controller = Controller {
    name: "nodelifecycle",
    account: "node-controller",
    reads: || vec![reads::<Node>(itself), reads::<Lease>(wake_by_lease), reads_indexed::<Pod>(wake_by_pod, &[("node", pods::by_node)])],
    writes: &["nodes", "nodes/status", "pods/status"],
    workers: 8,
    always: false,
    plan: |caches, key, moment| observe(caches, key).map(|view| reconcile(&view, moment)).unwrap_or_default(),
};

pub struct View {
    pub node: Arc<Node>,
    pub lease: Option<Arc<Lease>>,
    pub pods: Vec<Arc<Pod>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let node = caches.get::<Node>(key)?;
    let lease = caches.get::<Lease>(&Key::new(LEASES, key.name.as_str()));
    let pods = if is_ready(&node) { Vec::new() } else { caches.of::<Pod>().by_index("node", &key.name) };
    Some(View { node, lease, pods })
}

pub fn reconcile(view: &View, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let ready = condition(&view.node, "Ready");
    let heard = moment.since(&last_sign(view, ready));
    let until = heard + if ready.is_some() { moment.settings.node_grace } else { STARTUP_GRACE };
    let mut node = (*view.node).clone();
    if moment.now > until {
        make_unknown(&mut node, moment.now);
    } else {
        plan.wake(until + Duration::from_millis(1));
    }
    if node != *view.node {
        if ready.is_some_and(|ready| ready.status() == "True") {
            let message = format!("Node {} status is now: NodeNotReady", name(&node.metadata));
            plan.normal(&*view.node, "NodeNotReady", message);
        }
        // the status first; its event brings us back for the taints
        plan.status(&*view.node, node);
        return plan;
    }
    taint(&mut node, moment.now);
    label(&mut node);
    plan.update(&*view.node, node);
    if ready.is_some_and(|ready| ready.status() != "True") {
        view.pods.iter().for_each(|pod| unready(&mut plan, pod, moment.now));
    }
    plan
}

/// The last thing by which the node showed that it lives. What counts is when it was noticed here, not the node's clock.
fn last_sign(view: &View, ready: Option<&NodeCondition>) -> String {
    let renewed = view.lease.as_ref().and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|at| at.0.to_string()));
    let beat = ready.and_then(|ready| ready.last_heartbeat_time.as_ref()).map(|at| at.0.to_string());
    format!("{} {}", renewed.unwrap_or_default(), beat.unwrap_or_default())
}

fn make_unknown(node: &mut Node, now: Timestamp) {
    let created = node.metadata.creation_timestamp.clone();
    let list = node.status.get_or_insert_default().conditions.get_or_insert_default();
    for kind in FROM_KUBELET {
        match list.iter_mut().find(|condition| condition.type_ == kind) {
            None => {
                let text = "Kubelet never posted node status.";
                let mut condition = NodeCondition::new(kind, "Unknown", "NodeStatusNeverUpdated", text, now);
                condition.last_heartbeat_time = created.clone();
                list.push(condition);
            }
            Some(condition) if condition.status != "Unknown" => {
                condition.status = "Unknown".into();
                condition.reason = Some("NodeStatusUnknown".into());
                condition.message = Some("Kubelet stopped posting node status.".into());
                condition.last_transition_time = Some(time(now));
            }
            Some(_) => {}
        }
    }
}

/// Makes the taints follow the conditions; those of others stay.
fn taint(node: &mut Node, now: Timestamp) {
    let Some(ready) = condition(node, "Ready").map(|ready| ready.status.clone()) else { return };
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (kind, status, key) in TAINTS {
        if condition(node, kind).is_some_and(|condition| condition.status == status) {
            wanted.push((key, "NoSchedule"));
        }
    }
    match ready.as_str() {
        "False" => wanted.push((NOT_READY, "NoExecute")),
        "Unknown" => wanted.push((UNREACHABLE, "NoExecute")),
        _ => {}
    }
    let spec = node.spec.get_or_insert_default();
    if spec.unschedulable == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let mut taints = spec.taints.take().unwrap_or_default();
    taints.retain(|taint| !is_ours(taint) || wanted.contains(&(taint.key.as_str(), taint.effect.as_str())));
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            taints.push(Taint { key: key.into(), effect: effect.into(), value: None, time_added: Some(time(now)) });
        }
    }
    spec.taints = (!taints.is_empty()).then_some(taints);
}

fn is_ours(taint: &Taint) -> bool {
    let condition = TAINTS.iter().any(|(_, _, key)| *key == taint.key) || taint.key == UNSCHEDULABLE;
    match taint.effect.as_str() {
        "NoSchedule" => condition,
        "NoExecute" => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    }
}

/// The labels of before v1.14 follow those of today.
fn label(node: &mut Node) {
    for (new, old) in [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")] {
        if let Some(value) = crate::objects::label(&node.metadata, new).map(String::from) {
            set_entry(&mut node.metadata.labels, old, &value);
        }
    }
}

fn unready(plan: &mut Plan, pod: &Arc<Pod>, now: Timestamp) {
    if !pods::is_ready(pod) {
        return;
    }
    let mut new = (**pod).clone();
    let conditions = new.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten());
    for condition in conditions.filter(|condition| condition.type_ == "Ready") {
        condition.status = "False".into();
        condition.last_transition_time = Some(time(now));
    }
    let tell = Outcome::new(&**pod, ("NodeNotReady", "Node is not ready"), ("", ""));
    plan.replace(&**pod, new, "status", Some(tell));
}

pub fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    find(&node.status.as_ref()?.conditions, kind)
}

pub fn is_ready(node: &Node) -> bool {
    node.status.as_ref().is_some_and(|status| is_true(&status.conditions, "Ready"))
}

fn wake_by_lease(_: &Caches, delta: &Delta<Lease>) -> Vec<Key> {
    let meta = &delta.object().metadata;
    if meta.namespace.as_deref() == Some(LEASES) { vec![Key::new("", name(meta))] } else { Vec::new() }
}

/// A pod that becomes ready on a node that is not.
fn wake_by_pod(caches: &Caches, delta: &Delta<Pod>) -> Vec<Key> {
    let pod = delta.object();
    let key = Key::new("", pods::node(pod));
    let odd = pods::is_ready(pod) && caches.get::<Node>(&key).is_some_and(|node| !is_ready(&node));
    if odd { vec![key] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use expect_test::expect;
    use serde_json::{Value, json};

    fn node(ready: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
            "spec": {"taints": [{"key": "own", "effect": "NoSchedule"}, {"key": NOT_READY, "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn renew(world: &mut World, second: i64) {
        let at = Timestamp::from_second(second).unwrap();
        world.put(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n", "namespace": LEASES},
            "spec": {"renewTime": k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(at)},
        }));
    }

    fn tell(world: &World) -> String {
        let node = world.get("v1", "Node", "", "n");
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let taints: Vec<String> = taints
            .iter()
            .map(|taint| {
                format!(
                    "{}:{}",
                    taint["key"].as_str().unwrap().trim_start_matches("node.kubernetes.io/"),
                    taint["effect"].as_str().unwrap()
                )
            })
            .collect();
        format!("{} {}", node["status"]["conditions"][0]["status"].as_str().unwrap(), taints.join(" "))
    }

    #[test]
    fn a_ready_node_loses_its_taint() {
        let mut world = World::new(&[&CONTROLLER]);
        world.put(node("True"));
        world.fixpoint();
        expect!["True own:NoSchedule"].assert_eq(&tell(&world));
    }

    #[test]
    fn a_node_that_is_not_heard_of_becomes_unknown() {
        let mut world = World::new(&[&CONTROLLER]);
        world.put(node("True"));
        world.put(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "x"}, "spec": {"nodeName": "n", "containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }));
        for second in [0, 40, 80] {
            renew(&mut world, second);
            world.advance(40);
        }
        expect!["True own:NoSchedule"].assert_eq(&tell(&world));
        world.advance(20);
        world.fixpoint();
        expect!["Unknown own:NoSchedule unreachable:NoSchedule unreachable:NoExecute"].assert_eq(&tell(&world));
        assert_eq!(world.get("v1", "Pod", "x", "p")["status"]["conditions"][0]["status"], "False");
    }
}
