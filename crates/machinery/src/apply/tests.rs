use super::*;
use crate::schema::lookup;
use expect_test::{Expect, expect};
use serde_json::json;

fn write<'a>(manager: &'a str, second: u8) -> Write<'a> {
    Write {
        schema: lookup("io.k8s.api.apps.v1.Deployment"),
        api_version: "apps/v1",
        kind: "Deployment",
        subresource: "",
        manager,
        now: format!("2026-01-01T00:00:{second:02}.5Z").parse().expect("a time"),
        reset: &[&["status"]],
    }
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "x"}, "spec": spec})
}

fn container(name: &str, image: &str) -> Value {
    json!({"name": name, "image": image})
}

fn pods(containers: Value) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}})
}

/// The object as written by a plain create.
fn created(manager: &str, mut object: Value) -> Value {
    let managed = track_update(&write(manager, 1), None, &mut object);
    set_managed(&mut object, managed);
    object
}

fn updated(manager: &str, second: u8, live: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut new = live.clone();
    change(&mut new);
    let managed = track_update(&write(manager, second), Some(live), &mut new);
    set_managed(&mut new, managed);
    new
}

/// One line per manager.
fn owners(object: &Value) -> String {
    let line = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or("-").to_string();
        format!("{} {} {} {} {}\n", text("manager"), text("operation"), text("apiVersion"), text("time"), entry["fieldsV1"])
    };
    object["metadata"]["managedFields"].as_array().into_iter().flatten().map(line).collect()
}

fn check(object: &Value, expected: Expect) {
    expected.assert_eq(&owners(object));
}

