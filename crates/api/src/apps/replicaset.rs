//! ReplicaSet: a number of pods of one template.
use super::template;
use crate::check::{OBJECT_VERBS, STATUS_VERBS, at_most, column, name_warning, not_negatives, selector_cell, selector_text, wide};
use crate::core::pod::default_pod_template;
use crate::meta::{immutable, not_negative};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use machinery::errors::Errors;
use machinery::kind::{Field, Kind, Names, Scale, Subresource};
use machinery::table::{age_column, name_column};

pub static REPLICASET: Kind<ReplicaSet> = Kind {
    default: |set| {
        let spec = &mut set.spec;
        spec.replicas.get_or_insert(1);
        if let Some(template) = &mut spec.template {
            default_pod_template(template);
        }
    },
    on_create: |set| {
        set.status = Some(ReplicaSetStatus::default());
        set.metadata.generation = Some(1);
    },
    on_update: |new, old| {
        new.status = old.status.clone();
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(new.spec != old.spec));
    },
    validate: |set, errors| errors.at("spec", |errors| validate(&set.spec, errors)),
    validate_update: |new, old, errors| immutable(errors, "spec.selector", &new.spec.selector, &old.spec.selector),
    warnings: |set| name_warning(set.metadata.name.as_deref()).into_iter().collect(),
    columns: &[
        name_column(),
        column("Desired", "integer", |set, _| set.spec.replicas.unwrap_or(0).into()),
        column("Current", "integer", |set, _| status(set).replicas.into()),
        column("Ready", "integer", |set, _| status(set).ready_replicas.unwrap_or(0).into()),
        age_column(),
        wide("Containers", |set, _| template::container_names(template_of(set))),
        wide("Images", |set, _| template::images(template_of(set))),
        wide("Selector", |set, _| selector_cell(Some(&set.spec.selector))),
    ],
    fields: &[Field { path: "status.replicas", value: |set| status(set).replicas.to_string() }],
    subresources: &[Subresource {
        name: "status",
        verbs: STATUS_VERBS,
        prepare: |new, old| new.spec = old.spec.clone(),
        validate: |new, _, errors| errors.at("status", |errors| validate_status(&status(new), errors)),
    }],
    scale: Some(Scale {
        replicas: |set| set.spec.replicas.unwrap_or(0),
        set_replicas: |set, replicas| set.spec.replicas = Some(replicas),
        status_replicas: |set| status(set).replicas,
        selector: |set| selector_text(&set.spec.selector),
    }),
    ..Kind::of(Names {
        group: "apps",
        version: "v1",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short: &["rs"],
        categories: &["all"],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "replicasets",
        schema: "io.k8s.api.apps.v1.ReplicaSet",
    })
};

fn status(set: &ReplicaSet) -> ReplicaSetStatus {
    set.status.clone().unwrap_or_default()
}

fn template_of(set: &ReplicaSet) -> Option<&PodTemplateSpec> {
    set.spec.template.as_ref()
}

fn validate(spec: &ReplicaSetSpec, errors: &mut Errors) {
    not_negatives(errors, [("replicas", spec.replicas), ("minReadySeconds", spec.min_ready_seconds)]);
    let template = spec.template.clone().unwrap_or_default();
    template::validate(errors, &spec.selector, &template, "ReplicaSet", "deployment");
}

fn validate_status(status: &ReplicaSetStatus, errors: &mut Errors) {
    not_negatives(
        errors,
        [
            ("replicas", Some(status.replicas)),
            ("fullyLabeledReplicas", status.fully_labeled_replicas),
            ("readyReplicas", status.ready_replicas),
            ("availableReplicas", status.available_replicas),
        ],
    );
    not_negative(errors, "observedGeneration", status.observed_generation.unwrap_or(0));
    not_negatives(errors, [("terminatingReplicas", status.terminating_replicas)]);
    let (all, why) = (Some(status.replicas), "cannot be greater than status.replicas");
    at_most(errors, "fullyLabeledReplicas", status.fully_labeled_replicas, all, why);
    at_most(errors, "readyReplicas", status.ready_replicas, all, why);
    at_most(errors, "availableReplicas", status.available_replicas, all, why);
    at_most(errors, "availableReplicas", status.available_replicas, status.ready_replicas, "cannot be greater than readyReplicas");
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web","namespace":"x"},"spec":{
    "selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
