//! ReplicationController: a number of pods of one template; what ReplicaSet was before.
use crate::access::{Entries, Text, same};
use crate::columns::{container_images, container_names, integer, labels, wide};
use crate::core::names::{READ_WRITE, core};
use crate::core::pod::{default_pod_template, template_warnings, validate_pod_template};
use crate::meta::not_negative;
use k8s_openapi::api::core::v1::{PodTemplateSpec, ReplicationController, ReplicationControllerSpec, ReplicationControllerStatus};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Field, Kind, Names, Scale, Subresource};
use machinery::table::{age_column, name_column};
use std::collections::BTreeMap;

pub static REPLICATION_CONTROLLER: Kind<ReplicationController> = Kind {
    default,
    on_create: |controller| {
        controller.status = Some(ReplicationControllerStatus::default());
        controller.metadata.generation = Some(1);
    },
    on_update: |new, old| {
        new.status.clone_from(&old.status);
        let generation = old.metadata.generation.unwrap_or(0);
        new.metadata.generation = Some(generation + i64::from(!same(&new.spec, &old.spec)));
    },
    validate,
    warnings: |controller| {
        let problems = content::dns_label(controller.metadata.name.text());
        let mut all = Vec::new();
        if !problems.is_empty() {
            all.push(format!(
                "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
                problems.join(" ")
            ));
        }
        all.extend(template(controller).into_iter().flat_map(|template| template_warnings("spec.template", template)));
        all
    },
    columns: &[
        name_column(),
        integer("Desired", |controller, _| replicas(controller).into()),
        integer("Current", |controller, _| status(controller, |status| status.replicas).into()),
        integer("Ready", |controller, _| status(controller, |status| status.ready_replicas.unwrap_or(0)).into()),
        age_column(),
        wide("Containers", |controller, _| container_names(template(controller))),
        wide("Images", |controller, _| container_images(template(controller))),
        wide("Selector", |controller, _| controller.spec.as_ref().map_or("<none>".into(), |spec| labels(&spec.selector)).into()),
    ],
    fields: &[Field { path: "status.replicas", value: |controller| status(controller, |status| status.replicas).to_string() }],
    subresources: &[Subresource {
        name: "status",
        verbs: READ_WRITE,
        prepare: |new, old| {
            new.spec.clone_from(&old.spec);
            new.metadata.generation = old.metadata.generation;
        },
        validate: |new, _, errors| validate_status(new, errors),
    }],
    scale: Some(Scale {
        replicas,
        set_replicas: |controller, replicas| controller.spec.get_or_insert_default().replicas = Some(replicas),
        status_replicas: |controller| status(controller, |status| status.replicas),
        selector: |controller| {
            let pairs = controller.spec.iter().flat_map(|spec| spec.selector.entries());
            pairs.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
        },
    }),
    ..Kind::of(Names {
        short: &["rc"],
        categories: &["all"],
        ..core(
            "ReplicationController",
            "replicationcontrollers",
            "replicationcontroller",
            "controllers",
            "io.k8s.api.core.v1.ReplicationController",
        )
    })
};

fn replicas(controller: &ReplicationController) -> i32 {
    controller.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0)
}

fn status(controller: &ReplicationController, of: fn(&ReplicationControllerStatus) -> i32) -> i32 {
    controller.status.as_ref().map_or(0, of)
}

fn template(controller: &ReplicationController) -> Option<&PodTemplateSpec> {
    controller.spec.as_ref().and_then(|spec| spec.template.as_ref())
}

fn default(controller: &mut ReplicationController) {
    let spec = controller.spec.get_or_insert_default();
    spec.replicas.get_or_insert(1);
    let Some(template) = &mut spec.template else { return };
    default_pod_template(template);
    let Some(labels) = template.metadata.as_ref().and_then(|meta| meta.labels.clone()) else { return };
    let empty = |map: &Option<BTreeMap<String, String>>| map.as_ref().is_none_or(BTreeMap::is_empty);
    if empty(&spec.selector) {
        spec.selector = Some(labels.clone());
    }
    if empty(&controller.metadata.labels) {
        controller.metadata.labels = Some(labels);
    }
}

fn validate(controller: &ReplicationController, errors: &mut Errors) {
    let none = ReplicationControllerSpec::default();
    let spec = controller.spec.as_ref().unwrap_or(&none);
    errors.at("spec", |errors| {
        not_negative(errors, "minReadySeconds", spec.min_ready_seconds.unwrap_or(0));
        if spec.selector.entries().next().is_none() {
            errors.required("selector", "");
        }
        match spec.replicas {
            None => errors.required("replicas", ""),
            Some(replicas) => not_negative(errors, "replicas", replicas),
        }
        match &spec.template {
            None => errors.required("template", ""),
            Some(template) => errors.at("template", |errors| of_template(spec, template, errors)),
        }
    });
}

fn of_template(spec: &ReplicationControllerSpec, template: &PodTemplateSpec, errors: &mut Errors) {
    let labels = template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
    let selected = spec.selector.entries().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value));
    if !selected {
        errors.invalid("metadata.labels", labels, "`selector` does not match template `labels`");
    }
    validate_pod_template(template, errors);
    let Some(pod) = &template.spec else { return };
    if pod.restart_policy.text() != "Always" {
        errors.not_supported("spec.restartPolicy", pod.restart_policy.text(), &["Always"]);
    }
    if pod.active_deadline_seconds.is_some() {
        errors.forbidden("spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicationController is not Supported");
    }
}

fn validate_status(controller: &ReplicationController, errors: &mut Errors) {
    const MORE: &str = "cannot be greater than status.replicas";
    let Some(status) = &controller.status else { return };
    let count = |value: Option<i32>| value.unwrap_or(0);
    let (labeled, ready, available) =
        (count(status.fully_labeled_replicas), count(status.ready_replicas), count(status.available_replicas));
    errors.at("status", |errors| {
        for (field, value) in
            [("replicas", status.replicas), ("fullyLabeledReplicas", labeled), ("readyReplicas", ready), ("availableReplicas", available)]
        {
            not_negative(errors, field, value);
        }
        not_negative(errors, "observedGeneration", status.observed_generation.unwrap_or(0));
        for (field, value) in [("fullyLabeledReplicas", labeled), ("readyReplicas", ready), ("availableReplicas", available)] {
            if value > status.replicas {
                errors.invalid(field, value, MORE);
            }
        }
        if available > ready {
            errors.invalid("availableReplicas", available, "cannot be greater than readyReplicas");
        }
    });
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"ReplicationController","metadata":{"name":"a","namespace":"x"},"spec":{
    "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
