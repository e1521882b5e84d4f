//! What the scheduler reads: gates, tolerations, spreading.
use super::affinity::label_keys;
use crate::access::{List, Text};
use crate::meta::{label_selector, report};
use k8s_openapi::api::core::v1::{PodSpec, Toleration, TopologySpreadConstraint};
use machinery::content;
use machinery::errors::Errors;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const NOT_POSITIVE: &str = "must be greater than zero";

pub fn check(spec: &PodSpec, errors: &mut Errors) {
    errors.each("readinessGates", spec.readiness_gates.list(), |errors, gate| {
        report(errors, "conditionType", &gate.condition_type, content::label_key(&gate.condition_type));
    });
    let mut seen: Vec<&str> = Vec::new();
    errors.each("schedulingGates", spec.scheduling_gates.list(), |errors, gate| {
        report(errors, "", &gate.name, content::label_key(&gate.name));
        if seen.contains(&gate.name.as_str()) {
            errors.duplicate("", &gate.name);
        }
        seen.push(&gate.name);
    });
    spread(spec.topology_spread_constraints.list(), errors);
}

pub fn tolerations(tolerations: &[Toleration], errors: &mut Errors) {
    errors.each("tolerations", tolerations, |errors, toleration| {
        let (key, operator, value) = (toleration.key.text(), toleration.operator.text(), toleration.value.text());
        let effect = toleration.effect.text();
        if !key.is_empty() {
            report(errors, "key", key, content::label_key(key));
        } else if operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid("operator", operator, why);
        }
        if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
            errors.invalid("effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator {
            "" | "Equal" => {
                let problems = content::label_value(value);
                if !problems.is_empty() {
                    errors.invalid("operator", value, &problems.join(";"));
                }
            }
            "Exists" if !value.is_empty() => errors.invalid("operator", value, "value must be empty when `operator` is 'Exists'"),
            "Exists" => {}
            "Lt" | "Gt" => errors.not_supported("operator", operator, &["Equal", "Exists", "Lt", "Gt"]),
            other => errors.not_supported("operator", other, &["Equal", "Exists"]),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            errors.not_supported("effect", effect, EFFECTS);
        }
    });
}

fn spread(constraints: &[TopologySpreadConstraint], errors: &mut Errors) {
    for (index, constraint) in constraints.iter().enumerate() {
        errors.at(&format!("topologySpreadConstraints[{index}]"), |errors| {
            let action = constraint.when_unsatisfiable.as_str();
            if constraint.max_skew <= 0 {
                errors.invalid("maxSkew", constraint.max_skew, NOT_POSITIVE);
            }
            if constraint.topology_key.is_empty() {
                errors.required("topologyKey", "can not be empty");
            }
            if !["DoNotSchedule", "ScheduleAnyway"].contains(&action) {
                errors.not_supported("whenUnsatisfiable", action, &["DoNotSchedule", "ScheduleAnyway"]);
            }
            let again = |other: &TopologySpreadConstraint| {
                other.topology_key == constraint.topology_key && other.when_unsatisfiable == constraint.when_unsatisfiable
            };
            if constraints[index + 1..].iter().any(again) {
                errors.duplicate("{topologyKey, whenUnsatisfiable}", format!("{{{}, {action}}}", constraint.topology_key));
            }
            details(constraint, errors);
        });
    }
}

fn details(constraint: &TopologySpreadConstraint, errors: &mut Errors) {
    let action = constraint.when_unsatisfiable.as_str();
    if let Some(domains) = constraint.min_domains {
        if domains <= 0 {
            errors.invalid("minDomains", domains, NOT_POSITIVE);
        }
        if action != "DoNotSchedule" {
            let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
            errors.invalid("minDomains", domains, &why);
        }
    }
    for (field, policy) in [("nodeAffinityPolicy", &constraint.node_affinity_policy), ("nodeTaintsPolicy", &constraint.node_taints_policy)]
    {
        if let Some(policy) = policy.as_deref().filter(|policy| !["Honor", "Ignore"].contains(policy)) {
            errors.not_supported(field, policy, &["Honor", "Ignore"]);
        }
    }
    label_keys(errors, constraint.match_label_keys.list(), &[], constraint.label_selector.as_ref());
    label_selector(errors, "labelSelector", constraint.label_selector.as_ref());
}
