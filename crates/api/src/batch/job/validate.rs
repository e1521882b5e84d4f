//! Checks of a job's spec, alike in jobs and in templates of jobs.
use super::indexes;
use super::{CONTROLLER_UID, JOB_NAME, LEGACY_CONTROLLER_UID, LEGACY_JOB_NAME, template};
use crate::check::{domain_prefixed_path, not_negatives};
use crate::core::pod::validate_pod_template;
use crate::meta::{immutable, label_selector, not_negative, report};
use k8s_openapi::api::batch::v1::{Job, JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule, SuccessPolicyRule};
use k8s_openapi::api::core::v1::{Affinity, PodTemplateSpec};
use machinery::content;
use machinery::errors::Errors;
use machinery::selector::Selector;
use std::collections::BTreeMap;

const MANY_COMPLETIONS: i32 = 100_000;
const MAX_INDEXED_PARALLELISM: i32 = 100_000;
const MAX_FAILED_INDEXES: i32 = 100_000;
/// Of parallelism and of failed indexes when there are many completions.
const MAX_AT_MANY: i32 = 10_000;
const MAX_POLICY_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_MANAGED_BY_BYTES: usize = 63;
const MAX_INDEXES_BYTES: usize = 64 << 10;

/// A job has a selector of its own, a template of jobs must not.
#[derive(Clone, Copy, PartialEq)]
pub enum JobPlace {
    Job,
    Template,
}

pub fn validate(job: &Job, errors: &mut Errors) {
    let unset = JobSpec::default();
    let spec = job.spec.as_ref().unwrap_or(&unset);
    generated_selector(job, spec, errors);
    errors.at("spec", |errors| validate_spec(spec, JobPlace::Job, errors));
    if is_indexed(spec) && spec.completions.is_some_and(|completions| completions > 0) {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let longest = format!("{name}-{}", spec.completions.unwrap_or(1) - 1);
        if !content::dns_label(&longest).is_empty() {
            errors.invalid("metadata.name", name, &format!("will not able to create pod with invalid DNS label: {longest}"));
        }
    }
}

pub fn validate_update(new: &Job, old: &Job, errors: &mut Errors) {
    let (Some(spec), Some(old_spec)) = (&new.spec, &old.spec) else { return };
    errors.at("spec", |errors| {
        if !is_indexed(spec) {
            immutable(errors, "completions", &spec.completions, &old_spec.completions);
        } else if spec.completions != old_spec.completions && spec.completions.is_some() && spec.completions != spec.parallelism {
            errors.invalid("completions", spec.completions, "can only be modified in tandem with spec.parallelism");
        }
        immutable(errors, "selector", &spec.selector, &old_spec.selector);
        immutable(errors, "template", &spec.template, &allowed_template(spec, old));
        immutable(errors, "completionMode", &spec.completion_mode, &old_spec.completion_mode);
        immutable(errors, "podFailurePolicy", &spec.pod_failure_policy, &old_spec.pod_failure_policy);
        immutable(errors, "backoffLimitPerIndex", &spec.backoff_limit_per_index, &old_spec.backoff_limit_per_index);
        immutable(errors, "managedBy", &spec.managed_by, &old_spec.managed_by);
        immutable(errors, "successPolicy", &spec.success_policy, &old_spec.success_policy);
    });
}

fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// The stored template with what may change while the job is suspended and has no pods: where pods go, and what they may use.
fn allowed_template(new: &JobSpec, old: &Job) -> PodTemplateSpec {
    let old_spec = old.spec.clone().unwrap_or_default();
    let status = old.status.clone().unwrap_or_default();
    let mut template = old_spec.template;
    let idle = status.active.unwrap_or(0) == 0 && (status.start_time.is_none() || super::is_true(old, "Suspended"));
    if old_spec.suspend != Some(true) || !idle {
        return template;
    }
    if let (Some(meta), Some(new)) = (&mut template.metadata, &new.template.metadata) {
        meta.labels.clone_from(&new.labels);
        meta.annotations.clone_from(&new.annotations);
    }
    if let (Some(pod), Some(new)) = (&mut template.spec, &new.template.spec) {
        pod.node_selector.clone_from(&new.node_selector);
        pod.tolerations.clone_from(&new.tolerations);
        pod.scheduling_gates.clone_from(&new.scheduling_gates);
        let node_affinity = new.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
        if new.affinity.is_some() || pod.affinity.is_some() {
            let affinity = Affinity { node_affinity, ..pod.affinity.take().unwrap_or_default() };
            pod.affinity = Some(affinity).filter(|affinity| new.affinity.is_some() || *affinity != Affinity::default());
        }
        for (container, new) in pod.containers.iter_mut().zip(&new.containers).filter(|(old, new)| old.name == new.name) {
            container.resources.clone_from(&new.resources);
        }
        let pairs = pod.init_containers.iter_mut().flatten().zip(new.init_containers.iter().flatten());
        for (container, new) in pairs.filter(|(old, new)| old.name == new.name) {
            container.resources.clone_from(&new.resources);
        }
    }
    template
}

