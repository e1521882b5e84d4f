//! What the server fills in where a pod leaves a field out.
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};

/// Defaults of a pod template, in every kind that has one.
pub fn default_pod_template(template: &mut PodTemplateSpec) {
    if let Some(spec) = &mut template.spec {
        default_pod_spec(spec);
    }
}

/// Defaults shared by pods and templates.
pub fn default_pod_spec(_spec: &mut PodSpec) {}
