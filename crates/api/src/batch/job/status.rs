//! Checks of a job's status. Most hold only for what an update changes, so that statuses written by older controllers stay writable.
use super::indexes;
use super::{is_true, status_of};
use crate::check::not_negatives;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use machinery::errors::Errors;

pub fn validate_update(new: &Job, old: &Job, errors: &mut Errors) {
    let unset = JobSpec::default();
    let spec = new.spec.as_ref().unwrap_or(&unset);
    let (status, old_status) = (status_of(new), status_of(old));
    errors.at("status", |errors| {
        numbers(&status, errors);
        conditions(new, old, errors);
        times(new, &status, &old_status, is_finished(new) != is_finished(old), spec, errors);
        finished_pods(new, old, &status, &old_status, errors);
        index_sets(spec, &status, &old_status, errors);
        transitions(new, old, errors);
        counters(spec, &status, &old_status, errors);
    });
}

fn is_finished(job: &Job) -> bool {
    is_true(job, "Complete") || is_true(job, "Failed")
}

fn numbers(status: &JobStatus, errors: &mut Errors) {
    not_negatives(errors, [("active", status.active), ("succeeded", status.succeeded), ("failed", status.failed)]);
    not_negatives(errors, [("ready", status.ready), ("terminating", status.terminating)]);
    let Some(uncounted) = &status.uncounted_terminated_pods else { return };
    let mut seen: Vec<&String> = Vec::new();
    for (name, list) in [("succeeded", &uncounted.succeeded), ("failed", &uncounted.failed)] {
        errors.each(&format!("uncountedTerminatedPods.{name}"), list.iter().flatten(), |errors, uid| {
            if uid.is_empty() {
                errors.invalid("", uid, "must not be empty");
            } else if seen.contains(&uid) {
                errors.duplicate("", uid);
            }
            seen.push(uid);
        });
    }
}

