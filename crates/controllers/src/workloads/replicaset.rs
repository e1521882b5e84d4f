//! The ReplicaSet controller: keeps as many pods as asked.
//! Reads ReplicaSets and pods; writes pods and the set's status; is woken by both.
//! Decides only: the same view gives the same plan, and a plan carried out leaves nothing to plan.
use super::replicas::{Counts, Wish, keep};
use crate::driver::{Caches, Controller, Failure, Plan, Verb, itself, reads_indexed};
use crate::objects::conditions::{self, Condition};
use crate::objects::owners::{OWNER, by_owner, candidates, controller_of, wake_owner};
use crate::objects::selectors::Selector;
use crate::objects::{by_namespace, count, uid};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use machinery::meta::Key;
use std::sync::Arc;

pub static CONTROLLER: Controller = Controller {
    name: "replicaset",
    account: "replicaset-controller",
    reads: || {
        vec![
            reads_indexed::<ReplicaSet>(itself, &[("namespace", by_namespace), (OWNER, by_owner)]),
            reads_indexed::<Pod>(|caches, delta| wake_owner::<ReplicaSet, Pod>(caches, delta, selector), &[(OWNER, by_owner)]),
        ]
    },
    writes: &["pods", "replicasets/status"],
    workers: 16,
    always: false,
    plan: |caches, key, moment| observe(caches, key).map(|view| reconcile(&view, moment.now, moment.failed)).unwrap_or_default(),
};

/// One set, the pods it controls or could adopt, and those of its siblings.
pub struct View {
    pub set: Arc<ReplicaSet>,
    pub pods: Vec<Arc<Pod>>,
    pub related: Vec<Arc<Pod>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let set = caches.get::<ReplicaSet>(key)?;
    let pods: Vec<Arc<Pod>> = candidates(caches, &set.metadata);
    let siblings = match controller_of(&set.metadata) {
        Some(owner) => caches.of::<ReplicaSet>().by_index(OWNER, &owner.uid),
        None => vec![set.clone()],
    };
    let related = siblings.iter().flat_map(|set| caches.of::<Pod>().by_index(OWNER, uid(&set.metadata))).collect();
    Some(View { set, pods, related })
}

pub fn reconcile(view: &View, now: Timestamp, failed: Option<&Failure>) -> Plan {
    let mut plan = Plan::default();
    let Some(template) = &view.set.spec.template else { return plan };
    let wish = Wish {
        owner: &*view.set,
        selector: selector(&view.set),
        template,
        replicas: view.set.spec.replicas.unwrap_or(1),
        min_ready_seconds: view.set.spec.min_ready_seconds.unwrap_or(0),
    };
    let counts = keep(&mut plan, &wish, &view.pods, &view.related, now);
    let mut set = (*view.set).clone();
    set.status = Some(status(&set, counts, now, failed));
    plan.status(&*view.set, set);
    plan
}

fn status(set: &ReplicaSet, counts: Counts, now: Timestamp, failed: Option<&Failure>) -> ReplicaSetStatus {
    let mut conditions = set.status.as_ref().and_then(|status| status.conditions.clone());
    match failed {
        Some(failure) if conditions::find(&conditions, "ReplicaFailure").is_none() => {
            let reason = if failure.verb == Verb::Delete { "FailedDelete" } else { "FailedCreate" };
            conditions::set(&mut conditions, ReplicaSetCondition::new("ReplicaFailure", "True", reason, &failure.message, now));
        }
        Some(_) => {}
        None => conditions::remove(&mut conditions, "ReplicaFailure"),
    }
    ReplicaSetStatus {
        replicas: counts.replicas,
        fully_labeled_replicas: count(counts.fully_labeled),
        ready_replicas: count(counts.ready),
        available_replicas: count(counts.available),
        terminating_replicas: Some(counts.terminating),
        observed_generation: set.metadata.generation,
        conditions,
    }
}

fn selector(set: &ReplicaSet) -> Selector {
    Selector::of(&set.spec.selector)
}

#[cfg(test)]
mod tests;
