//! CronJob: makes jobs of one template by a schedule.
use super::job::{JobPlace, default_spec, spec_warning, validate_spec};
use super::schedule;
use crate::apps::template;
use crate::check::{OBJECT_VERBS, STATUS_VERBS, bool_cell, column, name_warning, not_negatives, selector_cell, wide};
use crate::meta::not_negative;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, JobSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names, Subresource};
use machinery::table::{age, age_column, name_column};

/// Jobs are named after it, with 11 characters more.
const MAX_NAME_BYTES: usize = 52;

pub static CRONJOB: Kind<CronJob> = Kind {
    default,
    on_create: |job| {
        job.status = Some(CronJobStatus::default());
        job.metadata.generation = Some(1);
    },
    on_update: |new, old| {
        new.status = old.status.clone();
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(new.spec != old.spec));
    },
    validate: |job, errors| {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        errors.at("spec", |errors| validate(&job.spec, errors));
        if name.len() > MAX_NAME_BYTES {
            errors.invalid("metadata.name", name, "must be no more than 52 characters");
        }
    },
    warnings: |job| {
        let name = name_warning(job.metadata.name.as_deref());
        name.into_iter().chain(spec_warning("spec.jobTemplate.spec", &job.spec.job_template.spec.clone().unwrap_or_default())).collect()
    },
    columns: &[
        name_column(),
        column("Schedule", "string", |job, _| job.spec.schedule.clone().into()),
        column("Timezone", "string", |job, _| job.spec.time_zone.clone().unwrap_or_else(|| "<none>".into()).into()),
        column("Suspend", "boolean", |job, _| bool_cell(job.spec.suspend)),
        column("Active", "integer", |job, _| status(job).active.map_or(0, |active| active.len()).into()),
        column("Last Schedule", "string", |job, now| match status(job).last_schedule_time {
            Some(time) => age(Some(&time), now).into(),
            None => "<none>".into(),
        }),
        age_column(),
        wide("Containers", |job, _| template::container_names(template_of(job))),
        wide("Images", |job, _| template::images(template_of(job))),
        wide("Selector", |job, _| match job.spec.job_template.spec.clone().and_then(|spec| spec.selector) {
            Some(selector) => selector_cell(Some(&selector)),
            None => "<none>".into(),
        }),
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: STATUS_VERBS,
        prepare: |new, old| new.spec = old.spec.clone(),
        validate: |_, _, _| {},
    }],
    ..Kind::of(Names {
        group: "batch",
        version: "v1",
        kind: "CronJob",
        plural: "cronjobs",
        singular: "cronjob",
        short: &["cj"],
        categories: &["all"],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "cronjobs",
        schema: "io.k8s.api.batch.v1.CronJob",
    })
};

fn status(job: &CronJob) -> CronJobStatus {
    job.status.clone().unwrap_or_default()
}

fn template_of(job: &CronJob) -> Option<&PodTemplateSpec> {
    job.spec.job_template.spec.as_ref().map(|spec| &spec.template)
}

fn default(job: &mut CronJob) {
    let spec = &mut job.spec;
    if spec.concurrency_policy.as_deref().unwrap_or_default().is_empty() {
        spec.concurrency_policy = Some("Allow".into());
    }
    spec.suspend.get_or_insert(false);
    spec.successful_jobs_history_limit.get_or_insert(3);
    spec.failed_jobs_history_limit.get_or_insert(1);
    spec.job_template.metadata.get_or_insert_default();
    default_spec(spec.job_template.spec.get_or_insert_default());
}

fn validate(spec: &CronJobSpec, errors: &mut Errors) {
    if spec.schedule.is_empty() {
        errors.required("schedule", "");
    } else {
        if let Some(problem) = schedule::problem(&spec.schedule) {
            errors.invalid("schedule", &spec.schedule, &problem);
        }
        if spec.schedule.contains("TZ") {
            errors.invalid("schedule", &spec.schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        }
    }
    not_negative(errors, "startingDeadlineSeconds", spec.starting_deadline_seconds.unwrap_or(0));
    if let Some(zone) = &spec.time_zone {
        time_zone(zone, errors);
    }
    match spec.concurrency_policy.as_deref().unwrap_or_default() {
        "" => errors.required("concurrencyPolicy", ""),
        "Allow" | "Forbid" | "Replace" => {}
        other => errors.not_supported("concurrencyPolicy", other, &["Allow", "Forbid", "Replace"]),
    }
    let unset = JobSpec::default();
    let job = spec.job_template.spec.as_ref().unwrap_or(&unset);
    errors.at("jobTemplate.spec", |errors| validate_spec(job, JobPlace::Template, errors));
    not_negatives(
        errors,
        [("successfulJobsHistoryLimit", spec.successful_jobs_history_limit), ("failedJobsHistoryLimit", spec.failed_jobs_history_limit)],
    );
}

/// The form only: which zones there are, the controller's database knows.
fn time_zone(zone: &str, errors: &mut Errors) {
    let known = |letter: char| letter.is_ascii_alphanumeric() || ".-_+".contains(letter);
    let part =
        |part: &str| (1..=14).contains(&part.len()) && part.chars().all(known) && !part.starts_with('-') && part != "." && part != "..";
    if zone.is_empty() {
        errors.invalid("timeZone", zone, "timeZone must be nil or non-empty string");
    } else if !zone.split('/').all(part) {
        errors.invalid("timeZone", zone, &format!("unknown time zone {zone}"));
    } else if zone.eq_ignore_ascii_case("Local") {
        errors.invalid("timeZone", zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"nightly","namespace":"x"},"spec":{"schedule":"0 3 * * *",
    "jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}}"#;
