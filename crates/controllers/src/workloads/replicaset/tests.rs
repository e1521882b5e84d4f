use super::*;
use crate::world::World;
use expect_test::{Expect, expect};
use serde_json::{Value, from_value, json};

fn set(replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "x", "uid": "web", "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}},
        },
    })
}

/// `a`, `b:ready`, `c:failed`, `d:other` (labels that do not match), `e:orphan`.
fn pod(text: &str) -> Value {
    let (name, state) = text.split_once(':').unwrap_or((text, ""));
    let status = match state {
        "ready" => json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
        "failed" => json!({"phase": "Failed"}),
        _ => json!({"phase": "Pending"}),
    };
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web", "controller": true}]);
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "status": status,
        "metadata": {"name": name, "namespace": "x", "uid": name, "labels": {"app": "web"}, "ownerReferences": owner},
    });
    match state {
        "other" => pod["metadata"]["labels"]["app"] = "other".into(),
        "orphan" => pod["metadata"]["ownerReferences"] = json!([]),
        _ => {}
    }
    pod
}

/// `check(3, "a:ready b", …)`: a set that wants 3 and owns a ready pod a and an unready pod b.
fn check(wanted: i32, pods: &str, expected: Expect) {
    let view = View {
        set: Arc::new(from_value(set(wanted)).unwrap()),
        pods: pods.split_whitespace().map(|text| Arc::new(from_value(pod(text)).unwrap())).collect(),
        related: Vec::new(),
    };
    let plan = reconcile(&view, Timestamp::UNIX_EPOCH, None);
    expected.assert_eq(&plan.steps.iter().map(|step| format!("{step:?}")).collect::<Vec<_>>().join(", "));
}

#[test]
fn creates_what_is_missing() {
    check(3, "a:ready", expect!["create pods web-*, create pods web-*, update replicasets/status web"]);
    check(2, "a:ready b:failed", expect!["create pods web-*, update replicasets/status web"]);
}

#[test]
fn takes_the_cheapest_away() {
    check(1, "a:ready b c:ready", expect!["delete pods b, delete pods a, update replicasets/status web"]);
}

#[test]
fn adopts_and_lets_go() {
    let expected = expect![[
        r#"patch pods a {"metadata":{"ownerReferences":[],"resourceVersion":null,"uid":"a"}}, patch pods b {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"web"}],"resourceVersion":null,"uid":"b"}}, update replicasets/status web"#
    ]];
    check(1, "a:other b:orphan", expected);
}

#[test]
fn settles_and_tells_a_refusal() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(set(2));
    world.settle();
    expect!["create pods web-*, create pods web-*, update replicasets/status web, update replicasets/status web"].assert_eq(&world.told());
    world.fixpoint();
    world.refuse = Some(|step| format!("{step:?}").starts_with("create pods").then(|| "exceeded quota".to_string()));
    world.put(set(3));
    world.settle();
    let status = world.get("apps/v1", "ReplicaSet", "x", "web")["status"].clone();
    expect![[r#""FailedCreate exceeded quota 2""#]].assert_eq(&format!(
        "{:?}",
        format!(
            "{} {} {}",
            status["conditions"][0]["reason"].as_str().unwrap(),
            status["conditions"][0]["message"].as_str().unwrap(),
            status["replicas"]
        )
    ));
    world.refuse = None;
    world.retry();
    world.fixpoint();
    assert_eq!(world.get("apps/v1", "ReplicaSet", "x", "web")["status"]["conditions"], Value::Null);
}
