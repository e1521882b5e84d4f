//! HorizontalPodAutoscaler v1: the older form, by CPU alone. Stored as v2, which says the rest.
use crate::check::{OBJECT_VERBS, STATUS_VERBS, column, not_negatives};
use crate::meta::report;
use k8s_openapi::api::autoscaling::v1::{HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names, Subresource};
use machinery::meta::GroupVersion;
use machinery::table::{age_column, name_column};

const DEFAULT_CPU_PERCENT: i32 = 80;
/// Metrics that v1 has no fields for stand there.
const METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";

pub static HORIZONTALPODAUTOSCALER: Kind<HorizontalPodAutoscaler> = Kind {
    default: |scaler| {
        let spec = &mut scaler.spec;
        spec.min_replicas.get_or_insert(1);
        let more = scaler.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(METRICS_ANNOTATION));
        if !more {
            spec.target_cpu_utilization_percentage.get_or_insert(DEFAULT_CPU_PERCENT);
        }
    },
    on_create: |scaler| {
        scaler.status = Some(HorizontalPodAutoscalerStatus::default());
        scaler.metadata.generation = Some(1);
    },
    on_update: |new, old| {
        new.status = old.status.clone();
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(new.spec != old.spec));
    },
    validate: |scaler, errors| errors.at("spec", |errors| validate(&scaler.spec, errors)),
    columns: &[
        name_column(),
        column("Reference", "string", |scaler, _| {
            let target = &scaler.spec.scale_target_ref;
            format!("{}/{}", target.kind, target.name).into()
        }),
        column("Targets", "string", |scaler, _| targets(scaler).into()),
        column("MinPods", "string", |scaler, _| {
            scaler.spec.min_replicas.map_or_else(|| "<unset>".into(), |count| count.to_string()).into()
        }),
        column("MaxPods", "string", |scaler, _| scaler.spec.max_replicas.into()),
        column("Replicas", "string", |scaler, _| status(scaler).current_replicas.into()),
        age_column(),
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: STATUS_VERBS,
        prepare: |new, old| new.spec = old.spec.clone(),
        validate: |new, _, errors| {
            let status = status(new);
            let counts = [("currentReplicas", Some(status.current_replicas)), ("desiredReplicas", Some(status.desired_replicas))];
            errors.at("status", |errors| not_negatives(errors, counts));
        },
    }],
    ..Kind::of(Names {
        group: "autoscaling",
        version: "v1",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short: &["hpa"],
        categories: &["all"],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "horizontalpodautoscalers",
        schema: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    })
};

fn status(scaler: &HorizontalPodAutoscaler) -> HorizontalPodAutoscalerStatus {
    scaler.status.clone().unwrap_or_default()
}

fn targets(scaler: &HorizontalPodAutoscaler) -> String {
    let Some(target) = scaler.spec.target_cpu_utilization_percentage else { return "<none>".into() };
    let current = status(scaler).current_cpu_utilization_percentage;
    format!("cpu: {}/{target}%", current.map_or_else(|| "<unknown>".into(), |current| format!("{current}%")))
}

fn validate(spec: &HorizontalPodAutoscalerSpec, errors: &mut Errors) {
    not_negatives(errors, [("minReplicas", spec.min_replicas)]);
    match spec.max_replicas {
        0 => errors.required("maxReplicas", ""),
        max if max < 0 => errors.invalid("maxReplicas", max, "must be greater than or equal to 1"),
        _ => {}
    }
    if spec.min_replicas.is_some_and(|min| spec.max_replicas < min) {
        errors.invalid("maxReplicas", spec.max_replicas, "must be greater than or equal to `minReplicas`");
    }
    let target = &spec.scale_target_ref;
    for (field, value) in [("scaleTargetRef.kind", &target.kind), ("scaleTargetRef.name", &target.name)] {
        match value.as_str() {
            "" => errors.required(field, ""),
            value => report(errors, field, value, content::path_segment(value)),
        }
    }
    let version = target.api_version.as_deref().unwrap_or_default();
    if GroupVersion::parse(version).group.is_empty() && target.kind != "ReplicationController" {
        errors.invalid("scaleTargetRef.apiVersion", version, "apiVersion must specify API group");
    }
    if spec.target_cpu_utilization_percentage.is_some_and(|percent| percent < 1) {
        errors.invalid("metrics[0].resource.target.averageUtilization", spec.target_cpu_utilization_percentage, "must be greater than 0");
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"web","namespace":"x"},"spec":{
    "maxReplicas":5,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}}"#;
