//! The group coordination.k8s.io: its kinds with code of their own.
pub mod lease;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&lease::LEASE];

#[cfg(test)]
pub static MINIMAL: &[&str] = &[lease::MINIMAL];

#[cfg(test)]
mod tests {
    use super::lease::{LEASE, MINIMAL};
    use crate::check::{cells, created, problems};
    use expect_test::expect;
    use serde_json::{Value, json};

    #[test]
    fn a_lease_is_checked_and_printed() {
        let mut object: Value = serde_json::from_str(MINIMAL).expect("test data is JSON");
        assert_eq!(problems(&LEASE, object.clone()), "");
        assert_eq!(cells(&LEASE, object.clone()), json!(["node", "me", "<unknown>"]));
        object["spec"] = json!({"leaseDurationSeconds": 0, "leaseTransitions": -1, "preferredHolder": "you"});
        expect![[r#"
            spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0
            spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0
            spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined
        "#]]
        .assert_eq(&problems(&LEASE, object.clone()));
        assert_eq!(created(&LEASE, object)["spec"], json!({"leaseDurationSeconds": 0, "leaseTransitions": -1}));
    }
}
