use super::*;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn told(errors: Errors) -> String {
    errors.causes().iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
}

fn meta(value: Value) -> ObjectMeta {
    serde_json::from_value(value).unwrap()
}

fn new(value: Value, expected: Expect) {
    let mut errors = Errors::default();
    validate(&meta(value), true, NameRule::DnsSubdomain, &mut errors);
    expected.assert_eq(&told(errors));
}

fn changed(new: Value, old: Value, expected: Expect) {
    let mut errors = Errors::default();
    validate_update(&meta(new), &meta(old), true, &mut errors);
    expected.assert_eq(&told(errors));
}

#[test]
fn good_metadata_passes() {
    new(json!({"name": "a.b", "generateName": "a.b-", "namespace": "x", "labels": {"a/b": ""}, "annotations": {"A/B": "ü"}}), expect![""]);
}

#[test]
fn tells_every_mistake() {
    new(
        json!({"name": "A", "labels": {"a b": "c d"}, "finalizers": ["orphan", "foregroundDeletion"],
            "ownerReferences": [{"apiVersion": "a/b/c", "kind": "", "name": "x", "uid": "u", "controller": true},
                {"apiVersion": "v1", "kind": "Event", "name": "x", "uid": "u", "controller": true}],
            "managedFields": [{"operation": "Set", "manager": "a\nb"}]}),
        expect![[r#"
            metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            metadata.namespace: Required value
            metadata.labels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            metadata.labels: Invalid value: "c d": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            metadata.ownerReferences[0].apiVersion: Invalid value: "a/b/c": must be <group>/<version> or <version>
            metadata.ownerReferences[0].kind: Required value: must not be empty
            metadata.ownerReferences[1]: Invalid value: {"apiVersion":"v1","controller":true,"kind":"Event","name":"x","uid":"u"}: /v1, Kind=Event is disallowed from being an owner
            metadata.ownerReferences: Invalid value: [{"apiVersion":"a/b/c","controller":true,"kind":"","name":"x","uid":"u"},{"apiVersion":"v1","controller":true,"kind":"Event","name":"x","uid":"u"}]: Only one reference can have Controller set to true. Found "true" in references for /x and Event/x
            metadata.managedFields[0].operation: Unsupported value: "Set": supported values: "Apply", "Update"
            metadata.managedFields[0].manager: Invalid value: "a\nb": invalid character U+000A (at position 1)
            metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion cannot be both set
        "#]],
    );
}

#[test]
fn updates_keep_what_is_fixed() {
    changed(
        json!({"name": "b", "namespace": "x", "uid": "2", "finalizers": ["a/b"], "generation": 1}),
        json!({"name": "a", "namespace": "x", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z", "generation": 2}),
        expect![[r#"
            metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a/b"}
            metadata.resourceVersion: Invalid value: "": must be specified for an update
            metadata.generation: Invalid value: 1: must not be decremented
            metadata.name: Invalid value: "b": field is immutable
            metadata.uid: Invalid value: "2": field is immutable
            metadata.deletionTimestamp: Invalid value: null: field is immutable
        "#]],
    );
    let mut new = meta(json!({"name": "a"}));
    inherit(&mut new, &meta(json!({"name": "a", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"})));
    assert_eq!(new.uid.as_deref(), Some("1"));
    assert!(new.creation_timestamp.is_some());
}
