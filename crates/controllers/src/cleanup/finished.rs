//! The TTL-after-finished controller: finished Jobs go when the time that they were given is over.
//! Reads Jobs; deletes Jobs; is woken by Jobs and by time.
use crate::driver::{Caches, Controller, Deletion, Moment, Plan, itself, reads};
use crate::objects::conditions::Condition;
use crate::objects::{is_deleting, seconds};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use machinery::meta::Key;
use std::sync::Arc;

pub static CONTROLLER: Controller = Controller {
    name: "ttl-after-finished",
    account: "ttl-after-finished-controller",
    reads: || vec![reads::<Job>(itself)],
    writes: &["jobs"],
    workers: 4,
    always: false,
    plan: |caches, key, moment| observe(caches, key).map(|job| reconcile(&job, moment)).unwrap_or_default(),
};

pub fn observe(caches: &Caches, key: &Key) -> Option<Arc<Job>> {
    caches.get::<Job>(key)
}

pub fn reconcile(job: &Job, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let Some(at) = ends_at(job).filter(|_| !is_deleting(&job.metadata)) else { return plan };
    if at <= moment.now {
        // at this version only: the time may just have been changed
        let version = job.metadata.resource_version.clone();
        plan.delete_telling(job, Deletion { propagation: Some("Foreground"), version, ..Deletion::default() }, None);
    } else {
        plan.wake(at);
    }
    plan
}

fn ends_at(job: &Job) -> Option<Timestamp> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let ended = conditions.iter().find(|one| one.status() == "True" && matches!(one.kind(), "Complete" | "Failed"))?;
    Some(ended.since()? + seconds(ttl.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::json;

    #[test]
    fn goes_when_its_time_is_over() {
        let mut world = World::new(&[&CONTROLLER]);
        let now = json!(crate::objects::time(world.now));
        world.put(json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "x"},
            "spec": {"ttlSecondsAfterFinished": 60, "template": {}},
            "status": {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": now}]},
        }));
        world.advance(59);
        assert_eq!(world.all("batch/v1", "Job").len(), 1);
        world.advance(2);
        assert_eq!(world.all("batch/v1", "Job").len(), 0);
    }
}
