//! The group events.k8s.io: its kinds with code of their own.
pub mod event;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&event::EVENT];

#[cfg(test)]
pub static MINIMAL: &[&str] = &[event::MINIMAL];

#[cfg(test)]
mod tests {
    use super::event::{EVENT, MINIMAL};
    use crate::check::{cells, problems, update_problems};
    use expect_test::expect;
    use serde_json::{Value, json};

    fn event(change: impl FnOnce(&mut Value)) -> Value {
        let mut object = serde_json::from_str(MINIMAL).expect("test data is JSON");
        change(&mut object);
        object
    }

    #[test]
    fn an_event_is_checked_and_printed() {
        assert_eq!(problems(&EVENT, event(|_| {})), "");
        assert_eq!(
            cells(&EVENT, event(|event| event["series"] = json!({"count": 3, "lastObservedTime": "2026-01-01T00:59:00.000000Z"}))),
            json!(["60s", "Normal", "Started", "pod/p", "", "example.com/c, c-1", "hello", "60m", 3, "e"])
        );
        expect![[r#"
            involvedObject.namespace: Invalid value: "y": does not match event.namespace
            eventTime: Required value
            series.count: Invalid value: "": should be at least 2
            type: Invalid value: "": has invalid value: Odd
            count: Invalid value: "": needs to be unset
        "#]]
        .assert_eq(&problems(
            &EVENT,
            event(|event| {
                event["eventTime"] = Value::Null;
                event["type"] = "Odd".into();
                event["deprecatedCount"] = 1.into();
                event["regarding"]["namespace"] = "y".into();
                event["series"] = json!({"count": 1, "lastObservedTime": "2026-01-01T00:59:00.000000Z"});
            }),
        ));
        expect![[r#"
            message: Invalid value: "other": field is immutable
        "#]]
        .assert_eq(&update_problems(&EVENT, "", event(|_| {}), event(|event| event["note"] = "other".into())));
    }
}
