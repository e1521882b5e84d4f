//! The ReplicationController controller: keeps as many pods as asked, as ReplicaSets do, for the oldest kind of set.
//! Reads ReplicationControllers and pods; writes pods and the status; is woken by both.
use super::replicas::{Counts, Wish, keep};
use crate::driver::{Caches, Controller, Failure, Moment, Plan, Verb, itself, reads_indexed};
use crate::objects::conditions::{self, Condition};
use crate::objects::owners::{OWNER, by_owner, candidates, wake_owner};
use crate::objects::selectors::Selector;
use crate::objects::{by_namespace, count};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus};
use machinery::meta::Key;
use std::sync::Arc;

pub static CONTROLLER: Controller = Controller {
    name: "replicationcontroller",
    account: "replication-controller",
    reads: || {
        vec![
            reads_indexed::<ReplicationController>(itself, &[("namespace", by_namespace)]),
            reads_indexed::<Pod>(|caches, delta| wake_owner::<ReplicationController, Pod>(caches, delta, selector), &[(OWNER, by_owner)]),
        ]
    },
    writes: &["pods", "replicationcontrollers/status"],
    workers: 8,
    always: false,
    plan: |caches, key, moment| observe(caches, key).map(|view| reconcile(&view, moment)).unwrap_or_default(),
};

pub struct View {
    pub set: Arc<ReplicationController>,
    pub pods: Vec<Arc<Pod>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let set = caches.get::<ReplicationController>(key)?;
    let pods = candidates(caches, &set.metadata);
    Some(View { set, pods })
}

pub fn reconcile(view: &View, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let Some(spec) = &view.set.spec else { return plan };
    let Some(template) = &spec.template else { return plan };
    let wish = Wish {
        owner: &*view.set,
        selector: selector(&view.set),
        template,
        replicas: spec.replicas.unwrap_or(1),
        min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
    };
    let counts = keep(&mut plan, &wish, &view.pods, &view.pods, moment.now);
    let mut set = (*view.set).clone();
    set.status = Some(status(&set, counts, moment.now, moment.failed));
    plan.status(&*view.set, set);
    plan
}

fn status(set: &ReplicationController, counts: Counts, now: Timestamp, failed: Option<&Failure>) -> ReplicationControllerStatus {
    let mut conditions = set.status.as_ref().and_then(|status| status.conditions.clone());
    match failed {
        Some(failure) if conditions::find(&conditions, "ReplicaFailure").is_none() => {
            let reason = if failure.verb == Verb::Delete { "FailedDelete" } else { "FailedCreate" };
            let condition = ReplicationControllerCondition::new("ReplicaFailure", "True", reason, &failure.message, now);
            conditions::set(&mut conditions, condition);
        }
        Some(_) => {}
        None => conditions::remove(&mut conditions, "ReplicaFailure"),
    }
    ReplicationControllerStatus {
        replicas: counts.replicas,
        fully_labeled_replicas: count(counts.fully_labeled),
        ready_replicas: count(counts.ready),
        available_replicas: count(counts.available),
        observed_generation: set.metadata.generation,
        conditions,
    }
}

fn selector(set: &ReplicationController) -> Selector {
    Selector::equal(set.spec.iter().flat_map(|spec| spec.selector.iter().flatten()))
}
