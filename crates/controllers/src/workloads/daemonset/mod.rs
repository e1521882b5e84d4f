//! The DaemonSet controller: one pod on every node that the template fits.
//! Reads DaemonSets, nodes, pods and ControllerRevisions; writes pods, revisions and the status; is woken by all of them.
mod place;
mod update;

use super::history::{self, Current, HASH_LABEL};
use super::replicas::{created, deleted};
use crate::driver::{Caches, Controller, Deletion, Moment, Plan, itself, reads_indexed};
use crate::objects::owners::{OWNER, by_owner, candidates, claim, controller, wake_owner};
use crate::objects::selectors::Selector;
use crate::objects::{by_namespace, count, is_deleting, label, name, namespace, pods, set_entry};
use client::Delta;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use machinery::meta::Key;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many pods are created or deleted in one plan at most.
const BURST: usize = 250;

pub static CONTROLLER: Controller = Controller {
    name: "daemonset",
    account: "daemon-set-controller",
    reads: || {
        vec![
            reads_indexed::<DaemonSet>(itself, &[("namespace", by_namespace)]),
            reads_indexed::<Pod>(|caches, delta| wake_owner::<DaemonSet, Pod>(caches, delta, selector), &[(OWNER, by_owner)]),
            reads_indexed::<ControllerRevision>(
                |caches, delta| wake_owner::<DaemonSet, ControllerRevision>(caches, delta, selector),
                &[(OWNER, by_owner)],
            ),
            reads_indexed::<Node>(wake_by_node, &[]),
        ]
    },
    writes: &["pods", "controllerrevisions", "daemonsets/status"],
    workers: 4,
    always: false,
    plan: |caches, key, moment| observe(caches, key).map(|view| reconcile(&view, moment)).unwrap_or_default(),
};

pub struct View {
    pub set: Arc<DaemonSet>,
    /// In the order of their names.
    pub nodes: Vec<Arc<Node>>,
    pub pods: Vec<Arc<Pod>>,
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// Whoever has the name that a new revision would get.
    pub namesake: Option<Arc<ControllerRevision>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let set = caches.get::<DaemonSet>(key)?;
    let mut nodes = caches.of::<Node>().all();
    nodes.sort_by_key(|node| node.metadata.name.clone());
    let collisions = set.status.as_ref().and_then(|status| status.collision_count);
    let (new, _) = history::name_of(&*set, &set.spec.template, collisions);
    let namesake = caches.get(&Key::new(namespace(&set.metadata), new));
    Some(View { nodes, pods: candidates(caches, &set.metadata), revisions: candidates(caches, &set.metadata), namesake, set })
}

/// A DaemonSet in the making of a plan.
pub struct Sync<'a> {
    pub set: &'a DaemonSet,
    pub nodes: &'a [Arc<Node>],
    pub by_node: BTreeMap<String, Vec<Arc<Pod>>>,
    pub hash: String,
    pub now: Timestamp,
    pub min_ready: i32,
    pub create_on: Vec<String>,
    pub delete: Vec<Arc<Pod>>,
    pub plan: Plan,
}

