//! Namespace: a room for names. It goes only when its controller has emptied it.
use crate::access::{List, Text, fill};
use crate::columns::text;
use crate::core::names::{READ_WRITE, core};
use crate::meta::report;
use k8s_openapi::api::core::v1::{Namespace, NamespaceStatus};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Field, Kind, NameRule, Names, Subresource};
use machinery::table::{age_column, name_column};

const KUBERNETES: &str = "kubernetes";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub static NAMESPACE: Kind<Namespace> = Kind {
    default,
    on_create: |namespace| {
        namespace.status = Some(NamespaceStatus { phase: Some("Active".into()), conditions: None });
        let finalizers = namespace.spec.get_or_insert_default().finalizers.get_or_insert_default();
        if !finalizers.iter().any(|name| name == KUBERNETES) {
            finalizers.push(KUBERNETES.into());
        }
        name_label(namespace);
    },
    on_update: |new, old| {
        new.spec.get_or_insert_default().finalizers = old.spec.as_ref().and_then(|spec| spec.finalizers.clone());
        new.status.clone_from(&old.status);
        name_label(new);
    },
    validate: |namespace, errors| finalizers(namespace, "spec.finalizers", errors),
    columns: &[name_column(), text("Status", |namespace, _| phase(namespace).into()), age_column()],
    fields: &[
        Field { path: "status.phase", value: |namespace| phase(namespace).into() },
        Field { path: "name", value: |namespace| namespace.metadata.name.clone().unwrap_or_default() },
    ],
    subresources: &[
        Subresource {
            name: "finalize",
            verbs: &["update"],
            prepare: |new, old| new.status.clone_from(&old.status),
            validate: |new, _, errors| {
                let names = new.spec.as_ref().map_or(&[][..], |spec| spec.finalizers.list());
                errors.each("spec.finalizers", names, |errors, name| finalizer(name, errors));
            },
        },
        Subresource {
            name: "status",
            verbs: READ_WRITE,
            prepare: |new, old| new.spec.clone_from(&old.spec),
            validate: |new, _, errors| match (new.metadata.deletion_timestamp.is_some(), phase(new)) {
                (false, "Active") | (true, "Terminating") => {}
                (false, phase) => errors.invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty"),
                (true, phase) => errors.invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"),
            },
        },
    ],
    name: NameRule::DnsLabel,
    ..Kind::of(Names {
        short: &["ns"],
        namespaced: false,
        verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
        ..core("Namespace", "namespaces", "namespace", "namespaces", "io.k8s.api.core.v1.Namespace")
    })
};

fn phase(namespace: &Namespace) -> &str {
    namespace.status.as_ref().map_or("", |status| status.phase.text())
}

fn default(namespace: &mut Namespace) {
    name_label(namespace);
    fill(&mut namespace.status.get_or_insert_default().phase, "Active");
    namespace.spec.get_or_insert_default();
}

/// Selectors can name a namespace by this label (KEP-2161).
fn name_label(namespace: &mut Namespace) {
    let name = namespace.metadata.name.clone().unwrap_or_default();
    if !name.is_empty() {
        namespace.metadata.labels.get_or_insert_default().insert(NAME_LABEL.into(), name);
    }
}

fn finalizers(namespace: &Namespace, field: &str, errors: &mut Errors) {
    let names = namespace.spec.as_ref().map_or(&[][..], |spec| spec.finalizers.list());
    errors.at(field, |errors| names.iter().for_each(|name| finalizer(name, errors)));
}

fn finalizer(name: &str, errors: &mut Errors) {
    report(errors, "", name, content::label_key(name));
    if !name.contains('/') && ![KUBERNETES, "orphan", "foregroundDeletion"].contains(&name) {
        errors.invalid("", name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}"#;
