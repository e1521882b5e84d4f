//! The group policy: its kinds with code of their own.
pub mod poddisruptionbudget;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&poddisruptionbudget::PODDISRUPTIONBUDGET];

#[cfg(test)]
pub static MINIMAL: &[&str] = &[poddisruptionbudget::MINIMAL];

#[cfg(test)]
mod tests {
    use super::poddisruptionbudget::{MINIMAL, PODDISRUPTIONBUDGET};
    use crate::check::{cells, problems};
    use expect_test::expect;
    use serde_json::{Value, json};

    #[test]
    fn a_budget_is_checked_and_printed() {
        let mut object: Value = serde_json::from_str(MINIMAL).expect("test data is JSON");
        assert_eq!(problems(&PODDISRUPTIONBUDGET, object.clone()), "");
        assert_eq!(cells(&PODDISRUPTIONBUDGET, object.clone()), json!(["web", "1", "N/A", 0, "<unknown>"]));
        object["spec"] = json!({"minAvailable": "x", "maxUnavailable": "101%", "unhealthyPodEvictionPolicy": "Never"});
        expect![[r#"
            spec: Invalid value: {"MinAvailable":"x","Selector":null,"MaxUnavailable":"101%","UnhealthyPodEvictionPolicy":"Never"}: minAvailable and maxUnavailable cannot be both set
            spec.minAvailable: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')
            spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%
            spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", "IfHealthyBudget"
        "#]]
        .assert_eq(&problems(&PODDISRUPTIONBUDGET, object));
    }
}
