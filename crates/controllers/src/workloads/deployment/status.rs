//! The Deployment's status: counts over its sets, and the conditions Available, Progressing and ReplicaFailure.
use super::rollout::{Draft, Rollout};
use crate::objects::conditions::{self, Condition};
use crate::objects::{count, name, seconds, time};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSetCondition};

/// Writes the status into the draft.
pub fn judge(rollout: &mut Rollout, progress: bool) {
    let mut status = counted(rollout);
    if progress {
        judge_progress(rollout, &mut status);
        match replica_failure(rollout) {
            Some(condition) => drop(conditions::set(&mut status.conditions, condition)),
            None => conditions::remove(&mut status.conditions, "ReplicaFailure"),
        }
        wake_for_deadline(rollout, &status);
    }
    rollout.draft.status = Some(status);
}

/// All replicas are updated and available, and no old ones are left.
pub fn is_complete(deployment: &Deployment, status: Option<&DeploymentStatus>) -> bool {
    let Some(status) = status else { return false };
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let all = [status.updated_replicas, status.replicas, status.available_replicas];
    let seen = status.observed_generation.unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0);
    seen && all.into_iter().all(|number| number.unwrap_or(0) == wanted)
}

fn counted(rollout: &Rollout) -> DeploymentStatus {
    let sum = |of: &dyn Fn(&Draft) -> i32| rollout.all().map(of).sum::<i32>();
    let available = sum(&|draft| draft.available());
    let mut status = DeploymentStatus {
        observed_generation: rollout.deployment.metadata.generation,
        replicas: count(sum(&|draft| draft.status(|status| Some(status.replicas)))),
        updated_replicas: count(rollout.new.as_ref().map_or(0, |new| new.status(|status| Some(status.replicas)))),
        ready_replicas: count(sum(&|draft| draft.status(|status| status.ready_replicas))),
        available_replicas: count(available),
        unavailable_replicas: count((rollout.total() - available).max(0)),
        terminating_replicas: Some(sum(&|draft| draft.status(|status| status.terminating_replicas))),
        ..rollout.draft.status.clone().unwrap_or_default()
    };
    let (state, reason, message) = if available >= rollout.wanted() - rollout.max_unavailable() {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    conditions::set(&mut status.conditions, condition(rollout, "Available", state, reason, message));
    status
}

fn judge_progress(rollout: &Rollout, status: &mut DeploymentStatus) {
    if rollout.deadline().is_none() {
        return conditions::remove(&mut status.conditions, "Progressing");
    }
    let before = rollout.draft.status.clone().unwrap_or_default();
    let current = conditions::find(&before.conditions, "Progressing").cloned();
    let was_available = current.as_ref().is_some_and(|current| current.reason() == "NewReplicaSetAvailable");
    if was_available && status.replicas == status.updated_replicas {
        return;
    }
    let subject = match &rollout.new {
        Some(new) => format!("ReplicaSet \"{}\"", name(&new.set.metadata)),
        None => format!("Deployment \"{}\"", name(&rollout.deployment.metadata)),
    };
    if is_complete(rollout.deployment, Some(status)) {
        let message = format!("{subject} has successfully progressed.");
        let done = condition(rollout, "Progressing", "True", "NewReplicaSetAvailable", &message);
        conditions::set(&mut status.conditions, done);
    } else if progresses(&before, status) {
        let mut going = condition(rollout, "Progressing", "True", "ReplicaSetUpdated", &format!("{subject} is progressing."));
        if let Some(current) = current.filter(|current| current.status() == "True") {
            going.last_transition_time = current.last_transition_time;
        }
        conditions::remove(&mut status.conditions, "Progressing");
        conditions::set(&mut status.conditions, going);
    } else if timed_out(rollout, current.as_ref()) {
        let message = format!("{subject} has timed out progressing.");
        let late = condition(rollout, "Progressing", "False", "ProgressDeadlineExceeded", &message);
        conditions::set(&mut status.conditions, late);
    }
}

/// More new pods, fewer old ones, or more of them ready or available than before.
fn progresses(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let number = |number: Option<i32>| number.unwrap_or(0);
    let old = |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    number(after.updated_replicas) > number(before.updated_replicas)
        || old(after) < old(before)
        || number(after.ready_replicas) > number(before.ready_replicas)
        || number(after.available_replicas) > number(before.available_replicas)
}

fn timed_out(rollout: &Rollout, current: Option<&DeploymentCondition>) -> bool {
    let (Some(current), Some(deadline)) = (current, rollout.deadline()) else { return false };
    match current.reason() {
        "NewReplicaSetAvailable" => false,
        "ProgressDeadlineExceeded" => true,
        _ => current.last_update_time.as_ref().is_some_and(|at| at.0 + seconds(deadline.into()) < rollout.now),
    }
}

fn wake_for_deadline(rollout: &mut Rollout, status: &DeploymentStatus) {
    let current = conditions::find(&status.conditions, "Progressing");
    let (Some(deadline), Some(current)) = (rollout.deadline(), current) else { return };
    if is_complete(rollout.deployment, Some(status)) || current.reason() == "ProgressDeadlineExceeded" {
        return;
    }
    let due = current.last_update_time.as_ref().map(|at| at.0 + seconds(i64::from(deadline) + 1));
    if let Some(due) = due.filter(|due| *due > rollout.now && current.reason() != "NewReplicaSetAvailable") {
        rollout.wake(due);
    }
}

/// A failure that a set tells, the new one's first.
fn replica_failure(rollout: &Rollout) -> Option<DeploymentCondition> {
    let of = |draft: &Draft| -> Option<ReplicaSetCondition> {
        conditions::find(&draft.set.status.as_ref()?.conditions, "ReplicaFailure").cloned()
    };
    let failure = rollout.new.iter().chain(&rollout.old).find_map(of)?;
    Some(DeploymentCondition {
        type_: failure.type_,
        status: failure.status,
        reason: failure.reason,
        message: failure.message,
        last_update_time: failure.last_transition_time.clone(),
        last_transition_time: failure.last_transition_time,
    })
}

fn condition(rollout: &Rollout, kind: &str, status: &str, reason: &str, message: &str) -> DeploymentCondition {
    let mut condition = DeploymentCondition::new(kind, status, reason, message, rollout.now);
    condition.last_update_time = Some(time(rollout.now));
    condition
}
