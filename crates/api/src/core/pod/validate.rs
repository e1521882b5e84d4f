//! Checks of a pod's spec, alike in pods and templates.
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::errors::Errors;

/// Checks a template; the caller has put its field on the path (`errors.at("template", …)`).
pub fn validate_pod_template(template: &PodTemplateSpec, errors: &mut Errors) {
    if let Some(spec) = &template.spec {
        errors.at("spec", |errors| validate_pod_spec(spec, template.metadata.as_ref(), errors));
    }
}

/// Checks a spec; the caller has put its field on the path. `meta` is the pod's, or the template's.
pub fn validate_pod_spec(_spec: &PodSpec, _meta: Option<&ObjectMeta>, _errors: &mut Errors) {}
