use super::*;
use crate::workloads::replicaset;
use crate::world::World;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn deployment(replicas: i32, image: &str, strategy: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "x", "uid": "d", "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
            "progressDeadlineSeconds": 600, "revisionHistoryLimit": 1,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    })
}

fn rolling(surge: Value, unavailable: Value) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

fn world() -> World {
    World::new(&[&CONTROLLER, &replicaset::CONTROLLER])
}

/// Makes every pod (or only those of `image`) ready.
fn ready(world: &mut World, image: &str) {
    for pod in world.all("v1", "Pod") {
        if pod["spec"]["containers"][0]["image"] == image {
            world.change("v1", "Pod", "x", pod["metadata"]["name"].as_str().unwrap(), |pod| {
                pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
            });
        }
    }
    world.settle();
}

/// `1:3/3 2:1/0`: by revision, what the sets want and have available.
fn sets(world: &World) -> String {
    let mut sets: Vec<String> = world
        .all("apps/v1", "ReplicaSet")
        .iter()
        .map(|set| {
            let available = set["status"]["availableReplicas"].as_i64().unwrap_or(0);
            format!(
                "{}:{}/{available}",
                set["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str().unwrap(),
                set["spec"]["replicas"]
            )
        })
        .collect();
    sets.sort();
    sets.join(" ")
}

fn conditions(world: &World) -> String {
    let deployment = world.get("apps/v1", "Deployment", "x", "web");
    let conditions = deployment["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let tell = |condition: &Value| {
        format!(
            "{}={} {}",
            condition["type"].as_str().unwrap(),
            condition["status"].as_str().unwrap(),
            condition["reason"].as_str().unwrap()
        )
    };
    conditions.iter().map(tell).collect::<Vec<_>>().join(", ")
}

/// Rolls from image 1 to image 2, making new pods ready one round after the other, and tells the sets after each round.
fn check_roll(replicas: i32, strategy: Value, expected: Expect) {
    let mut world = world();
    world.put(deployment(replicas, "1", strategy.clone()));
    world.settle();
    ready(&mut world, "1");
    world.fixpoint();
    world.put(deployment(replicas, "2", strategy));
    let mut rounds = Vec::new();
    for _ in 0..20 {
        world.settle();
        let now = sets(&world);
        if rounds.last() == Some(&now) {
            break;
        }
        rounds.push(now);
        ready(&mut world, "2");
    }
    world.fixpoint();
    expected.assert_eq(&rounds.join("\n"));
    assert_eq!(conditions(&world), "Available=True MinimumReplicasAvailable, Progressing=True NewReplicaSetAvailable");
}

#[test]
fn rolls_within_surge_and_availability() {
    check_roll(
        4,
        rolling(json!("25%"), json!("25%")),
        expect![[r#"
            1:3/3 2:2/0
            1:1/1 2:4/2
            1:0/0 2:4/4"#]],
    );
    check_roll(
        3,
        rolling(json!(1), json!(0)),
        expect![[r#"
            1:3/3 2:1/0
            1:2/2 2:2/1
            1:1/1 2:3/2
            1:0/0 2:3/3"#]],
    );
    check_roll(
        2,
        rolling(json!(0), json!("1%")),
        expect![[r#"
            1:1/1 2:1/0
            1:0/0 2:2/1
            1:0/0 2:2/2"#]],
    );
}

#[test]
fn recreates_after_the_last_old_pod() {
    let mut world = world();
    world.put(deployment(2, "1", json!({"type": "Recreate"})));
    world.settle();
    ready(&mut world, "1");
    world.graceful = true;
    world.put(deployment(2, "2", json!({"type": "Recreate"})));
    world.settle();
    expect!["1:0/0"].assert_eq(&sets(&world));
    world.finish_deletions();
    world.settle();
    expect!["1:0/0 2:2/0"].assert_eq(&sets(&world));
    world.fixpoint();
}

#[test]
fn rolls_back_and_keeps_the_history_short() {
    let mut world = world();
    let strategy = rolling(json!(1), json!(1));
    for image in ["1", "2", "3", "1"] {
        world.put(deployment(1, image, strategy.clone()));
        for _ in 0..4 {
            world.settle();
            ready(&mut world, image);
        }
    }
    world.fixpoint();
    // revision 1's set fell out of the history of one before the way back, so it is made anew
    expect!["3:0/0 4:1/1"].assert_eq(&sets(&world));
    let deployment = world.get("apps/v1", "Deployment", "x", "web");
    assert_eq!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "4");
}

#[test]
fn a_paused_deployment_scales_in_proportion() {
    let mut world = world();
    let strategy = rolling(json!(3), json!(2));
    world.put(deployment(10, "1", strategy.clone()));
    world.settle();
    ready(&mut world, "1");
    world.put(deployment(10, "2", strategy.clone()));
    world.settle();
    expect!["1:8/8 2:5/0"].assert_eq(&sets(&world));
    let mut paused = deployment(20, "2", strategy);
    paused["spec"]["paused"] = true.into();
    world.put(paused);
    world.settle();
    expect!["1:14/8 2:9/0"].assert_eq(&sets(&world));
    expect!["Progressing=Unknown DeploymentPaused, Available=False MinimumReplicasUnavailable"].assert_eq(&conditions(&world));
    world.fixpoint();
}

#[test]
fn tells_when_it_does_not_progress() {
    let mut world = world();
    world.put(deployment(1, "1", rolling(json!(1), json!(0))));
    world.settle();
    expect!["Available=False MinimumReplicasUnavailable, Progressing=True ReplicaSetUpdated"].assert_eq(&conditions(&world));
    world.advance(700);
    expect!["Available=False MinimumReplicasUnavailable, Progressing=False ProgressDeadlineExceeded"].assert_eq(&conditions(&world));
    world.fixpoint();
}

#[test]
fn a_taken_name_leads_to_another_one() {
    let mut world = world();
    let new = deployment(1, "1", rolling(json!(1), json!(0)));
    let (_, name) = rollout::name_of_new_set(&serde_json::from_value(new.clone()).unwrap());
    world.put(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "namespace": "x"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}},
    }));
    world.put(new);
    world.settle();
    assert_eq!(world.get("apps/v1", "Deployment", "x", "web")["status"]["collisionCount"], 1);
    assert_eq!(world.all("apps/v1", "ReplicaSet").len(), 2);
    world.fixpoint();
}
