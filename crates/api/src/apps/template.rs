//! What kinds with a pod template share: the selector that must match it, its restart policy, its columns.
use crate::core::pod::validate_pod_template;
use crate::meta;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::errors::Errors;
use machinery::selector::Selector;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A strategy as the original shows it in messages.
#[derive(Serialize)]
pub struct Strategy<'a, T> {
    #[serde(rename = "Type")]
    pub name: &'a str,
    #[serde(rename = "RollingUpdate")]
    pub rolling: Option<&'a T>,
}

/// Checks `selector` and `template` of a spec whose pods run forever. `kind` is the one that messages name.
pub fn validate(errors: &mut Errors, selector: &LabelSelector, template: &PodTemplateSpec, kind: &str, selector_kind: &str) {
    check_selector(errors, selector, selector_kind);
    match Selector::from_api(Some(selector)) {
        Err(_) => errors.invalid("selector", selector, "invalid label selector"),
        Ok(parsed) => {
            let unset = *selector == LabelSelector::default();
            let labels = labels(template);
            if unset || !parsed.matches_labels(labels) {
                errors.invalid("template.metadata.labels", labels, "`selector` does not match template `labels`");
            }
        }
    }
    errors.at("template", |errors| validate_pod_template(template, errors));
    check_spec(errors, template, kind);
}

fn check_selector(errors: &mut Errors, selector: &LabelSelector, kind: &str) {
    if *selector == LabelSelector::default() {
        return errors.required("selector", "");
    }
    meta::label_selector(errors, "selector", Some(selector));
    let empty = |size: Option<usize>| size.unwrap_or(0) == 0;
    if empty(selector.match_labels.as_ref().map(BTreeMap::len)) && empty(selector.match_expressions.as_ref().map(Vec::len)) {
        errors.invalid("selector", selector, &format!("empty selector is invalid for {kind}"));
    }
}

fn check_spec(errors: &mut Errors, template: &PodTemplateSpec, kind: &str) {
    let Some(spec) = &template.spec else { return };
    let policy = spec.restart_policy.as_deref().unwrap_or_default();
    if policy != "Always" {
        errors.not_supported("template.spec.restartPolicy", policy, &["Always"]);
    }
    if spec.active_deadline_seconds.is_some() {
        errors.forbidden("template.spec.activeDeadlineSeconds", &format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

pub fn labels(template: &PodTemplateSpec) -> Option<&BTreeMap<String, String>> {
    template.metadata.as_ref().and_then(|meta| meta.labels.as_ref())
}

/// The names of a template's containers, with commas.
pub fn container_names(template: Option<&PodTemplateSpec>) -> Value {
    let containers = template.and_then(|template| template.spec.as_ref()).map_or(&[][..], |spec| &spec.containers);
    containers.iter().map(|container| container.name.as_str()).collect::<Vec<_>>().join(",").into()
}

/// The images of a template's containers, with commas.
pub fn images(template: Option<&PodTemplateSpec>) -> Value {
    let containers = template.and_then(|template| template.spec.as_ref()).map_or(&[][..], |spec| &spec.containers);
    containers.iter().map(|container| container.image.as_deref().unwrap_or_default()).collect::<Vec<_>>().join(",").into()
}
