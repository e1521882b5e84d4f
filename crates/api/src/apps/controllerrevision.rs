//! ControllerRevision: what a controller's template was at some time. Never changes but in its number and metadata.
use crate::check::{OBJECT_VERBS, column};
use crate::meta::{immutable, not_negative};
use k8s_openapi::api::apps::v1::ControllerRevision;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names};
use machinery::meta::GroupVersion;
use machinery::table::{age_column, name_column};
use serde_json::Value;

pub static CONTROLLERREVISION: Kind<ControllerRevision> = Kind {
    validate,
    validate_update: |new, old, errors| immutable(errors, "data", &new.data, &old.data),
    columns: &[
        name_column(),
        column("Controller", "string", |revision, _| controller(revision).into()),
        column("Revision", "string", |revision, _| revision.revision.unwrap_or(0).into()),
        age_column(),
    ],
    ..Kind::of(Names {
        group: "apps",
        version: "v1",
        kind: "ControllerRevision",
        plural: "controllerrevisions",
        singular: "controllerrevision",
        short: &[],
        categories: &[],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "controllerrevisions",
        schema: "io.k8s.api.apps.v1.ControllerRevision",
    })
};

fn validate(revision: &ControllerRevision, errors: &mut Errors) {
    not_negative(errors, "revision", revision.revision.unwrap_or(0));
    match &revision.data.0 {
        Value::Null => errors.required("data", "data is mandatory"),
        Value::Object(_) => {}
        _ => errors.required("data", "data must be a valid JSON object"),
    }
}

/// `deployment.apps/web`.
fn controller(revision: &ControllerRevision) -> String {
    let mut owners = revision.metadata.owner_references.iter().flatten();
    let Some(owner) = owners.find(|owner| owner.controller == Some(true)) else { return "<none>".into() };
    let kind = machinery::status::qualified(&GroupVersion::parse(&owner.api_version).group, &owner.kind);
    format!("{}/{}", kind.to_lowercase(), owner.name)
}

#[cfg(test)]
pub const MINIMAL: &str =
    r#"{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"web-1","namespace":"x"},"revision":1,"data":{"spec":{}}}"#;
