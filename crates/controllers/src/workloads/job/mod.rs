//! The Job controller: runs pods to their end, counts each end exactly once, and says when the work is done or has failed.
//! Reads Jobs and pods; writes pods (creation, deletion, the tracking finalizer) and the Job's status; is woken by both.
//! A pod keeps the finalizer until its end stands in the status, so that no end is lost and none is counted twice (KEP-2307).
mod backoff;
mod indexes;
mod manage;
mod policy;
mod sync;
mod track;

use crate::driver::{Caches, Controller, Moment, Plan, Target, itself, reads_indexed};
use crate::objects::conditions::is_true;
use crate::objects::owners::{OWNER, by_owner, candidates, controller_of, owner_key, wake_owner};
use crate::objects::selectors::Selector;
use crate::objects::{by_namespace, has_finalizer, is_deleting, labels, name, namespace, uid};
use client::{Delta, Patch};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::meta::Key;
use serde_json::json;
use std::sync::Arc;
use sync::Sync;

pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const SELF: &str = "kubernetes.io/job-controller";
/// Keys of orphaned pods, which have no Job to go by.
const POD_PREFIX: &str = "pod/";

pub static CONTROLLER: Controller = Controller {
    name: "job",
    account: "job-controller",
    reads: || {
        vec![
            reads_indexed::<Job>(itself, &[("namespace", by_namespace)]),
            reads_indexed::<Pod>(wake_by_pod, &[(OWNER, by_owner), ("job", by_job)]),
        ]
    },
    writes: &["pods", "jobs/status"],
    workers: 8,
    always: false,
    plan: |caches, key, moment| match key.name.strip_prefix(POD_PREFIX) {
        Some(pod) => release(&lost(caches, &Key::new(key.namespace.as_str(), pod))),
        None => reconcile(&observe(caches, key), moment),
    },
};

/// One Job (or what is left of it) with its pods.
pub struct View {
    pub job: Option<Arc<Job>>,
    /// Those that it controls or could adopt.
    pub pods: Vec<Arc<Pod>>,
    /// Those that name a Job of this name as their owner but belong to an earlier one.
    pub stale: Vec<Arc<Pod>>,
}

pub fn observe(caches: &Caches, key: &Key) -> View {
    let job = caches.get::<Job>(key);
    let own = job.as_ref().map(|job| uid(&job.metadata).to_string()).unwrap_or_default();
    let mut stale = caches.of::<Pod>().by_index("job", &key.to_string());
    stale.retain(|pod| controller_of(&pod.metadata).is_some_and(|owner| owner.uid != own));
    let pods = job.as_ref().map(|job| candidates(caches, &job.metadata)).unwrap_or_default();
    View { job, pods, stale }
}

pub fn reconcile(view: &View, moment: &Moment) -> Plan {
    let mut plan = release(&view.stale);
    let Some(job) = &view.job else { return plan };
    if job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref()).is_some_and(|manager| manager != SELF) {
        return plan;
    }
    if is_finished(job) {
        let own: Vec<Arc<Pod>> = view.pods.iter().filter(|pod| is_own(pod, job)).cloned().collect();
        plan.steps.extend(release(&own).steps);
        return plan;
    }
    let rest = Sync::new(job, &view.pods, moment).map(Sync::plan).unwrap_or_default();
    plan.steps.extend(rest.steps);
    plan.wake_if(rest.wake_at);
    plan
}

pub fn is_finished(job: &Job) -> bool {
    let Some(status) = &job.status else { return false };
    is_true(&status.conditions, "Complete") || is_true(&status.conditions, "Failed")
}

fn is_own(pod: &Pod, job: &Job) -> bool {
    controller_of(&pod.metadata).is_some_and(|owner| owner.uid == uid(&job.metadata))
}

/// Takes the tracking finalizer from pods that nobody counts any more.
fn release(pods: &[Arc<Pod>]) -> Plan {
    let mut plan = Plan::default();
    for pod in pods.iter().filter(|pod| has_finalizer(&pod.metadata, FINALIZER)) {
        plan.steps.push(untrack(pod));
    }
    plan
}

/// Takes out this one finalizer and nothing else, whatever else happens to the pod in the meantime.
pub(super) fn untrack(pod: &Pod) -> crate::driver::Step {
    let change = json!({"metadata": {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    crate::driver::Step::Patch { target: Target::of(pod), subresource: "", patch: Patch::Strategic(change), tell: None }
}

fn selector(job: &Job) -> Selector {
    job.spec.as_ref().and_then(|spec| spec.selector.as_ref()).map(Selector::of).unwrap_or_default()
}

/// Index values: namespace and name of the controlling Job.
fn by_job(pod: &Pod) -> Vec<String> {
    owner_key::<Job>(&pod.metadata).map(|key| key.to_string()).into_iter().collect()
}

fn wake_by_pod(caches: &Caches, delta: &Delta<Pod>) -> Vec<Key> {
    let mut keys = wake_owner::<Job, Pod>(caches, delta, selector);
    let meta = &delta.object().metadata;
    if is_stray(meta) && !matches!(delta, Delta::Deleted(_)) {
        keys.push(Key::new(namespace(meta), format!("{POD_PREFIX}{}", name(meta))));
    }
    keys
}

/// Tracked, but by nobody.
fn is_stray(meta: &ObjectMeta) -> bool {
    controller_of(meta).is_none() && has_finalizer(meta, FINALIZER)
}

/// The pod, if it is a stray one that no Job will adopt.
fn lost(caches: &Caches, key: &Key) -> Vec<Arc<Pod>> {
    let jobs = caches.of::<Job>().by_index("namespace", &key.namespace);
    let adopted = |pod: &Pod| jobs.iter().any(|job| !is_finished(job) && selector(job).selects(labels(&pod.metadata)));
    let stray = caches.get::<Pod>(key).filter(|pod| is_stray(&pod.metadata) && (is_deleting(&pod.metadata) || !adopted(pod)));
    stray.into_iter().collect()
}

#[cfg(test)]
mod tests;
