//! Deployment: pods of a template that are replaced step by step when the template changes.
use super::template::{self, Strategy};
use crate::check::{
    OBJECT_VERBS, STATUS_VERBS, amount, at_most, at_most_all, column, int_or_percent, name_warning, not_decremented, not_negatives,
    selector_text, wide,
};
use crate::core::pod::default_pod_template;
use crate::meta::{immutable, not_negative};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names, Scale, Subresource};
use machinery::table::{age_column, name_column};

pub static DEPLOYMENT: Kind<Deployment> = Kind {
    default,
    on_create: |deployment| {
        deployment.status = Some(DeploymentStatus::default());
        deployment.metadata.generation = Some(1);
    },
    on_update,
    validate: |deployment, errors| errors.at("spec", |errors| validate(&deployment.spec, errors)),
    validate_update: |new, old, errors| immutable(errors, "spec.selector", &new.spec.selector, &old.spec.selector),
    warnings: |deployment| name_warning(deployment.metadata.name.as_deref()).into_iter().collect(),
    columns: &[
        name_column(),
        column("Ready", "string", |deployment, _| {
            format!("{}/{}", status(deployment).ready_replicas.unwrap_or(0), deployment.spec.replicas.unwrap_or(0)).into()
        }),
        column("Up-to-date", "string", |deployment, _| status(deployment).updated_replicas.unwrap_or(0).into()),
        column("Available", "string", |deployment, _| status(deployment).available_replicas.unwrap_or(0).into()),
        age_column(),
        wide("Containers", |deployment, _| template::container_names(Some(&deployment.spec.template))),
        wide("Images", |deployment, _| template::images(Some(&deployment.spec.template))),
        wide("Selector", |deployment, _| selector_text(&deployment.spec.selector).into()),
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: STATUS_VERBS,
        prepare: |new, old| {
            new.spec = old.spec.clone();
            new.metadata.labels = old.metadata.labels.clone();
        },
        validate: |new, old, errors| errors.at("status", |errors| validate_status(&status(new), &status(old), errors)),
    }],
    scale: Some(Scale {
        replicas: |deployment| deployment.spec.replicas.unwrap_or(0),
        set_replicas: |deployment, replicas| deployment.spec.replicas = Some(replicas),
        status_replicas: |deployment| status(deployment).replicas.unwrap_or(0),
        selector: |deployment| selector_text(&deployment.spec.selector),
    }),
    ..Kind::of(Names {
        group: "apps",
        version: "v1",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short: &["deploy"],
        categories: &["all"],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "deployments",
        schema: "io.k8s.api.apps.v1.Deployment",
    })
};

fn status(deployment: &Deployment) -> DeploymentStatus {
    deployment.status.clone().unwrap_or_default()
}

fn default(deployment: &mut Deployment) {
    let spec = &mut deployment.spec;
    spec.replicas.get_or_insert(1);
    let strategy = spec.strategy.get_or_insert_default();
    if strategy.type_.as_deref().unwrap_or_default().is_empty() {
        strategy.type_ = Some("RollingUpdate".into());
    }
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let rolling = strategy.rolling_update.get_or_insert_default();
        rolling.max_unavailable.get_or_insert_with(|| IntOrString::String("25%".into()));
        rolling.max_surge.get_or_insert_with(|| IntOrString::String("25%".into()));
    }
    spec.revision_history_limit.get_or_insert(10);
    spec.progress_deadline_seconds.get_or_insert(600);
    default_pod_template(&mut spec.template);
}

fn on_update(new: &mut Deployment, old: &Deployment) {
    new.status = old.status.clone();
    let changed = new.spec != old.spec || new.metadata.annotations != old.metadata.annotations;
    new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(changed));
}

fn validate(spec: &DeploymentSpec, errors: &mut Errors) {
    not_negatives(errors, [("replicas", spec.replicas)]);
    template::validate(errors, &spec.selector, &spec.template, "ReplicaSet", "deployment");
    errors.at("strategy", |errors| validate_strategy(spec.strategy.as_ref(), errors));
    not_negatives(errors, [("minReadySeconds", spec.min_ready_seconds), ("revisionHistoryLimit", spec.revision_history_limit)]);
    if let Some(deadline) = spec.progress_deadline_seconds {
        not_negative(errors, "progressDeadlineSeconds", deadline);
        if deadline <= spec.min_ready_seconds.unwrap_or(0) {
            errors.invalid("progressDeadlineSeconds", deadline, "must be greater than minReadySeconds");
        }
    }
}

fn validate_strategy(strategy: Option<&DeploymentStrategy>, errors: &mut Errors) {
    let unset = DeploymentStrategy::default();
    let strategy = strategy.unwrap_or(&unset);
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("Recreate", Some(_)) => errors.forbidden("rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"),
        ("Recreate", None) => {}
        ("RollingUpdate", None) => errors.required("rollingUpdate", "this should be defaulted and never be nil"),
        ("RollingUpdate", Some(rolling)) => errors.at("rollingUpdate", |errors| validate_rolling(rolling, errors)),
        (name, rolling) => errors.unsupported("", Strategy { name, rolling: rolling.as_ref() }, &["Recreate", "RollingUpdate"]),
    }
}

fn validate_rolling(rolling: &RollingUpdateDeployment, errors: &mut Errors) {
    let zero = IntOrString::Int(0);
    let (unavailable, surge) = (rolling.max_unavailable.as_ref().unwrap_or(&zero), rolling.max_surge.as_ref().unwrap_or(&zero));
    int_or_percent(errors, "maxUnavailable", unavailable);
    int_or_percent(errors, "maxSurge", surge);
    if amount(unavailable) == 0 && amount(surge) == 0 {
        errors.invalid("maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0");
    }
    at_most_all(errors, "maxUnavailable", unavailable);
}

fn validate_status(new: &DeploymentStatus, old: &DeploymentStatus, errors: &mut Errors) {
    not_negative(errors, "observedGeneration", new.observed_generation.unwrap_or(0));
    not_negatives(
        errors,
        [
            ("replicas", new.replicas),
            ("updatedReplicas", new.updated_replicas),
            ("readyReplicas", new.ready_replicas),
            ("availableReplicas", new.available_replicas),
            ("unavailableReplicas", new.unavailable_replicas),
            ("terminatingReplicas", new.terminating_replicas),
            ("collisionCount", new.collision_count),
        ],
    );
    let why = "cannot be greater than status.replicas";
    at_most(errors, "updatedReplicas", new.updated_replicas, new.replicas, why);
    at_most(errors, "readyReplicas", new.ready_replicas, new.replicas, why);
    at_most(errors, "availableReplicas", new.available_replicas, new.replicas, why);
    at_most(errors, "availableReplicas", new.available_replicas, new.ready_replicas, "cannot be greater than readyReplicas");
    not_decremented(errors, "collisionCount", new.collision_count, old.collision_count);
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"x"},"spec":{
    "selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