fn generated_selector(job: &Job, spec: &JobSpec, errors: &mut Errors) {
    let Some(selector) = spec.selector.as_ref().filter(|_| spec.manual_selector != Some(true)) else { return };
    let (name, uid) = (job.metadata.name.clone().unwrap_or_default(), job.metadata.uid.clone().unwrap_or_default());
    if uid.is_empty() {
        errors.required("metadata.uid", "");
    }
    let expected = [(LEGACY_CONTROLLER_UID, uid.clone()), (LEGACY_JOB_NAME, name.clone()), (CONTROLLER_UID, uid), (JOB_NAME, name)];
    let labels = template::labels(&spec.template);
    for (key, value) in &expected {
        let (field, why) = (format!("spec.template.metadata.labels[{key}]"), format!("must be '{value}'"));
        match labels.and_then(|labels| labels.get(*key)) {
            None => errors.required(&field, &why),
            Some(there) if there != value => errors.invalid(&field, labels, &why),
            Some(_) => {}
        }
    }
    let expected = expected.map(|(key, value)| (key.to_string(), value)).into_iter().collect::<BTreeMap<_, _>>();
    if Selector::from_api(Some(selector)).is_ok_and(|selector| !selector.matches(&expected)) {
        errors.invalid("spec.selector", selector, "`selector` not auto-generated");
    }
}

pub fn validate_spec(spec: &JobSpec, place: JobPlace, errors: &mut Errors) {
    numbers(spec, errors);
    if let Some(manager) = &spec.managed_by {
        domain_prefixed_path(errors, "managedBy", manager);
        if manager.len() > MAX_MANAGED_BY_BYTES {
            errors.too_long("managedBy", MAX_MANAGED_BY_BYTES);
        }
    }
    completion_mode(spec, errors);
    failure_policy(spec, errors);
    if let Some(policy) = &spec.success_policy {
        if is_indexed(spec) {
            errors.at("successPolicy", |errors| success_rules(spec, &policy.rules, errors));
        } else {
            errors.invalid("successPolicy", policy, "requires indexed completion mode");
        }
    }
    match (spec.pod_replacement_policy.as_deref(), &spec.pod_failure_policy) {
        (None | Some("Failed"), _) | (Some("TerminatingOrFailed"), None) => {}
        (Some(other), Some(_)) => errors.not_supported("podReplacementPolicy", other, &["Failed"]),
        (Some(other), None) => errors.not_supported("podReplacementPolicy", other, &["Failed", "TerminatingOrFailed"]),
    }
    errors.at("template", |errors| validate_pod_template(&spec.template, errors));
    restart_policy(spec, errors);
    selector(spec, place, errors);
}

fn numbers(spec: &JobSpec, errors: &mut Errors) {
    not_negatives(errors, [("parallelism", spec.parallelism), ("completions", spec.completions)]);
    not_negative(errors, "activeDeadlineSeconds", spec.active_deadline_seconds.unwrap_or(0));
    not_negatives(
        errors,
        [
            ("backoffLimit", spec.backoff_limit),
            ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
            ("backoffLimitPerIndex", spec.backoff_limit_per_index),
            ("maxFailedIndexes", spec.max_failed_indexes),
        ],
    );
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        errors.required("backoffLimitPerIndex", "when maxFailedIndexes is specified");
    }
}