pub fn reconcile(view: &View, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let spec = &view.set.spec;
    if is_deleting(&view.set.metadata) {
        return plan;
    }
    let selector = selector(&view.set);
    if selector.is_empty() {
        plan.warning(&*view.set, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.");
        return plan;
    }
    let collisions = view.set.status.as_ref().and_then(|status| status.collision_count);
    let own = history::own(&*view.set, &claim(&mut plan, &*view.set, &selector, &view.revisions));
    let namesake = view.namesake.as_deref();
    let hash = match history::current(&mut plan, &*view.set, &spec.template, collisions, &own, namesake) {
        Current::Is(revision) => hash_of(&revision),
        Current::New(revision) => hash_of(&revision),
        Current::Collision => {
            let mut set = (*view.set).clone();
            set.status.get_or_insert_default().collision_count = Some(collisions.unwrap_or(0) + 1);
            plan.status(&*view.set, set);
            return plan;
        }
    };
    let pods = claim(&mut plan, &*view.set, &selector, &view.pods);
    let mut sync = Sync::new(view, &pods, hash, moment.now, plan);
    sync.place();
    if sync.create_on.is_empty() && sync.delete.is_empty() {
        sync.update();
    }
    sync.carry();
    let live = |revision: &ControllerRevision| {
        let hash = hash_of(revision);
        hash == sync.hash || pods.iter().any(|pod| label(&pod.metadata, HASH_LABEL) == Some(&hash))
    };
    let mut truncated = Plan::default();
    history::truncate(&mut truncated, &own, spec.revision_history_limit, live);
    sync.plan.steps.extend(truncated.steps);
    sync.finish()
}

fn hash_of(revision: &ControllerRevision) -> String {
    label(&revision.metadata, HASH_LABEL).unwrap_or(name(&revision.metadata)).to_string()
}

impl<'a> Sync<'a> {
    fn new(view: &'a View, pods: &[Arc<Pod>], hash: String, now: Timestamp, plan: Plan) -> Sync<'a> {
        let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in pods {
            // a finished pod that somebody holds back is nobody's concern here
            if pods::is_finished(pod) && is_deleting(&pod.metadata) {
                continue;
            }
            if let Some(node) = place::target(pod) {
                by_node.entry(node).or_default().push(pod.clone());
            }
        }
        let min_ready = view.set.spec.min_ready_seconds.unwrap_or(0);
        let (create_on, delete) = (Vec::new(), Vec::new());
        Sync { set: &view.set, nodes: &view.nodes, by_node, hash, now, min_ready, create_on, delete, plan }
    }

    pub fn is_updated(&self, pod: &Pod) -> bool {
        label(&pod.metadata, HASH_LABEL) == Some(&self.hash)
    }

    pub fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.min_ready, self.now)
    }

    fn carry(&mut self) {
        let mut template = self.set.spec.template.clone();
        set_entry(&mut template.metadata.get_or_insert_default().labels, HASH_LABEL, &self.hash);
        for node in self.create_on.iter().take(BURST) {
            let mut pod = pods::from_template(&template, &self.set.metadata, controller(self.set));
            place::bind(pod.spec.get_or_insert_default(), node);
            self.plan.create_telling(pod, Some(created(self.set)));
        }
        for pod in self.delete.iter().take(BURST) {
            self.plan.delete_telling(&**pod, Deletion::default(), Some(deleted(self.set)));
        }
    }

    fn finish(mut self) -> Plan {
        let (mut desired, mut current, mut misplaced, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0, 0);
        for node in self.nodes {
            let pods = self.by_node.get(name(&node.metadata)).map(Vec::as_slice).unwrap_or_default();
            let oldest = pods.iter().min_by_key(|pod| place::age(pod));
            match (self.fits(node).0, oldest) {
                (true, None) => desired += 1,
                (true, Some(pod)) => {
                    desired += 1;
                    current += 1;
                    ready += i32::from(pods::is_ready(pod));
                    available += i32::from(self.is_available(pod));
                    updated += i32::from(self.is_updated(pod));
                }
                (false, Some(_)) => misplaced += 1,
                (false, None) => {}
            }
        }
        let old = self.set.status.clone().unwrap_or_default();
        let status = DaemonSetStatus {
            desired_number_scheduled: desired,
            current_number_scheduled: current,
            number_misscheduled: misplaced,
            number_ready: ready,
            updated_number_scheduled: count(updated),
            number_available: count(available),
            number_unavailable: count(desired - available),
            observed_generation: self.set.metadata.generation,
            ..old
        };
        let all = self.by_node.values().flatten().map(|pod| &**pod);
        self.plan.wake_if(pods::next_available(all, self.min_ready, self.now));
        self.plan.status(self.set, DaemonSet { status: Some(status), ..self.set.clone() });
        self.plan
    }
}

fn selector(set: &DaemonSet) -> Selector {
    Selector::of(&set.spec.selector)
}

/// A node that came, went, or changed its labels or taints may change every set.
fn wake_by_node(caches: &Caches, delta: &Delta<Node>) -> Vec<Key> {
    if let Delta::Updated { old, new } = delta {
        let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        if old.metadata.labels == new.metadata.labels && taints(old) == taints(new) {
            return Vec::new();
        }
    }
    caches.of::<DaemonSet>().all().iter().map(|set| Key::of(&set.metadata)).collect()
}

#[cfg(test)]
mod tests;
