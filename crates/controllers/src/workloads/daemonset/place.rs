//! Which nodes should have a pod, and which pods should not be where they are.
use super::Sync;
use crate::objects::affinity;
use crate::objects::taints::{NOT_READY, UNREACHABLE, all_tolerated};
use crate::objects::{created, is_deleting, name, namespace, pods, seconds};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration};
use std::sync::Arc;

/// A failed pod is replaced when it is so old, so that one that the kubelet refuses does not loop.
const FAILED_REST_SECONDS: i64 = 10;

impl Sync<'_> {
    /// Whether a pod should start on this node, and whether one that is there may stay.
    pub fn fits(&self, node: &Node) -> (bool, bool) {
        let Some(template) = &self.set.spec.template.spec else { return (false, false) };
        let elsewhere = template.node_name.as_ref().is_some_and(|own| !own.is_empty() && own != name(&node.metadata));
        if elsewhere || !affinity::wants(template, node) {
            return (false, false);
        }
        let mut spec = PodSpec { tolerations: template.tolerations.clone(), host_network: template.host_network, ..PodSpec::default() };
        add_tolerations(&mut spec);
        let tolerations = spec.tolerations.unwrap_or_default();
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let starts = all_tolerated(taints, &tolerations, &["NoSchedule", "NoExecute"]);
        (starts, starts || all_tolerated(taints, &tolerations, &["NoExecute"]))
    }

    pub fn place(&mut self) {
        for node in self.nodes {
            let node_name = name(&node.metadata).to_string();
            let here = self.by_node.get(&node_name).cloned();
            match (self.fits(node), here) {
                ((true, _), None) => self.create_on.push(node_name),
                ((starts, true), here) => self.prune(&node_name, here.unwrap_or_default(), starts),
                ((_, false), Some(here)) => self.delete.extend(here.into_iter().filter(|pod| !is_deleting(&pod.metadata))),
                ((_, false), None) => {}
            }
        }
        // pods that wait for a node that is gone: nobody else would ever remove them
        let names: Vec<&str> = self.nodes.iter().map(|node| name(&node.metadata)).collect();
        let lost = self.by_node.iter().filter(|(node, _)| !names.contains(&node.as_str())).flat_map(|(_, pods)| pods);
        let lost = lost.filter(|pod| pods::node(pod).is_empty() && !is_deleting(&pod.metadata)).cloned();
        let lost: Vec<Arc<Pod>> = lost.collect();
        self.delete.extend(lost);
    }

    /// Removes pods that have ended or are too many on a node.
    fn prune(&mut self, node: &str, here: Vec<Arc<Pod>>, starts: bool) {
        let mut running = Vec::new();
        for pod in here.into_iter().filter(|pod| !is_deleting(&pod.metadata)) {
            match pods::phase(&pod) {
                "Failed" => self.replace_failed(node, pod),
                "Succeeded" => {
                    let text = format!("Found succeeded daemon pod {} on node {node}, will try to delete it", full_name(&pod));
                    self.plan.normal(self.set, "SucceededDaemonPod", text);
                    self.delete.push(pod);
                }
                _ => running.push(pod),
            }
        }
        running.sort_by_key(|pod| age(pod));
        if !self.surges() {
            self.delete.extend(running.into_iter().skip(1));
        } else if running.is_empty() && starts {
            self.create_on.push(node.into());
        } else {
            self.prune_surge(running);
        }
    }

    /// With surge two may run: an old one that works, and a new one that does not yet.
    fn prune_surge(&mut self, running: Vec<Arc<Pod>>) {
        let (new, old): (Vec<Arc<Pod>>, Vec<Arc<Pod>>) = running.into_iter().partition(|pod| self.is_updated(pod));
        if let (Some(new), Some(old)) = (new.first(), old.first())
            && (!pods::is_ready(old) || self.is_available(new))
        {
            self.delete.push(old.clone());
        }
        self.delete.extend(new.into_iter().skip(1).chain(old.into_iter().skip(1)));
    }

    fn replace_failed(&mut self, node: &str, pod: Arc<Pod>) {
        let due: Timestamp = created(&pod.metadata) + seconds(FAILED_REST_SECONDS);
        if due > self.now {
            return self.plan.wake(due);
        }
        let text = format!("Found failed daemon pod {} on node {node}, will try to kill it", full_name(&pod));
        self.plan.warning(self.set, "FailedDaemonPod", text);
        self.delete.push(pod);
    }
}

fn full_name(pod: &Pod) -> String {
    format!("{}/{}", namespace(&pod.metadata), name(&pod.metadata))
}

/// Scheduled ones first, then the oldest.
pub fn age(pod: &Pod) -> (bool, Timestamp, Option<String>) {
    (pods::node(pod).is_empty(), created(&pod.metadata), pod.metadata.name.clone())
}

/// The node that a pod is on or was made for.
pub fn target(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    if let Some(node) = spec.node_name.as_ref().filter(|node| !node.is_empty()) {
        return Some(node.clone());
    }
    let required = spec.affinity.as_ref()?.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let mut named = fields.filter(|field| field.key == "metadata.name" && field.operator == "In");
    named.next()?.values.as_ref()?.first().cloned()
}

/// Makes a pod for one node: the scheduler binds it there and nowhere else.
pub fn bind(spec: &mut PodSpec, node: &str) {
    let field = NodeSelectorRequirement { key: "metadata.name".into(), operator: "In".into(), values: Some(vec![node.to_string()]) };
    let term = NodeSelectorTerm { match_fields: Some(vec![field]), match_expressions: None };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector { node_selector_terms: vec![term] });
    add_tolerations(spec);
}

/// Daemons stay through a node's troubles.
fn add_tolerations(spec: &mut PodSpec) {
    let pressure = ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"];
    let mut wanted = vec![(NOT_READY.to_string(), "NoExecute"), (UNREACHABLE.to_string(), "NoExecute")];
    wanted.extend(pressure.map(|name| (format!("node.kubernetes.io/{name}"), "NoSchedule")));
    if spec.host_network == Some(true) {
        wanted.push(("node.kubernetes.io/network-unavailable".into(), "NoSchedule"));
    }
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in wanted {
        let new = Toleration {
            key: Some(key),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            value: None,
            toleration_seconds: None,
        };
        let same = |old: &Toleration| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            text(&old.key) == text(&new.key) && text(&old.effect) == text(&new.effect) && text(&old.operator) == text(&new.operator)
        };
        match tolerations.iter_mut().find(|old| same(old)) {
            Some(old) => *old = new,
            None => tolerations.push(new),
        }
    }
}