fn completion_mode(spec: &JobSpec, errors: &mut Errors) {
    match spec.completion_mode.as_deref() {
        Some("Indexed") => indexed(spec, errors),
        None | Some("NonIndexed") => {
            for (field, value) in [("backoffLimitPerIndex", spec.backoff_limit_per_index), ("maxFailedIndexes", spec.max_failed_indexes)] {
                if value.is_some() {
                    errors.invalid(field, value, "requires indexed completion mode");
                }
            }
        }
        Some(other) => errors.not_supported("completionMode", other, &["NonIndexed", "Indexed"]),
    }
}

fn indexed(spec: &JobSpec, errors: &mut Errors) {
    let (completions, parallelism, failed) = (spec.completions.unwrap_or(0), spec.parallelism.unwrap_or(0), spec.max_failed_indexes);
    if spec.completions.is_none() {
        errors.required("completions", "when completion mode is Indexed");
    }
    if parallelism > MAX_INDEXED_PARALLELISM {
        let why = format!("must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed");
        errors.invalid("parallelism", parallelism, &why);
    }
    if spec.completions.is_some() && failed.is_some_and(|failed| failed > completions) {
        errors.invalid("maxFailedIndexes", failed, "must be less than or equal to completions");
    }
    if failed.is_some_and(|failed| failed > MAX_FAILED_INDEXES) {
        errors.invalid("maxFailedIndexes", failed, &format!("must be less than or equal to {MAX_FAILED_INDEXES}"));
    }
    if completions <= MANY_COMPLETIONS || spec.backoff_limit_per_index.is_none() {
        return;
    }
    if failed.is_none() {
        errors.required("maxFailedIndexes", &format!("must be specified when completions is above {MANY_COMPLETIONS}"));
    }
    let why = format!(
        "must be less than or equal to {MAX_AT_MANY} when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
    );
    if parallelism > MAX_AT_MANY {
        errors.invalid("parallelism", parallelism, &why);
    }
    if failed.is_some_and(|failed| failed > MAX_AT_MANY) {
        errors.invalid("maxFailedIndexes", failed, &why);
    }
}

fn failure_policy(spec: &JobSpec, errors: &mut Errors) {
    let Some(policy) = &spec.pod_failure_policy else { return };
    if policy.rules.len() > MAX_POLICY_RULES {
        errors.too_many("podFailurePolicy.rules", policy.rules.len(), MAX_POLICY_RULES);
    }
    errors.each("podFailurePolicy.rules", &policy.rules, |errors, rule| failure_rule(spec, rule, errors));
}

fn failure_rule(spec: &JobSpec, rule: &PodFailurePolicyRule, errors: &mut Errors) {
    const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
    match rule.action.as_str() {
        "" => errors.required("action", "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"),
        "FailIndex" if spec.backoff_limit_per_index.is_none() => {
            errors.invalid("action", "FailIndex", "requires the backoffLimitPerIndex to be set");
        }
        action if !ACTIONS.contains(&action) => errors.not_supported("action", action, ACTIONS),
        _ => {}
    }
    let conditions = rule.on_pod_conditions.as_deref().unwrap_or_default();
    if let Some(codes) = &rule.on_exit_codes {
        errors.at("onExitCodes", |errors| exit_codes(spec, codes, errors));
    }
    if conditions.len() > MAX_POLICY_RULES {
        errors.too_many("onPodConditions", conditions.len(), MAX_POLICY_RULES);
    }
    errors.each("onPodConditions", conditions, |errors, pattern| {
        const STATES: &[&str] = &["False", "True", "Unknown"];
        report(errors, "type", &pattern.type_, content::label_key(&pattern.type_));
        match pattern.status.as_deref().unwrap_or_default() {
            "" => errors.required("status", "valid values: [\"False\" \"True\" \"Unknown\"]"),
            status if !STATES.contains(&status) => errors.not_supported("status", status, STATES),
            _ => {}
        }
    });
    match (rule.on_exit_codes.is_some(), !conditions.is_empty()) {
        (true, true) => errors.invalid_without_value("", "specifying both OnExitCodes and OnPodConditions is not supported"),
        (false, false) => errors.invalid_without_value("", "specifying one of OnExitCodes and OnPodConditions is required"),
        _ => {}
    }
}

