//! DaemonSet: a pod of one template on every node that takes it. The generation of its template is kept in an annotation, as clients
//! of older versions expect.
use super::template::{self, Strategy};
use crate::check::{
    OBJECT_VERBS, STATUS_VERBS, amount, at_most_all, column, int_or_percent, not_decremented, not_negatives, selector_cell, wide,
};
use crate::core::pod::default_pod_template;
use crate::meta::{immutable, not_negative};
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetStatus, DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names, Subresource};
use machinery::table::{age_column, name_column, or_none};

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub static DAEMONSET: Kind<DaemonSet> = Kind {
    default,
    on_create: |set| {
        set.status = Some(DaemonSetStatus::default());
        set.metadata.generation = Some(1);
        let generation = template_generation(set).max(1);
        set_template_generation(set, generation);
    },
    on_update,
    validate: |set, errors| errors.at("spec", |errors| validate(&set.spec, errors)),
    validate_update: |new, old, errors| immutable(errors, "spec.selector", &new.spec.selector, &old.spec.selector),
    columns: &[
        name_column(),
        column("Desired", "integer", |set, _| status(set).desired_number_scheduled.into()),
        column("Current", "integer", |set, _| status(set).current_number_scheduled.into()),
        column("Ready", "integer", |set, _| status(set).number_ready.into()),
        column("Up-to-date", "integer", |set, _| status(set).updated_number_scheduled.unwrap_or(0).into()),
        column("Available", "integer", |set, _| status(set).number_available.unwrap_or(0).into()),
        column("Node Selector", "string", |set, _| or_none(&node_selector(set)).into()),
        age_column(),
        wide("Containers", |set, _| template::container_names(Some(&set.spec.template))),
        wide("Images", |set, _| template::images(Some(&set.spec.template))),
        wide("Selector", |set, _| selector_cell(Some(&set.spec.selector))),
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: STATUS_VERBS,
        prepare: |new, old| new.spec = old.spec.clone(),
        validate: |new, old, errors| errors.at("status", |errors| validate_status(&status(new), &status(old), errors)),
    }],
    ..Kind::of(Names {
        group: "apps",
        version: "v1",
        kind: "DaemonSet",
        plural: "daemonsets",
        singular: "daemonset",
        short: &["ds"],
        categories: &["all"],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "daemonsets",
        schema: "io.k8s.api.apps.v1.DaemonSet",
    })
};

fn status(set: &DaemonSet) -> DaemonSetStatus {
    set.status.clone().unwrap_or_default()
}

fn node_selector(set: &DaemonSet) -> String {
    let selector = set.spec.template.spec.as_ref().and_then(|spec| spec.node_selector.clone()).unwrap_or_default();
    selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

fn default(set: &mut DaemonSet) {
    set.metadata.annotations.get_or_insert_default().entry(TEMPLATE_GENERATION.into()).or_insert_with(|| "0".into());
    let spec = &mut set.spec;
    let strategy = spec.update_strategy.get_or_insert_default();
    if strategy.type_.as_deref().unwrap_or_default().is_empty() {
        strategy.type_ = Some("RollingUpdate".into());
    }
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let rolling = strategy.rolling_update.get_or_insert_default();
        rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
        rolling.max_surge.get_or_insert(IntOrString::Int(0));
    }
    spec.revision_history_limit.get_or_insert(10);
    default_pod_template(&mut spec.template);
}

fn on_update(new: &mut DaemonSet, old: &DaemonSet) {
    new.status = old.status.clone();
    let template_changed = new.spec.template != old.spec.template;
    set_template_generation(new, template_generation(old) + i64::from(template_changed));
    new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(new.spec != old.spec));
}

fn template_generation(set: &DaemonSet) -> i64 {
    let annotations = set.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(TEMPLATE_GENERATION)).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_template_generation(set: &mut DaemonSet, generation: i64) {
    set.metadata.annotations.get_or_insert_default().insert(TEMPLATE_GENERATION.into(), generation.to_string());
}

fn validate(spec: &DaemonSetSpec, errors: &mut Errors) {
    template::validate(errors, &spec.selector, &spec.template, "DaemonSet", "daemonset");
    not_negatives(errors, [("minReadySeconds", spec.min_ready_seconds)]);
    errors.at("updateStrategy", |errors| validate_strategy(spec.update_strategy.as_ref(), errors));
    not_negatives(errors, [("revisionHistoryLimit", spec.revision_history_limit)]);
}

fn validate_strategy(strategy: Option<&DaemonSetUpdateStrategy>, errors: &mut Errors) {
    let unset = DaemonSetUpdateStrategy::default();
    let strategy = strategy.unwrap_or(&unset);
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => errors.required("rollingUpdate", ""),
        ("RollingUpdate", Some(rolling)) => errors.at("rollingUpdate", |errors| validate_rolling(rolling, errors)),
        (name, rolling) => errors.unsupported("", Strategy { name, rolling: rolling.as_ref() }, &["RollingUpdate", "OnDelete"]),
    }
}

fn validate_rolling(rolling: &RollingUpdateDaemonSet, errors: &mut Errors) {
    let zero = IntOrString::Int(0);
    let (unavailable, surge) = (rolling.max_unavailable.as_ref().unwrap_or(&zero), rolling.max_surge.as_ref().unwrap_or(&zero));
    int_or_percent(errors, "maxUnavailable", unavailable);
    int_or_percent(errors, "maxSurge", surge);
    at_most_all(errors, "maxUnavailable", unavailable);
    at_most_all(errors, "maxSurge", surge);
    match (amount(unavailable), amount(surge)) {
        (0, 0) => errors.required("maxUnavailable", "cannot be 0 when maxSurge is 0"),
        (0, _) | (_, 0) => {}
        _ => errors.invalid("maxSurge", surge, "may not be set when maxUnavailable is non-zero"),
    }
}

fn validate_status(new: &DaemonSetStatus, old: &DaemonSetStatus, errors: &mut Errors) {
    not_negatives(
        errors,
        [
            ("currentNumberScheduled", Some(new.current_number_scheduled)),
            ("numberMisscheduled", Some(new.number_misscheduled)),
            ("desiredNumberScheduled", Some(new.desired_number_scheduled)),
            ("numberReady", Some(new.number_ready)),
        ],
    );
    not_negative(errors, "observedGeneration", new.observed_generation.unwrap_or(0));
    not_negatives(
        errors,
        [
            ("updatedNumberScheduled", new.updated_number_scheduled),
            ("numberAvailable", new.number_available),
            ("numberUnavailable", new.number_unavailable),
            ("collisionCount", new.collision_count),
        ],
    );
    not_decremented(errors, "collisionCount", new.collision_count, old.collision_count);
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"web","namespace":"x"},"spec":{
    "selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