#[test]
fn a_create_owns_what_it_sets_as_the_original_writes_it() {
    let object = created(
        "kubectl-create",
        deployment(
            json!({"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "template": pods(json!([{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "args": ["x"], "resources": {}}]))}),
        ),
    );
    check(
        &object,
        expect![[r#"
            kubectl-create Update apps/v1 2026-01-01T00:00:01Z {"f:spec":{"f:replicas":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{}},"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{},"f:image":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}},"f:resources":{}}}}}}}
        "#]],
    );
}

#[test]
fn an_update_takes_what_it_changes() {
    let live = created("one", deployment(json!({"replicas": 2, "paused": true})));
    let object = updated("two", 2, &live, |object| {
        object["spec"]["replicas"] = 3.into();
        object["spec"].as_object_mut().map(|spec| spec.remove("paused"));
        object["metadata"]["labels"] = json!({"a": "b"});
        object["status"] = json!({"replicas": 1});
    });
    check(
        &object,
        expect![[r#"
            two Update apps/v1 2026-01-01T00:00:02Z {"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:replicas":{}}}
        "#]],
    );
    let same = updated("three", 3, &object, |_| {});
    assert!(same_but_times(&same["metadata"]["managedFields"], &object["metadata"]["managedFields"]));
    let reset = updated("four", 3, &object, |object| object["metadata"]["managedFields"] = json!([{}]));
    check(&reset, expect![""]);
}

#[test]
fn an_untracked_object_stays_untracked_until_the_first_apply() {
    let live = deployment(json!({"replicas": 2}));
    let object = updated("two", 2, &live, |object| object["spec"]["replicas"] = 3.into());
    check(&object, expect![""]);
    let applied = apply(&write("me", 3), Some(&object), &deployment(json!({"paused": true})), false).unwrap();
    check(
        &applied,
        expect![[r#"
            me Apply apps/v1 2026-01-01T00:00:03Z {"f:spec":{"f:paused":{}}}
            before-first-apply Update apps/v1 2026-01-01T00:00:03Z {"f:spec":{"f:replicas":{}}}
        "#]],
    );
}

#[test]
fn apply_creates_changes_and_removes() {
    let first = apply(
        &write("me", 1),
        None,
        &deployment(json!({"replicas": 1, "template": pods(json!([container("a", "1"), container("b", "1")]))})),
        false,
    )
    .unwrap();
    check(
        &first,
        expect![[r#"
            me Apply apps/v1 2026-01-01T00:00:01Z {"f:spec":{"f:replicas":{},"f:template":{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{}},"k:{\"name\":\"b\"}":{".":{},"f:image":{},"f:name":{}}}}}}}
        "#]],
    );
    let defaulted =
        updated("defaults", 2, &first, |object| object["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = "Always".into());
    let second =
        apply(&write("me", 3), Some(&defaulted), &deployment(json!({"template": pods(json!([container("a", "2")]))})), false).unwrap();
    assert_eq!(
        second["spec"],
        json!({"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "2"}]}}}),
        "an item goes with its only owner, whatever others wrote into it"
    );
    let again = apply(&write("me", 4), Some(&second), &deployment(json!({"template": pods(json!([container("a", "2")]))})), false).unwrap();
    assert_eq!(again, second);
}

#[test]
fn apply_tells_its_conflicts() {
    let live = created("edit", deployment(json!({"replicas": 2, "paused": true, "template": pods(json!([container("a", "1")]))})));
    let refused = |spec: Value| apply(&write("me", 2), Some(&live), &deployment(spec), false).unwrap_err();
    let one = refused(json!({"replicas": 3}));
    assert_eq!(
        (one.code, one.message.as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"edit\" using apps/v1: .spec.replicas")
    );
    let cause = &one.details.as_ref().unwrap().causes[0];
    assert_eq!((cause.field.as_str(), cause.reason.as_str()), (".spec.replicas", "FieldManagerConflict"));
    assert_eq!(cause.message, "conflict with \"edit\" using apps/v1");
    let two = refused(json!({"replicas": 3, "template": pods(json!([container("a", "2")]))}));
    assert_eq!(
        two.message,
        "Apply failed with 2 conflicts: conflicts with \"edit\" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name=\"a\"].image"
    );
    let forced = apply(&write("me", 2), Some(&live), &deployment(json!({"replicas": 3})), true).unwrap();
    check(
        &forced,
        expect![[r#"
            me Apply apps/v1 2026-01-01T00:00:02Z {"f:spec":{"f:replicas":{}}}
            edit Update apps/v1 2026-01-01T00:00:01Z {"f:spec":{"f:paused":{},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{}}}}}}}
        "#]],
    );
    let shared = apply(&write("me", 2), Some(&live), &deployment(json!({"replicas": 2})), false).unwrap();
    assert_eq!(owners(&shared).matches("f:replicas").count(), 2);
}

#[test]
fn two_appliers_share_a_list() {
    let first =
        apply(&write("one", 1), None, &deployment(json!({"template": pods(json!([container("a", "1"), container("c", "1")]))})), false)
            .unwrap();
    let second = apply(
        &write("two", 2),
        Some(&first),
        &deployment(json!({"template": pods(json!([container("b", "1"), container("c", "1")]))})),
        false,
    )
    .unwrap();
    let names = |object: &Value| {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
        containers.iter().map(|container| container["name"].as_str().unwrap_or_default().to_string()).collect::<String>()
    };
    assert_eq!(names(&second), "abc");
    let third =
        apply(&write("one", 3), Some(&second), &deployment(json!({"template": pods(json!([container("a", "1")]))})), false).unwrap();
    assert_eq!(names(&third), "abc", "c is still owned by two");
    let fourth = apply(&write("two", 4), Some(&third), &deployment(json!({})), false).unwrap();
    assert_eq!(names(&fourth), "a");
    let moved = apply(
        &write("one", 5),
        Some(&second),
        &deployment(json!({"template": pods(json!([container("c", "1"), container("a", "1")]))})),
        false,
    )
    .unwrap();
    assert_eq!(names(&moved), "bca");
}

#[test]
fn refuses_patches_that_do_not_fit() {
    let refused = |patch: Value| {
        let status = apply(&write("me", 1), None, &patch, false).unwrap_err();
        format!("{} {}", status.code, status.message)
    };
    let wrong = "500 failed to create typed patch object (x/web; apps/v1, Kind=Deployment): ";
    assert_eq!(refused(deployment(json!({"repl": 1}))), format!("{wrong}.spec.repl: field not declared in schema"));
    assert_eq!(
        refused(deployment(json!({"replicas": "1"}))),
        format!("{wrong}.spec.replicas: expected numeric (int or float), got string")
    );
    assert_eq!(
        refused(deployment(json!({"template": pods(json!([container("a", "1"), container("a", "2")]))}))),
        format!("{wrong}.spec.template.spec.containers: duplicate entries for key [name=\"a\"]")
    );
    assert_eq!(
        refused(deployment(json!({"x": 1, "template": {"spec": {"containers": [null]}}}))),
        format!(
            "{wrong}errors:\n  .spec.template.spec.containers: element 0: associative list with keys may not have a null element\n  \
             .spec.x: field not declared in schema"
        )
    );
    assert_eq!(refused(json!({"apiVersion": "v1", "kind": "Pod"})), "400 invalid object type: /v1, Kind=Pod");
    let mut managed = deployment(json!({}));
    managed["metadata"]["managedFields"] = json!([]);
    assert_eq!(refused(managed), "400 metadata.managedFields must be nil");
}

#[test]
fn kubectl_may_change_over_from_client_side_apply() {
    let mut object = deployment(json!({"replicas": 2}));
    object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": object.to_string()});
    let live = created("kubectl-client-side-apply", object);
    let patch = deployment(json!({"replicas": 3}));
    let applied = apply(&write("kubectl", 2), Some(&live), &patch, false).unwrap();
    assert_eq!(applied["spec"]["replicas"], 3);
    assert_eq!(applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"], format!("{patch}\n"));
    assert!(apply(&write("other", 2), Some(&live), &patch, false).is_err());
}

#[test]
fn works_without_a_schema() {
    let write = |manager| Write { schema: None, api_version: "x.io/v1", kind: "Thing", ..write(manager, 1) };
    let thing = |spec: Value| json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec});
    let first = apply(&write("one"), None, &thing(json!({"a": {"b": 1}, "list": [{"name": "x"}]})), false).unwrap();
    check(
        &first,
        expect![[r#"
        one Apply x.io/v1 2026-01-01T00:00:01Z {"f:spec":{".":{},"f:a":{".":{},"f:b":{}},"f:list":{}}}
    "#]],
    );
    let conflict = apply(&write("two"), Some(&first), &thing(json!({"list": []})), false).unwrap_err();
    assert_eq!(conflict.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.list");
    let second = apply(&write("one"), Some(&first), &thing(json!({"a": {"c": 2}})), false).unwrap();
    assert_eq!(second["spec"], json!({"a": {"c": 2}}));
}

#[test]
fn a_status_write_owns_only_status() {
    let live = created("one", deployment(json!({"replicas": 2})));
    let status = Write { subresource: "status", reset: &[&["spec"]], ..write("controller", 2) };
    let mut new = live.clone();
    new["status"] = json!({"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]});
    new["spec"]["replicas"] = 5.into();
    let managed = track_update(&status, Some(&live), &mut new);
    assert_eq!(managed[0]["manager"], "one");
    assert_eq!(managed[0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(managed[1]["subresource"], "status");
    assert_eq!(
        managed[1]["fieldsV1"],
        json!({"f:status": {"f:conditions": {".": {}, "k:{\"type\":\"Available\"}": {".": {}, "f:lastTransitionTime": {}, "f:lastUpdateTime": {}, "f:status": {}, "f:type": {}}}, "f:replicas": {}}})
    );
}

#[test]
fn what_is_never_absent_comes_with_its_owner() {
    let live = created("one", deployment(json!({"replicas": 2})));
    let status = Write { subresource: "status", reset: &[&["spec"]], ..write("controller", 2) };
    let mut new = live.clone();
    new["status"] = json!({"conditions": [{"type": "Available", "status": "True"}]});
    let managed = track_update(&status, Some(&live), &mut new);
    assert_eq!(
        managed[1]["fieldsV1"]["f:status"]["f:conditions"]["k:{\"type\":\"Available\"}"],
        json!({".": {}, "f:lastTransitionTime": {}, "f:lastUpdateTime": {}, "f:status": {}, "f:type": {}})
    );
}

#[test]
fn the_oldest_updaters_become_one() {
    let mut object = created("m0", deployment(json!({"replicas": 0})));
    for number in 1..13u8 {
        object = updated(&format!("m{number}"), number + 1, &object, |object| {
            object["metadata"]["annotations"][format!("a{number}")] = "x".into();
        });
    }
    let names = owners(&object).lines().map(|line| line.split(' ').next().unwrap_or_default().to_string()).collect::<Vec<_>>();
    assert_eq!(names.join(" "), "ancient-changes m4 m5 m6 m7 m8 m9 m10 m11 m12");
}
