//! The pod garbage collector: pods whose node is gone, that end without ever having had a node, or that are too many.
//! Reads pods and nodes; deletes pods; is woken by both.
use crate::driver::{Caches, Controller, Deletion, Moment, Plan, reads, reads_indexed};
use crate::nodes::lifecycle::is_ready;
use crate::objects::conditions::{Condition, put};
use crate::objects::taints::OUT_OF_SERVICE;
use crate::objects::{created, is_deleting, pods};
use client::Delta;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use machinery::meta::Key;
use std::sync::Arc;
use std::time::Duration;

/// A node may be missing for so long before its pods are lost.
const QUARANTINE: Duration = Duration::from_secs(40);

pub static CONTROLLER: Controller = Controller {
    name: "podgc",
    account: "pod-garbage-collector",
    reads: || vec![reads_indexed::<Pod>(wake_by_pod, &[("node", pods::by_node)]), reads::<Node>(wake_by_node)],
    writes: &["pods", "pods/status"],
    workers: 4,
    always: false,
    plan: |caches, key, moment| match key.name.is_empty() {
        true => collect_finished(caches, moment),
        false => observe(caches, key).map(|view| reconcile(&view, moment)).unwrap_or_default(),
    },
};

pub struct View {
    pub pod: Arc<Pod>,
    /// Where it runs; `None` also when it has no node yet.
    pub node: Option<Arc<Node>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let pod = caches.get::<Pod>(key)?;
    let node = caches.get::<Node>(&Key::new("", pods::node(&pod)));
    Some(View { pod, node })
}

pub fn reconcile(view: &View, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let (has_node, deleting) = (!pods::node(&view.pod).is_empty(), is_deleting(&view.pod.metadata));
    match &view.node {
        None if !has_node && deleting => remove(&mut plan, &view.pod, None, moment.now),
        None if has_node => {
            let lost_at = moment.since("node is missing") + QUARANTINE;
            if lost_at <= moment.now {
                let text = "PodGC: node no longer exists";
                let condition = PodCondition::new("DisruptionTarget", "True", "DeletionByPodGC", text, moment.now);
                remove(&mut plan, &view.pod, Some(condition), moment.now);
            } else {
                plan.wake(lost_at);
            }
        }
        Some(node) if deleting && !is_ready(node) && is_out_of_service(node) => remove(&mut plan, &view.pod, None, moment.now),
        _ => {}
    }
    plan
}

/// Nobody is left to tell how the pod ended: it failed.
fn remove(plan: &mut Plan, pod: &Pod, condition: Option<PodCondition>, _now: Timestamp) {
    if !pods::is_finished(pod) {
        let mut new = pod.clone();
        let status = new.status.get_or_insert_default();
        status.phase = Some("Failed".into());
        if let Some(condition) = condition {
            put(&mut status.conditions, condition);
        }
        let change = serde_json::json!({"status": {"phase": status.phase, "conditions": status.conditions}});
        plan.merge(pod, "status", change);
    }
    if !(pods::is_finished(pod) && is_deleting(&pod.metadata) && pod.metadata.deletion_grace_period_seconds == Some(0)) {
        plan.delete_telling(pod, Deletion { grace_seconds: Some(0), ..Deletion::default() }, None);
    }
}

/// Finished pods beyond the limit go, the evicted and the oldest first.
fn collect_finished(caches: &Caches, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let mut finished = caches.of::<Pod>().all();
    finished.retain(|pod| pods::is_finished(pod) && !is_deleting(&pod.metadata));
    let surplus = finished.len().saturating_sub(moment.settings.max_finished_pods);
    let evicted = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.reason.as_deref() == Some("Evicted"));
    finished.sort_by_key(|pod| (!evicted(pod), created(&pod.metadata), pod.metadata.name.clone()));
    finished.iter().take(surplus).for_each(|pod| remove(&mut plan, pod, None, moment.now));
    plan
}

fn is_out_of_service(node: &Node) -> bool {
    node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).any(|taint| taint.key == OUT_OF_SERVICE)
}

fn wake_by_pod(caches: &Caches, delta: &Delta<Pod>) -> Vec<Key> {
    let pod = delta.object();
    if matches!(delta, Delta::Deleted(_)) {
        return Vec::new();
    }
    let node = caches.get::<Node>(&Key::new("", pods::node(pod)));
    let mut keys = Vec::new();
    if is_deleting(&pod.metadata) || (node.is_none() && !pods::node(pod).is_empty()) {
        keys.push(Key::of(&pod.metadata));
    }
    // few clusters ever come near the limit, so most events cost nothing
    if pods::is_finished(pod) && caches.of::<Pod>().len() > DEFAULT_MAX_FINISHED {
        keys.push(Key::default());
    }
    keys
}

/// Below so many pods there cannot be too many finished ones.
const DEFAULT_MAX_FINISHED: usize = 1000;

fn wake_by_node(caches: &Caches, delta: &Delta<Node>) -> Vec<Key> {
    let node = delta.object();
    let gone = matches!(delta, Delta::Deleted(_));
    if !gone && !is_out_of_service(node) {
        return Vec::new();
    }
    let pods = caches.of::<Pod>().by_index("node", crate::objects::name(&node.metadata));
    pods.iter().filter(|pod| gone || is_deleting(&pod.metadata)).map(|pod| Key::of(&pod.metadata)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::json;

    #[test]
    fn pods_of_a_lost_node_go_after_quarantine() {
        let mut world = World::new(&[&CONTROLLER]);
        world.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}));
        world.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "x"}, "spec": {"nodeName": "n", "containers": []}}));
        world.fixpoint();
        world.remove("v1", "Node", "", "n");
        world.advance(39);
        assert_eq!(world.all("v1", "Pod").len(), 1);
        world.advance(2);
        assert_eq!(world.all("v1", "Pod").len(), 0);
    }

    #[test]
    fn a_pod_that_ends_without_a_node_goes_at_once() {
        let mut world = World::new(&[&CONTROLLER]);
        world.put(json!({
            "apiVersion": "v1", "kind": "Pod", "spec": {"containers": []},
            "metadata": {"name": "p", "namespace": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        }));
        world.settle();
        assert_eq!(world.all("v1", "Pod").len(), 0);
    }
}
