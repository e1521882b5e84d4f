use super::*;
use crate::world::World;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn set(image: &str, rolling: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "namespace": "x", "uid": "d", "generation": 1},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}}, "revisionHistoryLimit": 1,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    })
}

fn node(name: &str, taints: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"taints": taints}})
}

fn ready(world: &mut World) {
    for pod in world.all("v1", "Pod") {
        world.change("v1", "Pod", "x", pod["metadata"]["name"].as_str().unwrap(), |pod| {
            pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        });
    }
    world.settle();
}

/// `a:1 b:2`: node and image of every pod.
fn pods_of(world: &World) -> String {
    let tell = |pod: &Value| {
        let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
        let image = pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
        format!("{}:{image}", place::target(&pod).unwrap())
    };
    let mut all: Vec<String> = world.all("v1", "Pod").iter().map(tell).collect();
    all.sort();
    all.join(" ")
}

fn world(rolling: Value) -> World {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(set("1", rolling));
    for name in ["a", "b", "c"] {
        world.put(node(name, json!([])));
    }
    world.settle();
    ready(&mut world);
    world
}

#[test]
fn one_on_every_node_that_fits() {
    let mut world = world(json!({"maxUnavailable": 1}));
    world.put(node("t", json!([{"key": "own", "effect": "NoSchedule"}])));
    world.put(node("u", json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}])));
    world.settle();
    expect!["a:1 b:1 c:1 u:1"].assert_eq(&pods_of(&world));
    world.put(node("a", json!([{"key": "own", "effect": "NoSchedule"}])));
    world.put(node("b", json!([{"key": "own", "effect": "NoExecute"}])));
    world.settle();
    expect!["a:1 c:1 u:1"].assert_eq(&pods_of(&world));
    world.fixpoint();
    let status = world.get("apps/v1", "DaemonSet", "x", "d")["status"].clone();
    expect!["2 1 2"]
        .assert_eq(&format!("{} {} {}", status["desiredNumberScheduled"], status["numberMisscheduled"], status["currentNumberScheduled"]));
}

fn check_roll(rolling: Value, expected: Expect) {
    let mut world = world(rolling.clone());
    world.put(set("2", rolling));
    let mut rounds = Vec::new();
    for _ in 0..10 {
        world.settle();
        let now = pods_of(&world);
        if rounds.last() == Some(&now) {
            break;
        }
        rounds.push(now);
        ready(&mut world);
    }
    world.fixpoint();
    expected.assert_eq(&rounds.join("\n"));
    assert_eq!(world.all("apps/v1", "ControllerRevision").len(), 2);
}

#[test]
fn rolls_node_by_node() {
    check_roll(
        json!({"maxUnavailable": 1}),
        expect![[r#"
        a:2 b:1 c:1
        a:2 b:2 c:1
        a:2 b:2 c:2"#]],
    );
    check_roll(
        json!({"maxSurge": 1, "maxUnavailable": 0}),
        expect![[r#"
        a:1 a:2 b:1 c:1
        a:2 b:1 b:2 c:1
        a:2 b:2 c:1 c:2
        a:2 b:2 c:2"#]],
    );
}

#[test]
fn a_failed_pod_is_replaced_after_a_rest() {
    let mut world = world(json!({"maxUnavailable": 1}));
    let name = world.all("v1", "Pod")[0]["metadata"]["name"].as_str().unwrap().to_string();
    world.change("v1", "Pod", "x", &name, |pod| pod["status"] = json!({"phase": "Failed"}));
    world.settle();
    assert_ne!(world.get("v1", "Pod", "x", &name), Value::Null);
    world.advance(11);
    assert_eq!(world.get("v1", "Pod", "x", &name), Value::Null);
    expect!["a:1 b:1 c:1"].assert_eq(&pods_of(&world));
}