fn conditions(new: &Job, old: &Job, errors: &mut Errors) {
    let changed = |names: &[&str]| names.iter().any(|name| is_true(new, name) != is_true(old, name));
    let (complete, failed) = (is_true(new, "Complete"), is_true(new, "Failed"));
    let (target, criteria) = (is_true(new, "FailureTarget"), is_true(new, "SuccessCriteriaMet"));
    let mut refuse = |wrong: bool, why: &str| {
        if wrong {
            errors.invalid_without_value("conditions", why);
        }
    };
    refuse(complete && failed && changed(&["Complete", "Failed"]), "cannot set Complete=True and Failed=true conditions");
    refuse(complete && target && changed(&["Complete", "FailureTarget"]), "cannot set Complete=True and FailureTarget=true conditions");
    refuse(failed && !target && changed(&["Failed"]), "cannot set Failed=True condition without the FailureTarget=true condition");
    refuse(
        complete && !criteria && changed(&["Complete", "SuccessCriteriaMet"]),
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    );
    refuse(criteria && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    refuse(criteria && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    let policy = new.spec.as_ref().is_some_and(|spec| spec.success_policy.is_some());
    refuse(policy && !criteria && complete, "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
}

fn times(new: &Job, status: &JobStatus, old: &JobStatus, finished_changed: bool, spec: &JobSpec, errors: &mut Errors) {
    let (complete, finished) = (is_true(new, "Complete"), is_finished(new));
    let (start_changed, end_changed) = (status.start_time != old.start_time, status.completion_time != old.completion_time);
    if finished_changed || end_changed {
        match &status.completion_time {
            Some(time) if !complete => {
                errors.invalid("completionTime", time, "cannot set completionTime when there is no Complete=True condition");
            }
            None if complete => errors.required("completionTime", "completionTime is required for Complete jobs"),
            _ => {}
        }
    }
    if let (Some(start), Some(end)) = (&status.start_time, &status.completion_time)
        && (start_changed || end_changed)
        && end.0 < start.0
    {
        errors.invalid("completionTime", end, "must be equal to or after `startTime`");
    }
    let empty = spec.suspend == Some(true) && spec.completions == Some(0);
    if status.start_time.is_none() && finished && (finished_changed || start_changed) && !empty {
        errors.required("startTime", "startTime is required for finished job");
    }
    if status.completion_time.is_some() && old.completion_time.is_some() && end_changed {
        errors.invalid("completionTime", &status.completion_time, "field is immutable");
    }
    let state = |status: &JobStatus, value: &str| {
        status.conditions.iter().flatten().any(|condition| condition.type_ == "Suspended" && condition.status == value)
    };
    let resuming = state(old, "True") && state(status, "False");
    if start_changed && !resuming && old.start_time.is_some() && spec.suspend != Some(true) {
        errors.invalid("startTime", &status.start_time, "field is immutable for unsuspended job once set");
    }
}

fn finished_pods(new: &Job, old: &Job, status: &JobStatus, before: &JobStatus, errors: &mut Errors) {
    let (finished, turned) = (is_finished(new), is_finished(new) != is_finished(old));
    if finished && status.active.unwrap_or(0) > 0 && (turned || status.active != before.active) {
        errors.invalid("active", status.active, "active>0 is invalid for finished job");
    }
    let uncounted = status.uncounted_terminated_pods.as_ref();
    let pending = uncounted.is_some_and(|pods| pods.failed.iter().chain(&pods.succeeded).any(|list| !list.is_empty()));
    if finished && pending && (turned || status.uncounted_terminated_pods != before.uncounted_terminated_pods) {
        errors.invalid("uncountedTerminatedPods", uncounted, "must be empty for finished job");
    }
    if finished && status.terminating.unwrap_or(0) > 0 && (turned || status.terminating != before.terminating) {
        errors.invalid("terminating", status.terminating, "terminating>0 is invalid for finished job");
    }
    let changed = status.ready != before.ready || status.active != before.active;
    if changed && status.ready.is_some_and(|ready| ready > status.active.unwrap_or(0)) {
        errors.invalid("ready", status.ready, "cannot set more ready pods than active");
    }
}

fn index_sets(spec: &JobSpec, status: &JobStatus, old: &JobStatus, errors: &mut Errors) {
    let completed = status.completed_indexes.as_deref().unwrap_or_default();
    let failed = status.failed_indexes.as_deref();
    let completed_changed = completed != old.completed_indexes.as_deref().unwrap_or_default();
    let failed_changed = status.failed_indexes != old.failed_indexes;
    if completed_changed {
        if let Some(Err(problem)) = spec.completions.map(|completions| indexes::count(completed, completions)) {
            errors.invalid("completedIndexes", completed, &format!("error parsing completedIndexes: {problem}"));
        }
        if !completed.is_empty() && spec.completion_mode.as_deref() != Some("Indexed") {
            errors.invalid("completedIndexes", completed, "cannot set non-empty completedIndexes when non-indexed completion mode");
        }
    }
    let Some(failed) = failed else { return };
    if failed_changed && spec.backoff_limit_per_index.is_none() {
        errors.invalid("failedIndexes", failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    let Some(completions) = spec.completions else { return };
    if failed_changed
        && spec.backoff_limit_per_index.is_some()
        && let Err(problem) = indexes::count(failed, completions)
    {
        errors.invalid("failedIndexes", failed, &format!("error parsing failedIndexes: {problem}"));
    }
    if (failed_changed || completed_changed)
        && let Some(index) = indexes::overlap(completed, failed, completions)
    {
        errors.invalid("failedIndexes", failed, &format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
}

/// What has ended stays ended.
fn transitions(new: &Job, old: &Job, errors: &mut Errors) {
    for condition in ["Failed", "Complete", "FailureTarget"] {
        if is_true(old, condition) && !is_true(new, condition) {
            errors.invalid_without_value("conditions", &format!("cannot disable the terminal {condition}=True condition"));
        }
    }
    let (before, after) = (is_true(old, "SuccessCriteriaMet"), is_true(new, "SuccessCriteriaMet"));
    if before && !after {
        errors.invalid_without_value("conditions", "cannot disable the SuccessCriteriaMet=True condition");
    }
    if is_true(old, "Complete") && !before && after {
        let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.invalid_without_value("conditions", why);
    }
}

fn counters(spec: &JobSpec, status: &JobStatus, old: &JobStatus, errors: &mut Errors) {
    if status.failed.unwrap_or(0) < old.failed.unwrap_or(0) {
        errors.invalid("failed", status.failed.unwrap_or(0), "cannot decrease the failed counter");
    }
    // an elastic indexed job may shrink
    let elastic = spec.completion_mode.as_deref() == Some("Indexed") && spec.completions == spec.parallelism;
    if !elastic && status.succeeded.unwrap_or(0) < old.succeeded.unwrap_or(0) {
        errors.invalid("succeeded", status.succeeded.unwrap_or(0), "cannot decrease the succeeded counter");
    }
}
