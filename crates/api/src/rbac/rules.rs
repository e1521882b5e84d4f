//! Role and ClusterRole: what may be done. Who may, bindings say; aggregation is a controller's.
use crate::check::OBJECT_VERBS;
use crate::meta::label_selector;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use machinery::errors::Errors;
use machinery::kind::{Kind, NameRule, Names};

pub static ROLE: Kind<Role> = Kind {
    validate: |role, errors| errors.each("rules", role.rules.iter().flatten(), |errors, rule| validate_rule(rule, true, errors)),
    create_on_update: true,
    name: NameRule::PathSegment,
    ..Kind::of(Names {
        group: "rbac.authorization.k8s.io",
        version: "v1",
        kind: "Role",
        plural: "roles",
        singular: "role",
        short: &[],
        categories: &[],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "roles",
        schema: "io.k8s.api.rbac.v1.Role",
    })
};

pub static CLUSTERROLE: Kind<ClusterRole> = Kind {
    validate: validate_cluster_role,
    create_on_update: true,
    name: NameRule::PathSegment,
    ..Kind::of(Names {
        group: "rbac.authorization.k8s.io",
        version: "v1",
        kind: "ClusterRole",
        plural: "clusterroles",
        singular: "clusterrole",
        short: &[],
        categories: &[],
        namespaced: false,
        verbs: OBJECT_VERBS,
        storage: "clusterroles",
        schema: "io.k8s.api.rbac.v1.ClusterRole",
    })
};

fn validate_cluster_role(role: &ClusterRole, errors: &mut Errors) {
    errors.each("rules", role.rules.iter().flatten(), |errors, rule| validate_rule(rule, false, errors));
    let Some(aggregation) = &role.aggregation_rule else { return };
    let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
    if selectors.is_empty() {
        let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.required("aggregationRule.clusterRoleSelectors", why);
    }
    errors.each("aggregationRule.clusterRoleSelectors", selectors, |errors, selector| label_selector(errors, "", Some(selector)));
}

fn validate_rule(rule: &PolicyRule, namespaced: bool, errors: &mut Errors) {
    let empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    if rule.verbs.is_empty() {
        errors.required("verbs", "");
    }
    if !empty(&rule.non_resource_urls) {
        let urls = &rule.non_resource_urls;
        if namespaced {
            errors.invalid("nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if !empty(&rule.api_groups) || !empty(&rule.resources) || !empty(&rule.resource_names) {
            errors.invalid("nonResourceURLs", urls, "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if empty(&rule.api_groups) {
        errors.required("apiGroups", "resource rules must supply at least one api group");
    }
    if empty(&rule.resources) {
        errors.required("resources", "resource rules must supply at least one resource");
    }
}

#[cfg(test)]
pub const ROLE_MINIMAL: &str = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"reader","namespace":"x"},
    "rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}"#;

#[cfg(test)]
pub const CLUSTERROLE_MINIMAL: &str = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"system:reader"},
    "rules":[{"nonResourceURLs":["/healthz"],"verbs":["get"]}]}"#;
