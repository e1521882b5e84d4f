//! The Deployment controller: rolls pods over from one template to the next by scaling ReplicaSets.
//! Reads Deployments, ReplicaSets and pods; writes ReplicaSets and the Deployment's status and revision; is woken by all three.
mod recreate;
mod revision;
mod rolling;
mod rollout;
mod scale;
mod status;

use crate::driver::{Caches, Controller, Moment, Plan, itself, reads_indexed};
use crate::objects::conditions::{self, Condition};
use crate::objects::owners::{OWNER, by_owner, candidates, owner_key, wake_owner};
use crate::objects::selectors::Selector;
use crate::objects::{by_namespace, is_deleting, namespace, uid};
use client::Delta;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use machinery::meta::Key;
use rollout::Rollout;
use std::sync::Arc;

pub static CONTROLLER: Controller = Controller {
    name: "deployment",
    account: "deployment-controller",
    reads: || {
        vec![
            reads_indexed::<Deployment>(itself, &[("namespace", by_namespace)]),
            reads_indexed::<ReplicaSet>(wake_by_set, &[("namespace", by_namespace), (OWNER, by_owner)]),
            reads_indexed::<Pod>(wake_by_pod, &[(OWNER, by_owner)]),
        ]
    },
    writes: &["replicasets", "deployments", "deployments/status"],
    workers: 8,
    always: false,
    plan: |caches, key, moment| observe(caches, key).map(|view| reconcile(view, moment)).unwrap_or_default(),
};

/// One Deployment with its sets.
pub struct View {
    pub deployment: Arc<Deployment>,
    /// Those that it controls or could adopt.
    pub sets: Vec<Arc<ReplicaSet>>,
    /// Whoever already has the name that a new set would get.
    pub namesake: Option<Arc<ReplicaSet>>,
    /// Pods of its sets.
    pub pods: Vec<Arc<Pod>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let deployment = caches.get::<Deployment>(key)?;
    let sets: Vec<Arc<ReplicaSet>> = candidates(caches, &deployment.metadata);
    let new = Key::new(namespace(&deployment.metadata), rollout::name_of_new_set(&deployment).1);
    let namesake = caches.get::<ReplicaSet>(&new);
    let pods = sets.iter().flat_map(|set| caches.of::<Pod>().by_index(OWNER, uid(&set.metadata))).collect();
    Some(View { deployment, sets, namesake, pods })
}

pub fn reconcile(view: View, moment: &Moment) -> Plan {
    let selector = selector(&view.deployment);
    if selector.is_empty() {
        return selects_all(&view.deployment);
    }
    let mut rollout = Rollout::new(&view, &selector, moment);
    if is_deleting(&view.deployment.metadata) {
        rollout.sync_new_set(false);
        return rollout.finish(false);
    }
    rollout.tell_paused();
    if rollout.paused() || rollout.is_scaling_event() {
        rollout.sync_new_set(false);
        rollout.scale();
        if rollout.paused() {
            rollout.clean_up();
        }
        return rollout.finish(false);
    }
    match rollout.strategy() {
        "Recreate" => rollout.recreate(&view.pods),
        _ => rollout.roll(),
    }
    rollout.finish(true)
}

fn selects_all(deployment: &Deployment) -> Plan {
    let mut plan = Plan::default();
    let mut new = deployment.clone();
    new.status.get_or_insert_default().observed_generation = deployment.metadata.generation;
    if new != *deployment {
        plan.warning(deployment, "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.");
    }
    plan.status(deployment, new);
    plan
}

impl Rollout<'_> {
    fn paused(&self) -> bool {
        self.draft.spec.paused == Some(true)
    }

    fn strategy(&self) -> &str {
        let strategy = self.draft.spec.strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()).unwrap_or("RollingUpdate")
    }

    /// While paused no progress is expected: the condition says so, and the deadline starts anew when resumed.
    fn tell_paused(&mut self) {
        if self.deadline().is_none() {
            return;
        }
        let (paused, now) = (self.paused(), self.now);
        let conditions = &mut self.draft.status.get_or_insert_default().conditions;
        let reason = conditions::find(conditions, "Progressing").map(|condition| condition.reason().to_string());
        let was_paused = match reason.as_deref() {
            Some("ProgressDeadlineExceeded") => return,
            reason => reason == Some("DeploymentPaused"),
        };
        let (reason, message) = match (paused, was_paused) {
            (true, false) => ("DeploymentPaused", "Deployment is paused"),
            (false, true) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return,
        };
        let mut condition = DeploymentCondition::new("Progressing", "Unknown", reason, message, now);
        condition.last_update_time = condition.last_transition_time.clone();
        conditions::set(conditions, condition);
    }
}

fn selector(deployment: &Deployment) -> Selector {
    Selector::of(&deployment.spec.selector)
}

fn wake_by_set(caches: &Caches, delta: &Delta<ReplicaSet>) -> Vec<Key> {
    wake_owner::<Deployment, ReplicaSet>(caches, delta, selector)
}

/// Only a Recreate rollout waits for pods, and only for their end; the sets tell the rest.
fn wake_by_pod(caches: &Caches, delta: &Delta<Pod>) -> Vec<Key> {
    let finished = match delta {
        Delta::Added(_) => false,
        Delta::Deleted(_) => true,
        Delta::Updated { old, new } => crate::objects::pods::is_finished(new) && !crate::objects::pods::is_finished(old),
    };
    if !finished {
        return Vec::new();
    }
    let set = owner_key::<ReplicaSet>(&delta.object().metadata).and_then(|key| caches.get::<ReplicaSet>(&key));
    set.and_then(|set| owner_key::<Deployment>(&set.metadata)).into_iter().collect()
}

#[cfg(test)]
mod tests;
