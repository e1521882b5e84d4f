//! RoleBinding and ClusterRoleBinding: who may do what a role says. The role of a binding never changes.
use crate::check::{OBJECT_VERBS, column, wide};
use crate::meta::{IMMUTABLE, report};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef, Subject};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Kind, NameRule, Names};
use machinery::table::{age_column, name_column};
use serde::Serialize;
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

pub static ROLEBINDING: Kind<RoleBinding> = Kind {
    default: |binding| default(&mut binding.role_ref, binding.subjects.as_mut()),
    validate: |binding, errors| validate(&binding.role_ref, binding.subjects.as_ref(), &["Role", "ClusterRole"], errors),
    validate_update: |new, old, errors| same_role(&new.role_ref, &old.role_ref, errors),
    columns: &[
        name_column(),
        column("Role", "string", |binding, _| role(&binding.role_ref)),
        age_column(),
        wide("Users", |binding, _| named(binding.subjects.as_ref(), "User")),
        wide("Groups", |binding, _| named(binding.subjects.as_ref(), "Group")),
        wide("ServiceAccounts", |binding, _| named(binding.subjects.as_ref(), "ServiceAccount")),
    ],
    create_on_update: true,
    name: NameRule::PathSegment,
    ..Kind::of(Names {
        group: GROUP,
        version: "v1",
        kind: "RoleBinding",
        plural: "rolebindings",
        singular: "rolebinding",
        short: &[],
        categories: &[],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "rolebindings",
        schema: "io.k8s.api.rbac.v1.RoleBinding",
    })
};

pub static CLUSTERROLEBINDING: Kind<ClusterRoleBinding> = Kind {
    default: |binding| default(&mut binding.role_ref, binding.subjects.as_mut()),
    validate: |binding, errors| validate(&binding.role_ref, binding.subjects.as_ref(), &["ClusterRole"], errors),
    validate_update: |new, old, errors| same_role(&new.role_ref, &old.role_ref, errors),
    columns: &[
        name_column(),
        column("Role", "string", |binding, _| role(&binding.role_ref)),
        age_column(),
        wide("Users", |binding, _| named(binding.subjects.as_ref(), "User")),
        wide("Groups", |binding, _| named(binding.subjects.as_ref(), "Group")),
        wide("ServiceAccounts", |binding, _| named(binding.subjects.as_ref(), "ServiceAccount")),
    ],
    create_on_update: true,
    name: NameRule::PathSegment,
    ..Kind::of(Names {
        group: GROUP,
        version: "v1",
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        short: &[],
        categories: &[],
        namespaced: false,
        verbs: OBJECT_VERBS,
        storage: "clusterrolebindings",
        schema: "io.k8s.api.rbac.v1.ClusterRoleBinding",
    })
};

/// A role as the original shows it in messages.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    #[serde(rename = "APIGroup")]
    group: &'a str,
    kind: &'a str,
    name: &'a str,
}

fn same_role(new: &RoleRef, old: &RoleRef, errors: &mut Errors) {
    if new != old {
        let shown = Shown { group: new.api_group.as_deref().unwrap_or_default(), kind: &new.kind, name: &new.name };
        errors.invalid("roleRef", shown, IMMUTABLE);
    }
}

fn default(role: &mut RoleRef, subjects: Option<&mut Vec<Subject>>) {
    let unset = |group: &Option<String>| group.as_deref().unwrap_or_default().is_empty();
    if unset(&role.api_group) {
        role.api_group = Some(GROUP.into());
    }
    for subject in subjects.into_iter().flatten().filter(|subject| ["User", "Group"].contains(&subject.kind.as_str())) {
        if unset(&subject.api_group) {
            subject.api_group = Some(GROUP.into());
        }
    }
}

fn validate(role: &RoleRef, subjects: Option<&Vec<Subject>>, roles: &[&str], errors: &mut Errors) {
    errors.at("roleRef", |errors| {
        let group = role.api_group.as_deref().unwrap_or_default();
        if group != GROUP {
            errors.not_supported("apiGroup", group, &[GROUP]);
        }
        if !roles.contains(&role.kind.as_str()) {
            errors.not_supported("kind", &role.kind, roles);
        }
        match role.name.as_str() {
            "" => errors.required("name", ""),
            name => report(errors, "name", name, content::path_segment(name)),
        }
    });
    let namespaced = roles.len() > 1;
    errors.each("subjects", subjects.into_iter().flatten(), |errors, subject| validate_subject(subject, namespaced, errors));
}

fn validate_subject(subject: &Subject, namespaced: bool, errors: &mut Errors) {
    let group = subject.api_group.as_deref().unwrap_or_default();
    if subject.name.is_empty() {
        errors.required("name", "");
    }
    match subject.kind.as_str() {
        "ServiceAccount" => {
            if !subject.name.is_empty() {
                report(errors, "name", &subject.name, content::dns_subdomain(&subject.name));
            }
            if !group.is_empty() {
                errors.not_supported("apiGroup", group, &[""]);
            }
            if !namespaced && subject.namespace.as_deref().unwrap_or_default().is_empty() {
                errors.required("namespace", "");
            }
        }
        "User" | "Group" if group != GROUP => errors.not_supported("apiGroup", group, &[GROUP]),
        "User" | "Group" => {}
        other => errors.not_supported("kind", other, &["ServiceAccount", "User", "Group"]),
    }
}

fn role(role: &RoleRef) -> Value {
    format!("{}/{}", role.kind, role.name).into()
}

fn named(subjects: Option<&Vec<Subject>>, kind: &str) -> Value {
    let shown = |subject: &Subject| match kind {
        "ServiceAccount" => format!("{}/{}", subject.namespace.as_deref().unwrap_or_default(), subject.name),
        _ => subject.name.clone(),
    };
    let names = subjects.into_iter().flatten().filter(|subject| subject.kind == kind).map(shown);
    names.collect::<Vec<_>>().join(", ").into()
}

#[cfg(test)]
pub const ROLEBINDING_MINIMAL: &str = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"readers","namespace":"x"},
    "roleRef":{"kind":"Role","name":"reader"},"subjects":[{"kind":"User","name":"ann"},{"kind":"ServiceAccount","name":"sa","namespace":"y"}]}"#;

#[cfg(test)]
pub const CLUSTERROLEBINDING_MINIMAL: &str = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"readers"},
    "roleRef":{"kind":"ClusterRole","name":"reader"},"subjects":[{"kind":"Group","name":"devs"}]}"#;
