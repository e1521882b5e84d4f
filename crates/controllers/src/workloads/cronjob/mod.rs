//! The CronJob controller: makes a Job at each time of a schedule.
//! Reads CronJobs and Jobs; writes Jobs and the CronJob's status; is woken by both and by time.
mod schedule;

use crate::driver::{Caches, Controller, Deletion, Moment, Outcome, Plan, itself, reads_indexed};
use crate::objects::conditions::Condition;
use crate::objects::owners::{OWNER, by_owner, controller, owner_key};
use crate::objects::{created, is_deleting, name, seconds, set_entry, time, uid};
use client::Delta;
use client::events::reference;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::meta::Key;
use schedule::Schedule;
use std::sync::Arc;

const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// So many missed times are looked through; more mean that a clock was wrong.
const MAX_MISSED: usize = 100;

pub static CONTROLLER: Controller = Controller {
    name: "cronjob",
    account: "cronjob-controller",
    reads: || vec![reads_indexed::<CronJob>(itself, &[]), reads_indexed::<Job>(wake_by_job, &[(OWNER, by_owner)])],
    writes: &["jobs", "cronjobs/status"],
    workers: 4,
    always: false,
    plan: |caches, key, moment| observe(caches, key).map(|view| reconcile(&view, moment)).unwrap_or_default(),
};

pub struct View {
    pub cron: Arc<CronJob>,
    pub jobs: Vec<Arc<Job>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let cron = caches.get::<CronJob>(key)?;
    Some(View { jobs: caches.of::<Job>().by_index(OWNER, uid(&cron.metadata)), cron })
}

pub fn reconcile(view: &View, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let mut cron = (*view.cron).clone();
    account(&mut plan, view, &mut cron);
    clean_up(&mut plan, view);
    let suspended = cron.spec.suspend == Some(true);
    if !is_deleting(&cron.metadata) && !suspended {
        match schedule(&cron) {
            Ok(schedule) => run(&mut plan, view, &mut cron, &schedule, moment.now),
            Err((reason, error)) => plan.warning(&*view.cron, reason, error),
        }
    }
    plan.status(&*view.cron, cron);
    plan
}

fn schedule(cron: &CronJob) -> Result<Schedule, (&'static str, String)> {
    let zone = cron.spec.time_zone.as_deref().unwrap_or("UTC");
    if !matches!(zone, "UTC" | "Etc/UTC" | "GMT" | "Etc/GMT") {
        return Err(("UnknownTimeZone", format!("invalid timeZone: {zone:?}: only UTC is known here")));
    }
    Schedule::parse(&cron.spec.schedule)
        .map_err(|error| ("UnparseableSchedule", format!("unparseable schedule: {:?} : {error}", cron.spec.schedule)))
}

/// How a Job ended, if it did.
fn ended(job: &Job) -> Option<&str> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let last = conditions.iter().find(|one| one.status() == "True" && matches!(one.kind(), "Complete" | "Failed"))?;
    Some(last.kind())
}

/// Keeps the list of running Jobs right.
fn account(plan: &mut Plan, view: &View, cron: &mut CronJob) {
    let status = cron.status.get_or_insert_default();
    let known: Vec<ObjectReference> = status.active.clone().unwrap_or_default();
    let mut active = Vec::new();
    for own in known {
        let job = view.jobs.iter().find(|job| job.metadata.uid == own.uid);
        match job.map(|job| (job, ended(job))) {
            Some((_, None)) => active.push(own),
            Some((job, Some(how))) => {
                let message = format!("Saw completed job: {}, condition: {how}", name(&job.metadata));
                plan.normal(&*view.cron, "SawCompletedJob", message);
                let at = job.status.as_ref().and_then(|status| status.completion_time.clone());
                if let (Some(at), "Complete") = (at, how)
                    && status.last_successful_time.as_ref().is_none_or(|before| *before < at)
                {
                    status.last_successful_time = Some(at);
                }
            }
            None => {
                let message = format!("Active job went missing: {}", own.name.clone().unwrap_or_default());
                plan.normal(&*view.cron, "MissingJob", message);
            }
        }
    }
    for job in view.jobs.iter().filter(|job| ended(job).is_none()) {
        if !active.iter().any(|own| own.uid == job.metadata.uid) {
            active.push(short(job));
        }
    }
    status.active = (!active.is_empty()).then_some(active);
}

fn short(job: &Job) -> ObjectReference {
    reference(job)
}

