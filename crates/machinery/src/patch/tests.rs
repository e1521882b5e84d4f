use super::*;
use crate::schema::lookup;
use expect_test::{Expect, expect};
use serde_json::json;

fn shown(document: Value, result: Result<(), Status>) -> String {
    match result {
        Ok(()) => document.to_string(),
        Err(status) => format!("{} {} {}", status.code, status.reason.name(), status.message),
    }
}

fn json_patched(mut document: Value, patch: Value) -> String {
    let result = json(&mut document, &patch);
    shown(document, result)
}

#[test]
fn json_patch_operations() {
    let document = || json!({"a": [1, 2, 3], "b": {"c/d": "x", "e~f": null}});
    for (patch, expected) in [
        (json!([{"op": "add", "path": "/a/1", "value": 9}]), r#"{"a":[1,9,2,3],"b":{"c/d":"x","e~f":null}}"#),
        (json!([{"op": "add", "path": "/a/-", "value": 9}]), r#"{"a":[1,2,3,9],"b":{"c/d":"x","e~f":null}}"#),
        (json!([{"op": "add", "path": "/a/-1", "value": 9}]), r#"{"a":[1,2,3,9],"b":{"c/d":"x","e~f":null}}"#),
        (json!([{"op": "remove", "path": "/a/-1"}, {"op": "remove", "path": "/b/c~1d"}]), r#"{"a":[1,2],"b":{"e~f":null}}"#),
        (json!([{"op": "replace", "path": "/a/0", "value": {"n": 1}}]), r#"{"a":[{"n":1},2,3],"b":{"c/d":"x","e~f":null}}"#),
        (json!([{"op": "replace", "path": "/new", "value": 1}, {"op": "remove", "path": "/a"}]), r#"{"b":{"c/d":"x","e~f":null},"new":1}"#),
        (json!([{"op": "move", "from": "/b/c~1d", "path": "/a/0"}]), r#"{"a":["x",1,2,3],"b":{"e~f":null}}"#),
        (json!([{"op": "copy", "from": "/a", "path": "/b"}]), r#"{"a":[1,2,3],"b":[1,2,3]}"#),
        (json!([{"op": "test", "path": "/b/none", "value": null}, {"op": "replace", "path": "", "value": {}}]), "{}"),
    ] {
        assert_eq!(json_patched(document(), patch.clone()), expected, "{patch}");
    }
    let rejected = "422 Invalid the server rejected our request due to an error in our request";
    for patch in [
        json!([{"op": "remove", "path": "/none"}]),
        json!([{"op": "remove", "path": "/a/3"}]),
        json!([{"op": "add", "path": "/a/4", "value": 1}]),
        json!([{"op": "add", "path": "/none/x", "value": 1}]),
        json!([{"op": "test", "path": "/a/0", "value": 2}]),
        json!([{"op": "eat", "path": "/a"}]),
        json!([{"op": "add", "path": "", "value": {}}]),
        json!([{"path": "/a"}]),
    ] {
        assert_eq!(json_patched(document(), patch.clone()), rejected, "{patch}");
    }
}

#[test]
fn json_patch_limits_and_forms() {
    assert_eq!(
        json_patched(json!({}), json!({"op": "add"})),
        "400 BadRequest error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
    );
    assert_eq!(
        json_patched(json!({}), json!([{"op": "add", "path": 1}])),
        "400 BadRequest error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.path of type string"
    );
    let many = vec![json!({"op": "test", "path": "/x"}); MAX_OPERATIONS + 1];
    assert_eq!(
        json_patched(json!({}), Value::Array(many)),
        "413 RequestEntityTooLarge Request entity is too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
    let bomb = vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 40];
    assert!(json_patched(json!({"a": ["0123456789"]}), Value::Array(bomb)).starts_with("422"));
    assert_eq!(unknown_fields(&json!([{"op": "test", "paths": "/x"}])), ["json patch unknown field \"[0].paths\""]);
}

#[test]
fn merge_patch() {
    let patched = |mut document: Value, patch: Value| {
        let result = merge(&mut document, patch);
        shown(document, result)
    };
    assert_eq!(
        patched(json!({"a": {"b": 1, "c": [1]}, "d": 1}), json!({"a": {"b": null, "c": [2], "x": {"y": null, "z": 1}}})),
        r#"{"a":{"c":[2],"x":{"z":1}},"d":1}"#
    );
    assert_eq!(patched(json!({"a": [1]}), json!({"a": [{"b": null}, null]})), r#"{"a":[{},null]}"#);
    assert_eq!(patched(json!({}), json!(null)), "400 BadRequest Invalid JSON Patch");
    assert_eq!(
        patched(json!({}), json!([])),
        "400 BadRequest error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
    );
}

fn strategic_patched(document: Value, patch: Value, expected: Expect) {
    let mut document = document;
    let result = strategic(&mut document, patch, lookup("io.k8s.api.core.v1.Pod").expect("the table knows pods"));
    expected.assert_eq(&shown(document, result));
}

fn pod() -> Value {
    json!({"metadata": {"finalizers": ["a", "b", "c"], "labels": {"x": "1"}},
        "spec": {"containers": [{"name": "one", "image": "i1", "args": ["x"], "ports": [{"containerPort": 80}]}, {"name": "two", "image": "i2"}],
            "volumes": [{"name": "v", "emptyDir": {}}], "nodeSelector": {"n": "1"}}})
}

#[test]
fn strategic_merges_lists_by_key() {
    strategic_patched(
        pod(),
        json!({"spec": {"containers": [{"name": "two", "image": "new"}, {"name": "three", "image": "i3", "stdin": null}]}}),
        expect![[
            r#"{"metadata":{"finalizers":["a","b","c"],"labels":{"x":"1"}},"spec":{"containers":[{"args":["x"],"image":"i1","name":"one","ports":[{"containerPort":80}]},{"image":"new","name":"two"},{"image":"i3","name":"three","stdin":null}],"nodeSelector":{"n":"1"},"volumes":[{"emptyDir":{},"name":"v"}]}}"#
        ]],
    );
    strategic_patched(
        pod(),
        json!({"metadata": {"labels": {"x": null, "y": "2"}}, "spec": {"containers": [{"$patch": "delete", "name": "one"}, {"name": "two", "args": ["y"]}]}}),
        expect![[
            r#"{"metadata":{"finalizers":["a","b","c"],"labels":{"y":"2"}},"spec":{"containers":[{"args":["y"],"image":"i2","name":"two"}],"nodeSelector":{"n":"1"},"volumes":[{"emptyDir":{},"name":"v"}]}}"#
        ]],
    );
}

#[test]
fn strategic_obeys_directives() {
    strategic_patched(
        pod(),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "$setElementOrder/finalizers": ["d", "a"], "finalizers": ["d"]}, "spec": {"$patch": "delete"}}),
        expect![[r#"{"metadata":{"finalizers":["d","a","c"],"labels":{"x":"1"}},"spec":{}}"#]],
    );
    strategic_patched(
        pod(),
        json!({"spec": {"$setElementOrder/containers": [{"name": "two"}, {"name": "one"}], "containers": [{"name": "one", "image": "x"}], "nodeSelector": {"$patch": "replace", "m": "2"},
            "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}}),
        expect![[
            r#"{"metadata":{"finalizers":["a","b","c"],"labels":{"x":"1"}},"spec":{"containers":[{"image":"i2","name":"two"},{"args":["x"],"image":"x","name":"one","ports":[{"containerPort":80}]}],"nodeSelector":{"m":"2"},"volumes":[{"hostPath":{"path":"/x"},"name":"v"}]}}"#
        ]],
    );
    strategic_patched(
        json!({"spec": {"containers": [{"name": "one"}]}}),
        json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "only"}]}}),
        expect![[r#"{"spec":{"containers":[{"name":"only"}]}}"#]],
    );
}

#[test]
fn strategic_refuses_what_does_not_fit() {
    strategic_patched(
        pod(),
        json!({"spec": {"containers": [{"image": "x"}]}}),
        expect!["500  map: map[image:x] does not contain declared merge key: name"],
    );
    strategic_patched(
        pod(),
        json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {"path": "/x"}}]}}),
        expect!["400 BadRequest invalid patch format of retainKeys"],
    );
    strategic_patched(
        pod(),
        json!({"metadata": {"finalizers": [["x"]]}}),
        expect![[r#"500  list element types are not identical: [[a b c [x]]]"#]],
    );
    strategic_patched(
        pod(),
        json!({"metadata": {"$setElementOrder/finalizers": 1}}),
        expect!["400 BadRequest invalid patch format of setElementOrder list"],
    );
    strategic_patched(pod(), json!({"spec": {"$patch": "eat"}}), expect!["500  unknown patch type: eat in map: map[$patch:eat]"]);
}

#[test]
fn names_the_media_types_it_takes() {
    assert_eq!(PatchKind::parse("application/merge-patch+json; charset=utf-8", true), Ok(PatchKind::Merge));
    let refused = PatchKind::parse("application/json", false).unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            415,
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, \
             application/merge-patch+json, application/apply-patch+yaml"
        )
    );
}
