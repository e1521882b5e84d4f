//! PodTemplate: a pod to be copied.
use crate::access::{Entries, same};
use crate::columns::{container_images, container_names, text};
use crate::core::names::core;
use crate::core::pod::{default_pod_template, template_warnings, validate_pod_template};
use k8s_openapi::api::core::v1::PodTemplate;
use machinery::errors::Errors;
use machinery::kind::Kind;
use machinery::table::{name_column, or_none};

pub static POD_TEMPLATE: Kind<PodTemplate> = Kind {
    default: |object| default_pod_template(object.template.get_or_insert_default()),
    on_create: |object| object.metadata.generation = Some(1),
    on_update: |new, old| {
        let generation = old.metadata.generation.unwrap_or(0);
        new.metadata.generation = Some(generation + i64::from(!same(&new.template, &old.template)));
    },
    validate,
    warnings: |object| object.template.iter().flat_map(|template| template_warnings("template", template)).collect(),
    columns: &[
        name_column(),
        text("Containers", |object, _| container_names(object.template.as_ref())),
        text("Images", |object, _| container_images(object.template.as_ref())),
        text("Pod Labels", |object, _| {
            let meta = object.template.as_ref().and_then(|template| template.metadata.as_ref());
            let pairs = meta.into_iter().flat_map(|meta| meta.labels.entries());
            or_none(&pairs.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")).into()
        }),
    ],
    ..Kind::of(core("PodTemplate", "podtemplates", "podtemplate", "podtemplates", "io.k8s.api.core.v1.PodTemplate"))
};

fn validate(object: &PodTemplate, errors: &mut Errors) {
    if let Some(template) = &object.template {
        errors.at("template", |errors| validate_pod_template(template, errors));
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"PodTemplate","metadata":{"name":"a","namespace":"x"},"template":{
    "spec":{"containers":[{"name":"c","image":"i"}]}}}"#;
