//! IngressClass: which controller serves an ingress.
use crate::check::{OBJECT_VERBS, column, domain_prefixed_path};
use crate::meta::{immutable, report};
use k8s_openapi::api::networking::v1::{IngressClass, IngressClassParametersReference, IngressClassSpec};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Column, Kind, Names};
use machinery::table::age_column;

const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";
const MAX_CONTROLLER_BYTES: usize = 250;

pub static INGRESSCLASS: Kind<IngressClass> = Kind {
    default: |class| {
        if let Some(parameters) = class.spec.as_mut().and_then(|spec| spec.parameters.as_mut()) {
            parameters.scope.get_or_insert_with(|| "Cluster".into());
        }
    },
    on_create: |class| class.metadata.generation = Some(1),
    on_update: |new, old| {
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(new.spec != old.spec));
    },
    validate: |class, errors| errors.at("spec", |errors| validate(&spec(class), errors)),
    validate_update: |new, old, errors| immutable(errors, "spec.controller", &spec(new).controller, &spec(old).controller),
    columns: &[
        Column { name: "Name", kind: "string", format: "name", priority: 0, cell: |class, _| shown_name(class).into() },
        column("Controller", "string", |class, _| spec(class).controller.unwrap_or_default().into()),
        column("Parameters", "string", |class, _| parameters(class).into()),
        age_column(),
    ],
    ..Kind::of(Names {
        group: "networking.k8s.io",
        version: "v1",
        kind: "IngressClass",
        plural: "ingressclasses",
        singular: "ingressclass",
        short: &[],
        categories: &[],
        namespaced: false,
        verbs: OBJECT_VERBS,
        storage: "ingressclasses",
        schema: "io.k8s.api.networking.v1.IngressClass",
    })
};

fn spec(class: &IngressClass) -> IngressClassSpec {
    class.spec.clone().unwrap_or_default()
}

fn shown_name(class: &IngressClass) -> String {
    let name = class.metadata.name.clone().unwrap_or_default();
    let default = class.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEFAULT_CLASS));
    if default.is_some_and(|value| value == "true") { format!("{name} (default)") } else { name }
}

fn parameters(class: &IngressClass) -> String {
    let Some(parameters) = spec(class).parameters else { return "<none>".into() };
    let group = parameters.api_group.map(|group| format!(".{group}")).unwrap_or_default();
    format!("{}{group}/{}", parameters.kind, parameters.name)
}

fn validate(spec: &IngressClassSpec, errors: &mut Errors) {
    let controller = spec.controller.as_deref().unwrap_or_default();
    if controller.len() > MAX_CONTROLLER_BYTES {
        errors.too_long("controller", MAX_CONTROLLER_BYTES);
    }
    domain_prefixed_path(errors, "controller", controller);
    if let Some(parameters) = &spec.parameters {
        errors.at("parameters", |errors| validate_parameters(parameters, errors));
    }
}

fn validate_parameters(parameters: &IngressClassParametersReference, errors: &mut Errors) {
    if let Some(group) = &parameters.api_group {
        report(errors, "apiGroup", group, content::dns_subdomain(group));
    }
    for (field, value) in [("kind", &parameters.kind), ("name", &parameters.name)] {
        match value.as_str() {
            "" => errors.required(field, ""),
            value => report(errors, field, value, content::path_segment(value)),
        }
    }
    match (parameters.scope.as_deref(), &parameters.namespace) {
        (None, _) => errors.required("scope", ""),
        (Some("Namespace"), None) => errors.required("namespace", "`parameters.scope` is set to 'Namespace'"),
        (Some("Namespace"), Some(namespace)) => report(errors, "namespace", namespace, content::dns_label(namespace)),
        (Some("Cluster"), Some(_)) => errors.forbidden("namespace", "`parameters.scope` is set to 'Cluster'"),
        (Some("Cluster"), None) => {}
        (Some(other), _) => errors.not_supported("scope", other, &["Cluster", "Namespace"]),
    }
}

#[cfg(test)]
pub const MINIMAL: &str =
    r#"{"apiVersion":"networking.k8s.io/v1","kind":"IngressClass","metadata":{"name":"web"},"spec":{"controller":"example.com/web"}}"#;
