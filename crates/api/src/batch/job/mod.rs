//! Job: pods of one template that run until enough of them have succeeded. Its selector and the labels that go with it are made here.
mod indexes;
mod status;
mod validate;

pub(crate) use validate::{JobPlace, validate_spec};

use crate::apps::template;
use crate::check::{OBJECT_VERBS, STATUS_VERBS, column, name_warning, selector_cell, wide};
use crate::core::pod::default_pod_template;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use machinery::kind::{Field, Kind, Names, Subresource};
use machinery::table::{age_column, human, name_column};

pub const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// Labels of older clients, kept beside the prefixed ones.
pub const LEGACY_CONTROLLER_UID: &str = "controller-uid";
pub const LEGACY_JOB_NAME: &str = "job-name";

pub static JOB: Kind<Job> = Kind {
    default,
    on_create: |job| {
        generate_selector(job);
        default_labels(job);
        job.status = Some(JobStatus::default());
        job.metadata.generation = Some(1);
    },
    on_update: |new, old| {
        new.status = old.status.clone();
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(new.spec != old.spec));
    },
    validate: validate::validate,
    validate_update: validate::validate_update,
    warnings: |job| {
        let name = name_warning(job.metadata.name.as_deref());
        name.into_iter().chain(spec(job).map(|spec| spec_warning("spec", spec)).unwrap_or_default()).collect()
    },
    columns: &[
        name_column(),
        column("Status", "string", |job, _| state(job).into()),
        column("Completions", "string", |job, _| completions(job).into()),
        column("Duration", "string", |job, now| duration(job, now).into()),
        age_column(),
        wide("Containers", |job, _| template::container_names(template_of(job))),
        wide("Images", |job, _| template::images(template_of(job))),
        wide("Selector", |job, _| match spec(job).and_then(|spec| spec.selector.as_ref()) {
            Some(selector) => selector_cell(Some(selector)),
            None => "<none>".into(),
        }),
    ],
    fields: &[Field { path: "status.successful", value: |job| status_of(job).succeeded.unwrap_or(0).to_string() }],
    subresources: &[Subresource {
        name: "status",
        verbs: STATUS_VERBS,
        prepare: |new, old| new.spec = old.spec.clone(),
        validate: |new, old, errors| status::validate_update(new, old, errors),
    }],
    ..Kind::of(Names {
        group: "batch",
        version: "v1",
        kind: "Job",
        plural: "jobs",
        singular: "job",
        short: &[],
        categories: &["all"],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "jobs",
        schema: "io.k8s.api.batch.v1.Job",
    })
};

fn spec(job: &Job) -> Option<&JobSpec> {
    job.spec.as_ref()
}

fn status_of(job: &Job) -> JobStatus {
    job.status.clone().unwrap_or_default()
}

fn template_of(job: &Job) -> Option<&PodTemplateSpec> {
    spec(job).map(|spec| &spec.template)
}

fn default(job: &mut Job) {
    let spec = job.spec.get_or_insert_default();
    if spec.completions.is_none() && spec.parallelism.is_none() {
        spec.completions = Some(1);
    }
    spec.parallelism.get_or_insert(1);
    spec.backoff_limit.get_or_insert(if spec.backoff_limit_per_index.is_some() { i32::MAX } else { 6 });
    spec.completion_mode.get_or_insert_with(|| "NonIndexed".into());
    spec.suspend.get_or_insert(false);
    let policy = if spec.pod_failure_policy.is_some() { "Failed" } else { "TerminatingOrFailed" };
    spec.pod_replacement_policy.get_or_insert_with(|| policy.into());
    spec.manual_selector.get_or_insert(false);
    default_spec(spec);
    default_labels(job);
}

/// A job without labels has those of its pods.
fn default_labels(job: &mut Job) {
    let labels = template_of(job).and_then(template::labels).cloned();
    if labels.is_some() && job.metadata.labels.as_ref().is_none_or(|labels| labels.is_empty()) {
        job.metadata.labels = labels;
    }
}

/// What templates of jobs get as well.
pub(crate) fn default_spec(spec: &mut JobSpec) {
    let rules = spec.pod_failure_policy.iter_mut().flat_map(|policy| &mut policy.rules);
    for pattern in rules.flat_map(|rule| rule.on_pod_conditions.iter_mut().flatten()) {
        if pattern.status.as_deref().unwrap_or_default().is_empty() {
            pattern.status = Some("True".into());
        }
    }
    default_pod_template(&mut spec.template);
}

/// A selector that no other job's pods match, unless the client says that it brings its own.
fn generate_selector(job: &mut Job) {
    let (name, uid) = (job.metadata.name.clone().unwrap_or_default(), job.metadata.uid.clone().unwrap_or_default());
    let spec = job.spec.get_or_insert_default();
    if spec.manual_selector == Some(true) {
        return;
    }
    let labels = spec.template.metadata.get_or_insert_default().labels.get_or_insert_default();
    for (key, value) in [(LEGACY_JOB_NAME, &name), (JOB_NAME, &name), (LEGACY_CONTROLLER_UID, &uid), (CONTROLLER_UID, &uid)] {
        labels.entry(key.into()).or_insert_with(|| value.clone());
    }
    let selector = spec.selector.get_or_insert_default().match_labels.get_or_insert_default();
    selector.entry(CONTROLLER_UID.into()).or_insert(uid);
}

pub(crate) fn spec_warning(path: &str, spec: &JobSpec) -> Vec<String> {
    let many = spec.completions.unwrap_or(0) > 100_000 && spec.parallelism.unwrap_or(0) > 10_000;
    if !many || spec.completion_mode.as_deref() != Some("Indexed") {
        return Vec::new();
    }
    vec![format!(
        "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
         Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
    )]
}

/// Is the condition there and true?
fn is_true(job: &Job, condition: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|there| there.type_ == condition && there.status == "True")
}

fn state(job: &Job) -> &'static str {
    let terminating = job.metadata.deletion_timestamp.is_some();
    match () {
        () if is_true(job, "Complete") => "Complete",
        () if is_true(job, "Failed") => "Failed",
        () if terminating => "Terminating",
        () if is_true(job, "Suspended") => "Suspended",
        () if is_true(job, "FailureTarget") => "FailureTarget",
        () if is_true(job, "SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(job: &Job) -> String {
    let succeeded = status_of(job).succeeded.unwrap_or(0);
    let parallelism = spec(job).and_then(|spec| spec.parallelism).unwrap_or(0);
    match spec(job).and_then(|spec| spec.completions) {
        Some(completions) => format!("{succeeded}/{completions}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn duration(job: &Job, now: Timestamp) -> String {
    let status = status_of(job);
    let end = status.completion_time.map_or(now, |time| time.0);
    status.start_time.map_or_else(String::new, |start| human(end.duration_since(start.0)))
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"sum","namespace":"x","uid":"u"},"spec":{
    "template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}"#;
