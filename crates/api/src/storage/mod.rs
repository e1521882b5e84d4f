//! The group storage.k8s.io: its kinds with code of their own.
pub mod storageclass;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&storageclass::STORAGECLASS];

#[cfg(test)]
pub static MINIMAL: &[&str] = &[storageclass::MINIMAL];

#[cfg(test)]
mod tests {
    use super::storageclass::{MINIMAL, STORAGECLASS};
    use crate::check::{cells, problems, update_problems};
    use expect_test::expect;
    use serde_json::{Value, json};

    #[test]
    fn a_class_is_checked_and_printed() {
        let object: Value = serde_json::from_str(MINIMAL).expect("test data is JSON");
        assert_eq!(problems(&STORAGECLASS, object.clone()), "");
        let mut default = object.clone();
        default["metadata"]["annotations"] = json!({"storageclass.kubernetes.io/is-default-class": "true"});
        assert_eq!(cells(&STORAGECLASS, default), json!(["fast (default)", "example.com/disk", "Delete", "Immediate", false, "<unknown>"]));
        let mut wrong = object.clone();
        wrong["provisioner"] = "".into();
        wrong["reclaimPolicy"] = "Recycle".into();
        wrong["volumeBindingMode"] = "Later".into();
        wrong["allowedTopologies"] =
            json!([{"matchLabelExpressions": [{"key": "zone", "values": ["a", "a"]}, {"key": "zone", "values": []}]}]);
        expect![[r#"
            provisioner: Required value
            reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"
            volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"
            allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"
            allowedTopologies[0].matchLabelExpressions[1].values: Required value
            allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "zone"
        "#]]
        .assert_eq(&problems(&STORAGECLASS, wrong));
        let mut changed = object.clone();
        changed["reclaimPolicy"] = "Retain".into();
        expect![[r#"
            reclaimPolicy: Invalid value: "Retain": field is immutable
        "#]]
        .assert_eq(&update_problems(&STORAGECLASS, "", object, changed));
    }
}
