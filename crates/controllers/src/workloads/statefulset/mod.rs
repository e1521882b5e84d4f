//! The StatefulSet controller: pods with a number, a name and storage of their own, started and stopped in order.
//! Reads StatefulSets, pods, claims and ControllerRevisions; writes pods, claims, revisions and the status; is woken by all.
mod identity;
mod sync;

use super::history::{self, Current};
use crate::driver::{Caches, Controller, Moment, Plan, itself, reads_indexed};
use crate::objects::owners::{OWNER, by_owner, candidates, claim, wake_owner};
use crate::objects::selectors::Selector;
use crate::objects::{by_namespace, name, namespace};
use client::Delta;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use machinery::meta::Key;
use std::sync::Arc;
use sync::Sync;

pub static CONTROLLER: Controller = Controller {
    name: "statefulset",
    account: "statefulset-controller",
    reads: || {
        vec![
            reads_indexed::<StatefulSet>(itself, &[("namespace", by_namespace)]),
            reads_indexed::<Pod>(|caches, delta| wake_owner::<StatefulSet, Pod>(caches, delta, selector), &[(OWNER, by_owner)]),
            reads_indexed::<ControllerRevision>(
                |caches, delta| wake_owner::<StatefulSet, ControllerRevision>(caches, delta, selector),
                &[(OWNER, by_owner)],
            ),
            reads_indexed::<PersistentVolumeClaim>(wake_by_claim, &[("namespace", by_namespace)]),
        ]
    },
    writes: &["pods", "persistentvolumeclaims", "controllerrevisions", "statefulsets/status"],
    workers: 8,
    always: false,
    plan: |caches, key, moment| observe(caches, key).map(|view| reconcile(&view, moment)).unwrap_or_default(),
};

pub struct View {
    pub set: Arc<StatefulSet>,
    pub pods: Vec<Arc<Pod>>,
    pub revisions: Vec<Arc<ControllerRevision>>,
    pub namesake: Option<Arc<ControllerRevision>>,
    /// All claims of the namespace; empty when the set has no claim templates.
    pub claims: Vec<Arc<PersistentVolumeClaim>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let set = caches.get::<StatefulSet>(key)?;
    let spec = &set.spec;
    let collisions = set.status.as_ref().and_then(|status| status.collision_count);
    let (new, _) = history::name_of(&*set, &spec.template, collisions);
    let namesake = caches.get(&Key::new(namespace(&set.metadata), new));
    let stateful = spec.volume_claim_templates.as_ref().is_some_and(|templates| !templates.is_empty());
    let claims = if stateful { caches.of().by_index("namespace", namespace(&set.metadata)) } else { Vec::new() };
    Some(View { pods: candidates(caches, &set.metadata), revisions: candidates(caches, &set.metadata), namesake, claims, set })
}

pub fn reconcile(view: &View, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let set = &*view.set;
    let spec = &set.spec;
    let selector = selector(set);
    if selector.is_empty() {
        return plan;
    }
    let collisions = set.status.as_ref().and_then(|status| status.collision_count);
    let own = history::own(set, &claim(&mut plan, set, &selector, &view.revisions));
    let update = match history::current(&mut plan, set, &spec.template, collisions, &own, view.namesake.as_deref()) {
        Current::Is(revision) => (*revision).clone(),
        Current::New(revision) => *revision,
        Current::Collision => {
            let mut new = set.clone();
            new.status.get_or_insert_default().collision_count = Some(collisions.unwrap_or(0) + 1);
            plan.status(set, new);
            return plan;
        }
    };
    let wanted = set.status.as_ref().and_then(|status| status.current_revision.clone()).unwrap_or_default();
    let current = own.iter().find(|revision| name(&revision.metadata) == wanted).map_or_else(|| update.clone(), |own| (**own).clone());
    // only pods that bear the set's name are its own
    let named: Vec<Arc<Pod>> = view.pods.iter().filter(|pod| identity::ordinal(set, pod).is_some()).cloned().collect();
    let pods = claim(&mut plan, set, &selector, &named);
    let sync = Sync::new(set, spec, pods, &view.claims, current, update, moment.now, plan);
    sync.plan(&own)
}

fn selector(set: &StatefulSet) -> Selector {
    Selector::of(&set.spec.selector)
}

/// A claim that goes may be one that a pod waits for.
fn wake_by_claim(caches: &Caches, delta: &Delta<PersistentVolumeClaim>) -> Vec<Key> {
    if matches!(delta, Delta::Added(_)) {
        return Vec::new();
    }
    let claim = delta.object();
    let sets = caches.of::<StatefulSet>().by_index("namespace", namespace(&claim.metadata));
    let middle = |set: &StatefulSet| format!("-{}-", name(&set.metadata));
    sets.iter().filter(|set| name(&claim.metadata).contains(&middle(set))).map(|set| Key::of(&set.metadata)).collect()
}

#[cfg(test)]
mod tests;
