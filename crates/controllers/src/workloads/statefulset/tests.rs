use super::*;
use crate::world::World;
use expect_test::expect;
use serde_json::{Value, json};

fn set(replicas: i32, image: &str, change: Value) -> Value {
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "x", "uid": "db", "generation": 1},
        "spec": {
            "replicas": replicas, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "revisionHistoryLimit": 10,
            "podManagementPolicy": "OrderedReady", "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}],
        },
    });
    for (key, value) in change.as_object().into_iter().flatten() {
        set["spec"][key] = value.clone();
    }
    set
}

fn ready(world: &mut World) {
    for pod in world.all("v1", "Pod") {
        world.change("v1", "Pod", "x", pod["metadata"]["name"].as_str().unwrap(), |pod| {
            pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        });
    }
    world.settle();
}

/// `0:1+ 1:2`: number, image, and whether it is ready.
fn pods(world: &World) -> String {
    let tell = |pod: &Value| {
        let ready = if pod["status"]["phase"] == "Running" { "+" } else { "" };
        let name = pod["metadata"]["name"].as_str().unwrap().trim_start_matches("db-").to_string();
        format!("{name}:{}{ready}", pod["spec"]["containers"][0]["image"].as_str().unwrap())
    };
    world.all("v1", "Pod").iter().map(tell).collect::<Vec<_>>().join(" ")
}

/// Makes pods ready round by round until nothing changes.
fn play(world: &mut World) -> String {
    let mut rounds: Vec<String> = Vec::new();
    for _ in 0..20 {
        world.settle();
        let now = pods(world);
        if rounds.last() == Some(&now) {
            break;
        }
        rounds.push(now);
        ready(world);
    }
    world.fixpoint();
    rounds.join("\n")
}

#[test]
fn starts_and_stops_in_order() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(set(3, "1", json!({})));
    expect![[r#"
        0:1
        0:1+ 1:1
        0:1+ 1:1+ 2:1
        0:1+ 1:1+ 2:1+"#]]
    .assert_eq(&play(&mut world));
    assert_eq!(world.all("v1", "PersistentVolumeClaim").len(), 3);
    world.told();
    world.put(set(1, "1", json!({})));
    world.settle();
    expect!["delete pods db-2, delete pods db-1, update statefulsets/status db, update statefulsets/status db"].assert_eq(&world.told());
    assert_eq!(world.all("v1", "PersistentVolumeClaim").len(), 3, "storage is kept");
}

#[test]
fn all_at_once_when_asked() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(set(3, "1", json!({"podManagementPolicy": "Parallel"})));
    expect![[r#"
        0:1 1:1 2:1
        0:1+ 1:1+ 2:1+"#]]
    .assert_eq(&play(&mut world));
}

#[test]
fn rolls_from_the_highest_number_down_to_the_partition() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(set(3, "1", json!({})));
    play(&mut world);
    world.put(set(3, "2", json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}})));
    expect![[r#"
        0:1+ 1:1+ 2:2
        0:1+ 1:2 2:2+
        0:1+ 1:2+ 2:2+"#]]
    .assert_eq(&play(&mut world));
    let status = world.get("apps/v1", "StatefulSet", "x", "db")["status"].clone();
    assert_eq!((status["currentReplicas"].as_i64(), status["updatedReplicas"].as_i64()), (Some(1), Some(2)));
    world.put(set(3, "2", json!({})));
    expect![[r#"
        0:2 1:2+ 2:2+
        0:2+ 1:2+ 2:2+"#]]
    .assert_eq(&play(&mut world));
    let status = world.get("apps/v1", "StatefulSet", "x", "db")["status"].clone();
    assert_eq!(status["currentRevision"], status["updateRevision"]);
}

#[test]
fn a_pod_below_the_partition_comes_back_as_it_was() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(set(2, "1", json!({})));
    play(&mut world);
    world.put(set(2, "2", json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}})));
    play(&mut world);
    world.remove("v1", "Pod", "x", "db-0");
    expect![[r#"
        0:1 1:2+
        0:1+ 1:2+"#]]
    .assert_eq(&play(&mut world));
}

#[test]
fn claims_follow_the_retention_policy() {
    let mut world = World::new(&[&CONTROLLER]);
    let policy = json!({"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Delete"}});
    world.put(set(2, "1", policy.clone()));
    play(&mut world);
    let owner =
        |world: &World, name: &str| world.get("v1", "PersistentVolumeClaim", "x", name)["metadata"]["ownerReferences"][0]["kind"].clone();
    assert_eq!(owner(&world, "data-db-1"), "StatefulSet");
    world.graceful = true;
    world.put(set(1, "1", policy));
    world.settle();
    assert_eq!((owner(&world, "data-db-0"), owner(&world, "data-db-1")), (json!("StatefulSet"), json!("Pod")));
}