fn exit_codes(spec: &JobSpec, codes: &PodFailurePolicyOnExitCodesRequirement, errors: &mut Errors) {
    match codes.operator.as_str() {
        "" => errors.required("operator", "valid values: [\"In\" \"NotIn\"]"),
        "In" | "NotIn" => {}
        other => errors.not_supported("operator", other, &["In", "NotIn"]),
    }
    if let Some(name) = &codes.container_name {
        let pod = spec.template.spec.as_ref();
        let mut names = pod.into_iter().flat_map(|pod| pod.containers.iter().chain(pod.init_containers.iter().flatten()));
        if !names.any(|container| container.name == *name) {
            errors.invalid("containerName", name, "must be one of the container or initContainer names in the pod template");
        }
    }
    match codes.values.len() {
        0 => errors.invalid("values", &codes.values, "at least one value is required"),
        count if count > MAX_EXIT_CODES => errors.too_many("values", count, MAX_EXIT_CODES),
        _ => {}
    }
    for (index, code) in codes.values.iter().enumerate() {
        let field = format!("values[{index}]");
        if codes.operator == "In" && *code == 0 {
            errors.invalid(&field, code, "must not be 0 for the In operator");
        }
        if codes.values[..index].contains(code) {
            errors.duplicate(&field, code);
        }
    }
    if !codes.values.is_sorted() {
        errors.invalid("values", &codes.values, "must be ordered");
    }
}

fn success_rules(spec: &JobSpec, rules: &[SuccessPolicyRule], errors: &mut Errors) {
    if rules.is_empty() {
        errors.required("rules", "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > MAX_POLICY_RULES {
        errors.too_many("rules", rules.len(), MAX_POLICY_RULES);
    }
    errors.each("rules", rules, |errors, rule| success_rule(spec.completions.unwrap_or(0), rule, errors));
}

fn success_rule(completions: i32, rule: &SuccessPolicyRule, errors: &mut Errors) {
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        errors.required("", "at least one of succeededCount or succeededIndexes must be specified");
    }
    let mut total = 0;
    if let Some(text) = &rule.succeeded_indexes {
        if text.len() > MAX_INDEXES_BYTES {
            errors.too_long("succeededIndexes", MAX_INDEXES_BYTES);
        }
        match indexes::count(text, completions) {
            Ok(count) => total = count,
            Err(problem) => errors.invalid("succeededIndexes", text, &format!("error parsing succeededIndexes: {problem}")),
        }
    }
    let Some(count) = rule.succeeded_count else { return };
    not_negative(errors, "succeededCount", count);
    if count > completions {
        let why = format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.invalid("succeededCount", count, &why);
    }
    if rule.succeeded_indexes.is_some() && count > total {
        let why = format!("must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)");
        errors.invalid("succeededCount", count, &why);
    }
}

fn restart_policy(spec: &JobSpec, errors: &mut Errors) {
    let policy = spec.template.spec.as_ref().and_then(|pod| pod.restart_policy.as_deref()).unwrap_or_default();
    let field = "template.spec.restartPolicy";
    match policy {
        "" | "Always" => errors.required(field, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.pod_failure_policy.is_some() => {
            errors.invalid(field, policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        other => errors.not_supported(field, other, &["OnFailure", "Never"]),
    }
}

fn selector(spec: &JobSpec, place: JobPlace, errors: &mut Errors) {
    match (place, &spec.selector) {
        (JobPlace::Template, selector) => {
            if let Some(selector) = selector {
                errors.invalid("selector", selector, "`selector` will be auto-generated");
            }
            if spec.manual_selector == Some(true) {
                errors.unsupported("manualSelector", true, &["nil", "false"]);
            }
        }
        (JobPlace::Job, None) => {
            errors.required("selector", "");
            let labels = template::labels(&spec.template);
            errors.invalid("template.metadata.labels", labels, "`selector` does not match template `labels`");
        }
        (JobPlace::Job, Some(selector)) => {
            label_selector(errors, "selector", Some(selector));
            let labels = template::labels(&spec.template);
            if Selector::from_api(Some(selector)).is_ok_and(|selector| !selector.matches_labels(labels)) {
                errors.invalid("template.metadata.labels", labels, "`selector` does not match template `labels`");
            }
        }
    }
}
