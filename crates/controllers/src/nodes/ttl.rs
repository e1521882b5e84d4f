//! The TTL controller: tells kubelets by an annotation how long they may cache Secrets and ConfigMaps; longer in larger clusters.
//! Reads nodes; writes the annotation; is woken by nodes.
use crate::driver::{Caches, Controller, Plan, itself, reads};
use crate::objects::annotation;
use k8s_openapi::api::core::v1::Node;
use machinery::meta::Key;
use serde_json::json;
use std::sync::Arc;

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";
/// Fewest nodes, most nodes, seconds. The ranges overlap, so that a cluster at an edge does not go back and forth.
const STEPS: [(usize, usize, u32); 6] =
    [(0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 10000, 300), (9000, usize::MAX, 600)];

pub static CONTROLLER: Controller = Controller {
    name: "ttl",
    account: "ttl-controller",
    reads: || vec![reads::<Node>(itself)],
    writes: &["nodes"],
    workers: 2,
    always: false,
    plan: |caches, key, _| observe(caches, key).map(|(node, count)| reconcile(&node, count)).unwrap_or_default(),
};

pub fn observe(caches: &Caches, key: &Key) -> Option<(Arc<Node>, usize)> {
    Some((caches.get::<Node>(key)?, caches.of::<Node>().len()))
}

pub fn reconcile(node: &Node, count: usize) -> Plan {
    let mut plan = Plan::default();
    let current: Option<u32> = annotation(&node.metadata, ANNOTATION).and_then(|text| text.parse().ok());
    let fits = |step: &&(usize, usize, u32)| (step.0..=step.1).contains(&count);
    let keeps = STEPS.iter().filter(fits).any(|step| Some(step.2) == current);
    if let (false, Some(step)) = (keeps, STEPS.iter().find(fits)) {
        plan.merge(node, "", json!({"metadata": {"annotations": {ANNOTATION: step.2.to_string()}}}));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[test]
    fn small_clusters_do_not_cache() {
        let mut world = World::new(&[&CONTROLLER]);
        world.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}));
        world.fixpoint();
        assert_eq!(world.get("v1", "Node", "", "n")["metadata"]["annotations"][ANNOTATION], "0");
        assert_eq!(reconcile(&Node::default(), 95).writes(), 1);
    }
}
