//! The group scheduling.k8s.io: its kinds with code of their own.
pub mod priorityclass;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&priorityclass::PRIORITYCLASS];

#[cfg(test)]
pub static MINIMAL: &[&str] = &[priorityclass::MINIMAL];

#[cfg(test)]
mod tests {
    use super::priorityclass::{MINIMAL, PRIORITYCLASS};
    use crate::check::{cells, problems, update_problems};
    use expect_test::expect;
    use serde_json::{Value, json};

    fn class(name: &str, value: i32) -> Value {
        let mut object: Value = serde_json::from_str(MINIMAL).expect("test data is JSON");
        object["metadata"]["name"] = name.into();
        object["value"] = value.into();
        object
    }

    #[test]
    fn a_class_is_checked_and_printed() {
        assert_eq!(problems(&PRIORITYCLASS, class("high", 1)), "");
        assert_eq!(problems(&PRIORITYCLASS, class("system-node-critical", 2_000_001_000)), "");
        assert_eq!(cells(&PRIORITYCLASS, class("high", 1)), json!(["high", 1, false, "<unknown>", "PreemptLowerPriority"]));
        expect![[r#"
            value: Forbidden: maximum allowed value of a user defined priority is 1000000000
        "#]]
        .assert_eq(&problems(&PRIORITYCLASS, class("high", 1_000_000_001)));
        expect![[r#"
            metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class
        "#]]
        .assert_eq(&problems(&PRIORITYCLASS, class("system-mine", 1)));
        expect![[r#"
            value: Forbidden: may not be changed in an update.
        "#]]
        .assert_eq(&update_problems(&PRIORITYCLASS, "", class("high", 1), class("high", 2)));
    }
}
