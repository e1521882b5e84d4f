//! The group rbac.authorization.k8s.io: its kinds with code of their own.
pub mod bindings;
pub mod rules;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&bindings::CLUSTERROLEBINDING, &rules::CLUSTERROLE, &bindings::ROLEBINDING, &rules::ROLE];

#[cfg(test)]
pub static MINIMAL: &[&str] =
    &[bindings::CLUSTERROLEBINDING_MINIMAL, rules::CLUSTERROLE_MINIMAL, bindings::ROLEBINDING_MINIMAL, rules::ROLE_MINIMAL];

#[cfg(test)]
mod tests {
    use super::bindings::{CLUSTERROLEBINDING, CLUSTERROLEBINDING_MINIMAL, ROLEBINDING, ROLEBINDING_MINIMAL};
    use super::rules::{CLUSTERROLE, CLUSTERROLE_MINIMAL, ROLE, ROLE_MINIMAL};
    use crate::check::{cells, problems, update_problems};
    use expect_test::expect;
    use serde_json::{Value, json};

    fn with(text: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut object = serde_json::from_str(text).expect("test data is JSON");
        change(&mut object);
        object
    }

    #[test]
    fn roles_are_checked() {
        assert_eq!(problems(&ROLE, with(ROLE_MINIMAL, |_| {})), "");
        assert_eq!(problems(&CLUSTERROLE, with(CLUSTERROLE_MINIMAL, |_| {})), "");
        expect![[r#"
            rules[0].verbs: Required value
            rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs
            rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs
            rules[1].apiGroups: Required value: resource rules must supply at least one api group
            rules[1].resources: Required value: resource rules must supply at least one resource
        "#]]
        .assert_eq(&problems(
            &ROLE,
            with(ROLE_MINIMAL, |role| {
                role["rules"] = json!([{"verbs": [], "nonResourceURLs": ["/x"], "apiGroups": [""]}, {"verbs": ["get"]}])
            }),
        ));
        expect![[r#"
            aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil
        "#]]
        .assert_eq(&problems(&CLUSTERROLE, with(CLUSTERROLE_MINIMAL, |role| role["aggregationRule"] = json!({}))));
    }

    #[test]
    fn bindings_are_checked_and_printed() {
        assert_eq!(problems(&ROLEBINDING, with(ROLEBINDING_MINIMAL, |_| {})), "");
        assert_eq!(
            cells(&ROLEBINDING, with(ROLEBINDING_MINIMAL, |_| {})),
            json!(["readers", "Role/reader", "<unknown>", "ann", "", "y/sa"])
        );
        expect![[r#"
            roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"
            roleRef.name: Required value
            subjects[0].namespace: Required value
            subjects[1].apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"
            subjects[2].kind: Unsupported value: "Cat": supported values: "ServiceAccount", "User", "Group"
        "#]]
        .assert_eq(&problems(
            &CLUSTERROLEBINDING,
            with(CLUSTERROLEBINDING_MINIMAL, |binding| {
                binding["roleRef"] = json!({"kind": "Role", "name": ""});
                binding["subjects"] = json!([{"kind": "ServiceAccount", "name": "a"}, {"kind": "User", "name": "a", "apiGroup": "x"}, {"kind": "Cat", "name": "a"}]);
            }),
        ));
        let old = with(ROLEBINDING_MINIMAL, |_| {});
        let new = with(ROLEBINDING_MINIMAL, |binding| binding["roleRef"]["name"] = "writer".into());
        expect![[r#"
            roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"writer"}: field is immutable
        "#]]
        .assert_eq(&update_problems(&ROLEBINDING, "", old, new));
    }
}