/// Old finished Jobs beyond the history limits go.
fn clean_up(plan: &mut Plan, view: &View) {
    let spec = &view.cron.spec;
    for (how, limit) in
        [("Complete", spec.successful_jobs_history_limit.unwrap_or(3)), ("Failed", spec.failed_jobs_history_limit.unwrap_or(1))]
    {
        let mut done: Vec<&Arc<Job>> = view.jobs.iter().filter(|job| ended(job) == Some(how) && !is_deleting(&job.metadata)).collect();
        done.sort_by_key(|job| (job.status.as_ref().and_then(|status| status.start_time.clone()), job.metadata.name.clone()));
        let surplus = done.len().saturating_sub(limit.max(0) as usize);
        done.into_iter().take(surplus).for_each(|job| delete(plan, &view.cron, job));
    }
}

fn delete(plan: &mut Plan, cron: &CronJob, job: &Job) {
    let done = format!("Deleted job {}", name(&job.metadata));
    let failed = "Deleted job: {}".to_string();
    let tell = Outcome::new(cron, ("SuccessfulDelete", &done), ("FailedDelete", &failed));
    plan.delete_telling(job, Deletion { propagation: Some("Background"), ..Deletion::default() }, Some(tell));
}

fn run(plan: &mut Plan, view: &View, cron: &mut CronJob, schedule: &Schedule, now: Timestamp) {
    plan.wake_if(schedule.after(now));
    let Some(due) = last_due(plan, view, schedule, now) else { return };
    let late = cron.spec.starting_deadline_seconds.is_some_and(|deadline| due + seconds(deadline) < now);
    if late {
        plan.warning(&*view.cron, "MissSchedule", format!("Missed scheduled time to start a job: {due}"));
        return;
    }
    let active = view.jobs.iter().filter(|job| ended(job).is_none());
    let running: Vec<&Arc<Job>> = active.collect();
    match cron.spec.concurrency_policy.as_deref() {
        Some("Forbid") if !running.is_empty() => {
            plan.normal(
                &*view.cron,
                "JobAlreadyActive",
                "Not starting job because prior execution is running and concurrency policy is Forbid",
            );
            return;
        }
        Some("Replace") => running.into_iter().filter(|job| !is_deleting(&job.metadata)).for_each(|job| delete(plan, &view.cron, job)),
        _ => {}
    }
    let job = job_of(cron, due);
    let known = view.jobs.iter().any(|one| one.metadata.name == job.metadata.name);
    if !known {
        let (done, failed) = (format!("Created job {}", name(&job.metadata)), "Error creating job: {}");
        plan.create_telling(job, Some(Outcome::new(&*view.cron, ("SuccessfulCreate", &done), ("FailedCreate", failed))));
    }
    cron.status.get_or_insert_default().last_schedule_time = Some(time(due));
}

/// The last time that has passed since the last run (or the creation) and was not served.
fn last_due(plan: &mut Plan, view: &View, schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    let status = view.cron.status.as_ref();
    let mut from = status.and_then(|status| status.last_schedule_time.as_ref()).map_or(created(&view.cron.metadata), |at| at.0);
    if let Some(deadline) = view.cron.spec.starting_deadline_seconds {
        from = from.max(now - seconds(deadline));
    }
    let mut last = None;
    let mut missed = 0;
    while let Some(at) = schedule.after(from).filter(|at| *at <= now) {
        last = Some(at);
        from = at;
        missed += 1;
        if missed > MAX_MISSED {
            let text = format!("too many missed start times: {missed}. Set or decrease .spec.startingDeadlineSeconds or check clock skew");
            plan.warning(&*view.cron, "TooManyMissedTimes", text);
            return schedule.before(now);
        }
    }
    last
}

fn job_of(cron: &CronJob, due: Timestamp) -> Job {
    let template = &cron.spec.job_template;
    let mut meta = ObjectMeta {
        // the minute is the name: a time is served once, whatever happens
        name: Some(format!("{}-{}", name(&cron.metadata), due.as_second() / 60)),
        namespace: cron.metadata.namespace.clone(),
        labels: template.metadata.as_ref().and_then(|meta| meta.labels.clone()),
        annotations: template.metadata.as_ref().and_then(|meta| meta.annotations.clone()),
        creation_timestamp: None,
        owner_references: Some(vec![controller(cron)]),
        ..ObjectMeta::default()
    };
    set_entry(&mut meta.annotations, SCHEDULED_AT, &text(&time(due)));
    Job { metadata: meta, spec: template.spec.clone(), status: None }
}

fn text(at: &Time) -> String {
    serde_json::to_value(at).ok().and_then(|value| value.as_str().map(String::from)).unwrap_or_default()
}

fn wake_by_job(_: &Caches, delta: &Delta<Job>) -> Vec<Key> {
    owner_key::<CronJob>(&delta.object().metadata).into_iter().collect()
}

#[cfg(test)]
mod tests;
