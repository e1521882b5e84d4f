//! The taint eviction controller: pods leave a node whose `NoExecute` taints they do not tolerate, or do no longer.
//! Reads nodes and pods; deletes pods and says why in their status; is woken by both.
use crate::driver::{Caches, Controller, Moment, Plan, Step, Target, itself, reads, reads_indexed};
use crate::objects::conditions::{Condition, put};
use crate::objects::taints::{is_tolerated, tolerates};
use crate::objects::{is_deleting, name, namespace, pods, seconds, uid};
use client::Delta;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, Taint};
use machinery::meta::Key;
use std::sync::Arc;

pub static CONTROLLER: Controller = Controller {
    name: "taint-eviction",
    account: "node-controller",
    reads: || vec![reads::<Node>(itself), reads_indexed::<Pod>(wake_by_pod, &[("node", pods::by_node)])],
    writes: &["pods", "pods/status"],
    workers: 8,
    always: false,
    plan: |caches, key, moment| observe(caches, key).map(|view| reconcile(&view, moment)).unwrap_or_default(),
};

/// The taints that evict, and the pods that they may evict.
pub struct View {
    pub taints: Vec<Taint>,
    pub pods: Vec<Arc<Pod>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let node = caches.get::<Node>(key)?;
    let taints = evicting(&node);
    (!taints.is_empty()).then(|| View { taints, pods: caches.of::<Pod>().by_index("node", &key.name) })
}

pub fn reconcile(view: &View, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    for pod in view.pods.iter().filter(|pod| !is_deleting(&pod.metadata)) {
        match leaves_at(pod, &view.taints, moment) {
            Some(at) if at <= moment.now => evict(&mut plan, pod, moment.now),
            at => plan.wake_if(at),
        }
    }
    plan
}

/// When the pod has to leave; `None`: never.
fn leaves_at(pod: &Pod, taints: &[Taint], moment: &Moment) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    if taints.iter().any(|taint| !is_tolerated(taint, tolerations)) {
        return Some(moment.now);
    }
    let used = tolerations.iter().filter(|toleration| taints.iter().any(|taint| tolerates(toleration, taint)));
    let patience = used.filter_map(|toleration| toleration.toleration_seconds).min()?;
    Some(moment.since(&format!("{} {patience}", uid(&pod.metadata))) + seconds(patience))
}

fn evict(plan: &mut Plan, pod: &Arc<Pod>, now: Timestamp) {
    let mut new = (**pod).clone();
    let text = "Taint manager: deleting due to NoExecute taint";
    let condition = PodCondition::new("DisruptionTarget", "True", "DeletionByTaintManager", text, now);
    put(&mut new.status.get_or_insert_default().conditions, condition);
    let message = format!("Marking for deletion Pod {}/{}", namespace(&pod.metadata), name(&pod.metadata));
    plan.normal(&**pod, "TaintManagerEviction", message);
    plan.status(&**pod, new);
    plan.steps.push(Step::Delete { target: Target::of(&**pod), options: Default::default(), tell: None });
}

fn evicting(node: &Node) -> Vec<Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    taints.into_iter().filter(|taint| taint.effect == "NoExecute").collect()
}

fn wake_by_pod(caches: &Caches, delta: &Delta<Pod>) -> Vec<Key> {
    let key = Key::new("", pods::node(delta.object()));
    let tainted = caches.get::<Node>(&key).is_some_and(|node| !evicting(&node).is_empty());
    if tainted && !matches!(delta, Delta::Deleted(_)) { vec![key] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::{Value, json};

    fn world(tolerations: Value) -> World {
        let mut world = World::new(&[&CONTROLLER]);
        world.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}));
        world.put(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "x"},
            "spec": {"nodeName": "n", "containers": [], "tolerations": tolerations},
        }));
        world.change("v1", "Node", "", "n", |node| node["spec"] = json!({"taints": [{"key": "a", "effect": "NoExecute"}]}));
        world.settle();
        world
    }

    #[test]
    fn evicts_at_once_or_after_the_tolerated_time() {
        assert_eq!(world(json!([])).all("v1", "Pod").len(), 0);
        let mut world = world(json!([{"operator": "Exists", "tolerationSeconds": 60}]));
        world.advance(59);
        assert_eq!(world.all("v1", "Pod").len(), 1);
        world.advance(2);
        assert_eq!(world.all("v1", "Pod").len(), 0);
    }

    #[test]
    fn a_taint_that_goes_in_time_evicts_nobody() {
        let mut world = world(json!([{"operator": "Exists", "tolerationSeconds": 60}]));
        world.advance(30);
        world.change("v1", "Node", "", "n", |node| node["spec"] = json!({}));
        world.advance(60);
        world.change("v1", "Node", "", "n", |node| node["spec"] = json!({"taints": [{"key": "a", "effect": "NoExecute"}]}));
        world.advance(59);
        assert_eq!(world.all("v1", "Pod").len(), 1, "the time begins anew");
        world.advance(2);
        assert_eq!(world.all("v1", "Pod").len(), 0);
    }
}
