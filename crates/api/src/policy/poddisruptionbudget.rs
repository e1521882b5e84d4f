//! PodDisruptionBudget: how many of the selected pods may be away at once by someone's will.
use crate::check::{OBJECT_VERBS, STATUS_VERBS, at_most_all, column, int_or_percent, not_negatives};
use crate::meta::{conditions, label_selector};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names, Subresource};
use machinery::table::{age_column, name_column};
use serde::Serialize;
use serde_json::Value;

pub static PODDISRUPTIONBUDGET: Kind<PodDisruptionBudget> = Kind {
    on_create: |budget| {
        let none = Some(0);
        let status =
            PodDisruptionBudgetStatus { disruptions_allowed: none, current_healthy: none, desired_healthy: none, ..Default::default() };
        budget.status = Some(PodDisruptionBudgetStatus { expected_pods: none, ..status });
        budget.metadata.generation = Some(1);
    },
    on_update: |new, old| {
        new.status = old.status.clone();
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(new.spec != old.spec));
    },
    validate: |budget, errors| errors.at("spec", |errors| validate(&spec(budget), errors)),
    columns: &[
        name_column(),
        column("Min Available", "string", |budget, _| shown(spec(budget).min_available)),
        column("Max Unavailable", "string", |budget, _| shown(spec(budget).max_unavailable)),
        column("Allowed Disruptions", "integer", |budget, _| status(budget).disruptions_allowed.unwrap_or(0).into()),
        age_column(),
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: STATUS_VERBS,
        prepare: |new, old| new.spec = old.spec.clone(),
        validate: |new, _, errors| errors.at("status", |errors| validate_status(&status(new), errors)),
    }],
    unconditional_update: false,
    ..Kind::of(Names {
        group: "policy",
        version: "v1",
        kind: "PodDisruptionBudget",
        plural: "poddisruptionbudgets",
        singular: "poddisruptionbudget",
        short: &["pdb"],
        categories: &[],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "poddisruptionbudgets",
        schema: "io.k8s.api.policy.v1.PodDisruptionBudget",
    })
};

fn spec(budget: &PodDisruptionBudget) -> PodDisruptionBudgetSpec {
    budget.spec.clone().unwrap_or_default()
}

fn status(budget: &PodDisruptionBudget) -> PodDisruptionBudgetStatus {
    budget.status.clone().unwrap_or_default()
}

fn shown(amount: Option<IntOrString>) -> Value {
    match amount {
        None => "N/A".into(),
        Some(IntOrString::Int(number)) => number.to_string().into(),
        Some(IntOrString::String(text)) => text.into(),
    }
}

/// A spec as the original shows it in messages.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    min_available: &'a Option<IntOrString>,
    selector: &'a Option<LabelSelector>,
    max_unavailable: &'a Option<IntOrString>,
    unhealthy_pod_eviction_policy: &'a Option<String>,
}

impl Shown<'_> {
    fn of(spec: &PodDisruptionBudgetSpec) -> Shown<'_> {
        Shown {
            min_available: &spec.min_available,
            selector: &spec.selector,
            max_unavailable: &spec.max_unavailable,
            unhealthy_pod_eviction_policy: &spec.unhealthy_pod_eviction_policy,
        }
    }
}

fn validate(spec: &PodDisruptionBudgetSpec, errors: &mut Errors) {
    if spec.min_available.is_some() && spec.max_unavailable.is_some() {
        errors.invalid("", Shown::of(spec), "minAvailable and maxUnavailable cannot be both set");
    }
    for (field, amount) in [("minAvailable", &spec.min_available), ("maxUnavailable", &spec.max_unavailable)] {
        if let Some(amount) = amount {
            int_or_percent(errors, field, amount);
            at_most_all(errors, field, amount);
        }
    }
    label_selector(errors, "selector", spec.selector.as_ref());
    match spec.unhealthy_pod_eviction_policy.as_deref() {
        None | Some("AlwaysAllow" | "IfHealthyBudget") => {}
        Some(other) => errors.not_supported("unhealthyPodEvictionPolicy", other, &["AlwaysAllow", "IfHealthyBudget"]),
    }
}

fn validate_status(status: &PodDisruptionBudgetStatus, errors: &mut Errors) {
    conditions(errors, "conditions", status.conditions.as_ref());
    not_negatives(
        errors,
        [
            ("disruptionsAllowed", status.disruptions_allowed),
            ("currentHealthy", status.current_healthy),
            ("desiredHealthy", status.desired_healthy),
            ("expectedPods", status.expected_pods),
        ],
    );
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"web","namespace":"x"},"spec":{
    "minAvailable":1,"selector":{"matchLabels":{"app":"web"}}}}"#;
