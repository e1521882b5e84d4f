//! Affinity to nodes and to other pods.
use crate::access::List;
use crate::meta::{label_selector, report};
use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::content;
use machinery::errors::Errors;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn check(affinity: Option<&Affinity>, errors: &mut Errors) {
    let Some(affinity) = affinity else { return };
    errors.at("affinity", |errors| {
        if let Some(node) = &affinity.node_affinity {
            errors.at("nodeAffinity", |errors| node_affinity(node, errors));
        }
        if let Some(near) = &affinity.pod_affinity {
            let required = near.required_during_scheduling_ignored_during_execution.list();
            let preferred = near.preferred_during_scheduling_ignored_during_execution.list();
            errors.at("podAffinity", |errors| pod_terms(required, preferred, errors));
        }
        if let Some(far) = &affinity.pod_anti_affinity {
            let required = far.required_during_scheduling_ignored_during_execution.list();
            let preferred = far.preferred_during_scheduling_ignored_during_execution.list();
            errors.at("podAntiAffinity", |errors| pod_terms(required, preferred, errors));
        }
    });
}

fn node_affinity(node: &NodeAffinity, errors: &mut Errors) {
    if let Some(selector) = &node.required_during_scheduling_ignored_during_execution {
        errors.at(REQUIRED, |errors| node_selector(selector, errors));
    }
    errors.each(PREFERRED, node.preferred_during_scheduling_ignored_during_execution.list(), |errors, term| {
        weight(term.weight, errors);
        errors.at("preference", |errors| node_selector_term(&term.preference, false, errors));
    });
}

/// Checks a node selector that stands on the path.
pub fn node_selector(selector: &NodeSelector, errors: &mut Errors) {
    if selector.node_selector_terms.is_empty() {
        return errors.required("nodeSelectorTerms", "must have at least one node selector term");
    }
    errors.each("nodeSelectorTerms", &selector.node_selector_terms, |errors, term| node_selector_term(term, true, errors));
}

/// Checks one term; `values` whether its values must be possible values of labels.
pub fn node_selector_term(term: &NodeSelectorTerm, values: bool, errors: &mut Errors) {
    errors.each("matchExpressions", term.match_expressions.list(), |errors, requirement| node_label(requirement, values, errors));
    errors.each("matchFields", term.match_fields.list(), |errors, requirement| node_field(requirement, errors));
}

fn node_label(requirement: &NodeSelectorRequirement, check_values: bool, errors: &mut Errors) {
    let values = requirement.values.list();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => errors.required("values", "must be specified when `operator` is 'In' or 'NotIn'"),
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.forbidden("values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errors.required("values", "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.invalid("operator", other, "not a valid selector operator"),
    }
    report(errors, "key", &requirement.key, content::label_key(&requirement.key));
    if check_values {
        errors.each("values", values, |errors, value| report(errors, "", value, content::label_value(value)));
    }
}

fn node_field(requirement: &NodeSelectorRequirement, errors: &mut Errors) {
    let values = requirement.values.list();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.len() == 1 => {}
        "In" | "NotIn" => {
            errors.required("values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
        }
        other => errors.invalid("operator", other, "not a valid selector operator"),
    }
    if requirement.key == "metadata.name" {
        errors.each("values", values, |errors, value| report(errors, "", value, content::dns_subdomain(value)));
    } else {
        errors.invalid("key", &requirement.key, "not a valid field selector key");
    }
}

fn weight(weight: i32, errors: &mut Errors) {
    if !(1..=100).contains(&weight) {
        errors.invalid("weight", weight, "must be in the range 1-100");
    }
}

fn pod_terms(required: &[PodAffinityTerm], preferred: &[WeightedPodAffinityTerm], errors: &mut Errors) {
    errors.each(REQUIRED, required, |errors, term| pod_term(term, errors));
    errors.each(PREFERRED, preferred, |errors, weighted| {
        weight(weighted.weight, errors);
        errors.at("podAffinityTerm", |errors| pod_term(&weighted.pod_affinity_term, errors));
    });
}

fn pod_term(term: &PodAffinityTerm, errors: &mut Errors) {
    label_selector(errors, "labelSelector", term.label_selector.as_ref());
    label_selector(errors, "namespaceSelector", term.namespace_selector.as_ref());
    for name in term.namespaces.list() {
        report(errors, "namespace", name, content::dns_label(name));
    }
    label_keys(errors, term.match_label_keys.list(), term.mismatch_label_keys.list(), term.label_selector.as_ref());
    if term.topology_key.is_empty() {
        errors.required("topologyKey", "can not be empty");
    }
    report(errors, "topologyKey", &term.topology_key, content::label_key(&term.topology_key));
}

/// Checks `matchLabelKeys` and `mismatchLabelKeys`, whose selector was extended by them on create.
pub fn label_keys(errors: &mut Errors, wanted: &[String], unwanted: &[String], selector: Option<&LabelSelector>) {
    for (field, keys) in [("matchLabelKeys", wanted), ("mismatchLabelKeys", unwanted)] {
        match selector {
            _ if keys.is_empty() => {}
            None => errors.forbidden(field, "must not be specified when labelSelector is not set"),
            Some(_) => errors.each(field, keys, |errors, key| report(errors, "", key, content::label_key(key))),
        }
    }
    if let Some(selector) = selector {
        let mut seen: Vec<&String> = selector.match_labels.iter().flatten().map(|(key, _)| key).collect();
        for requirement in selector.match_expressions.list() {
            if let Some(index) = wanted.iter().position(|key| *key == requirement.key).filter(|_| seen.contains(&&requirement.key)) {
                errors.invalid(&format!("matchLabelKeys[{index}]"), &requirement.key, "exists in both matchLabelKeys and labelSelector");
            }
            seen.push(&requirement.key);
        }
    }
    errors.each("matchLabelKeys", wanted, |errors, key| {
        if unwanted.contains(key) {
            errors.invalid("", key, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    });
}
