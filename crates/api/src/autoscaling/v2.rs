//! HorizontalPodAutoscaler v2: how many pods something shall have, by what is measured.
use super::metrics;
use crate::check::{OBJECT_VERBS, STATUS_VERBS, column, not_negatives};
use crate::meta::{not_negative, report};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec,
    HorizontalPodAutoscalerStatus, MetricSpec, MetricTarget, ResourceMetricSource,
};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names, Subresource};
use machinery::meta::GroupVersion;
use machinery::quantity::Quantity;
use machinery::table::{age_column, name_column};

const DEFAULT_CPU_PERCENT: i32 = 80;
const MAX_PERIOD_SECONDS: i32 = 1800;
const MAX_STABILIZATION_SECONDS: i32 = 3600;

pub static HORIZONTALPODAUTOSCALER: Kind<HorizontalPodAutoscaler> = Kind {
    default,
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
        column("Targets", "string", |scaler, _| {
            metrics::shown(
                scaler.spec.metrics.as_deref().unwrap_or_default(),
                status(scaler).current_metrics.as_deref().unwrap_or_default(),
            )
            .into()
        }),
        column("MinPods", "string", |scaler, _| {
            scaler.spec.min_replicas.map_or_else(|| "<unset>".into(), |count| count.to_string()).into()
        }),
        column("MaxPods", "string", |scaler, _| scaler.spec.max_replicas.into()),
        column("Replicas", "string", |scaler, _| status(scaler).current_replicas.unwrap_or(0).into()),
        age_column(),
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: STATUS_VERBS,
        prepare: |new, old| new.spec = old.spec.clone(),
        validate: |new, _, errors| errors.at("status", |errors| validate_status(&status(new), errors)),
    }],
    ..Kind::of(Names {
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short: &["hpa"],
        categories: &["all"],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "horizontalpodautoscalers",
        schema: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    })
};

fn status(scaler: &HorizontalPodAutoscaler) -> HorizontalPodAutoscalerStatus {
    scaler.status.clone().unwrap_or_default()
}

fn default(scaler: &mut HorizontalPodAutoscaler) {
    let spec = &mut scaler.spec;
    spec.min_replicas.get_or_insert(1);
    if spec.metrics.as_ref().is_none_or(Vec::is_empty) {
        let target =
            MetricTarget { type_: "Utilization".into(), average_utilization: Some(DEFAULT_CPU_PERCENT), ..MetricTarget::default() };
        let resource = Some(ResourceMetricSource { name: "cpu".into(), target });
        spec.metrics = Some(vec![MetricSpec { type_: "Resource".into(), resource, ..MetricSpec::default() }]);
    }
    if let Some(behavior) = &mut spec.behavior {
        let up = [policy("Pods", 4), policy("Percent", 100)];
        default_rules(behavior.scale_up.get_or_insert_default(), &up, Some(0));
        default_rules(behavior.scale_down.get_or_insert_default(), &[policy("Percent", 100)], None);
    }
}

fn policy(type_: &str, value: i32) -> HPAScalingPolicy {
    HPAScalingPolicy { type_: type_.into(), value, period_seconds: 15 }
}

fn default_rules(rules: &mut HPAScalingRules, policies: &[HPAScalingPolicy], stabilization_seconds: Option<i32>) {
    rules.policies.get_or_insert_with(|| policies.to_vec());
    rules.select_policy.get_or_insert_with(|| "Max".into());
    rules.stabilization_window_seconds = rules.stabilization_window_seconds.or(stabilization_seconds);
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
    errors.at("scaleTargetRef", |errors| validate_target(&spec.scale_target_ref, errors));
    let all = spec.metrics.as_deref().unwrap_or_default();
    errors.each("metrics", all, |errors, metric| metrics::validate(metric, errors));
    if spec.min_replicas == Some(0) && !all.iter().any(|metric| metric.type_ == "Object" || metric.type_ == "External") {
        errors.forbidden("metrics", "must specify at least one Object or External metric to support scaling to zero replicas");
    }
    if let Some(behavior) = &spec.behavior {
        for (field, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
            if let Some(rules) = rules {
                errors.at(&format!("behavior.{field}"), |errors| validate_rules(rules, errors));
            }
        }
    }
}

fn validate_target(target: &CrossVersionObjectReference, errors: &mut Errors) {
    validate_reference(target, errors);
    let version = target.api_version.as_deref().unwrap_or_default();
    // the original lets the core group pass for the one kind of it that can be scaled
    if GroupVersion::parse(version).group.is_empty() && target.kind != "ReplicationController" {
        errors.invalid("apiVersion", version, "apiVersion must specify API group");
    }
}

/// Kind and name of an object somewhere.
pub(super) fn validate_reference(reference: &CrossVersionObjectReference, errors: &mut Errors) {
    for (field, value) in [("kind", &reference.kind), ("name", &reference.name)] {
        match value.as_str() {
            "" => errors.required(field, ""),
            value => report(errors, field, value, content::path_segment(value)),
        }
    }
}

fn validate_rules(rules: &HPAScalingRules, errors: &mut Errors) {
    match rules.stabilization_window_seconds {
        Some(seconds) if seconds < 0 => errors.invalid("stabilizationWindowSeconds", seconds, "must be greater than or equal to zero"),
        Some(seconds) if seconds > MAX_STABILIZATION_SECONDS => {
            errors.invalid("stabilizationWindowSeconds", seconds, &format!("must be less than or equal to {MAX_STABILIZATION_SECONDS}"));
        }
        _ => {}
    }
    match rules.select_policy.as_deref() {
        None | Some("Max" | "Min" | "Disabled") => {}
        Some(other) => errors.not_supported("selectPolicy", other, &["Disabled", "Max", "Min"]),
    }
    let policies = rules.policies.as_deref().unwrap_or_default();
    if policies.is_empty() {
        errors.required("policies", "must specify at least one Policy");
    }
    errors.each("policies", policies, |errors, policy| validate_policy(policy, errors));
    if let Some(tolerance) = &rules.tolerance
        && Quantity::parse(&tolerance.0).is_ok_and(|amount| amount.sign() < 0)
    {
        errors.invalid("tolerance", tolerance, "must be greater than or equal to 0");
    }
}

fn validate_policy(policy: &HPAScalingPolicy, errors: &mut Errors) {
    if policy.type_ != "Pods" && policy.type_ != "Percent" {
        errors.not_supported("type", &policy.type_, &["Percent", "Pods"]);
    }
    if policy.value <= 0 {
        errors.invalid("value", policy.value, "must be greater than zero");
    }
    if policy.period_seconds <= 0 {
        errors.invalid("periodSeconds", policy.period_seconds, "must be greater than zero");
    }
    if policy.period_seconds > MAX_PERIOD_SECONDS {
        errors.invalid("periodSeconds", policy.period_seconds, &format!("must be less than or equal to {MAX_PERIOD_SECONDS}"));
    }
}

fn validate_status(status: &HorizontalPodAutoscalerStatus, errors: &mut Errors) {
    errors.each("conditions", status.conditions.iter().flatten(), |errors, condition| {
        not_negative(errors, "observedGeneration", condition.observed_generation.unwrap_or(0));
    });
    not_negatives(errors, [("currentReplicas", status.current_replicas), ("desiredReplicas", Some(status.desired_replicas))]);
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"web","namespace":"x"},"spec":{
    "maxReplicas":5,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}}"#;
