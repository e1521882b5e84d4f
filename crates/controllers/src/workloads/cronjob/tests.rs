use super::*;
use crate::world::World;
use serde_json::{Value, json};

fn cron(change: Value) -> Value {
    let mut cron = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "x", "uid": "c"},
        "spec": {"schedule": "*/10 * * * *", "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 1,
                 "jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}},
    });
    for (key, value) in change.as_object().into_iter().flatten() {
        cron["spec"][key] = value.clone();
    }
    cron
}

fn world(change: Value) -> World {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(cron(change));
    world.settle();
    world
}

fn finish(world: &mut World) {
    let now = json!(crate::objects::time(world.now));
    for job in world.all("batch/v1", "Job") {
        world.change("batch/v1", "Job", "x", job["metadata"]["name"].as_str().unwrap(), |job| {
            job["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}], "completionTime": now, "startTime": now});
        });
    }
    world.settle();
}

#[test]
fn makes_a_job_at_each_time_and_keeps_few() {
    let mut world = world(json!({}));
    for _ in 0..3 {
        world.advance(600);
        assert_eq!(world.all("batch/v1", "Job").iter().filter(|job| job["status"].is_null()).count(), 1);
        finish(&mut world);
    }
    world.fixpoint();
    assert_eq!(world.all("batch/v1", "Job").len(), 1);
    assert!(world.get("batch/v1", "CronJob", "x", "c")["status"]["lastSuccessfulTime"].is_string());
}

#[test]
fn concurrency_is_as_asked() {
    let jobs = |policy: &str| {
        let mut world = world(json!({"concurrencyPolicy": policy}));
        world.advance(1800);
        world.all("batch/v1", "Job").len()
    };
    assert_eq!([jobs("Allow"), jobs("Forbid"), jobs("Replace")], [3, 1, 1]);
}

#[test]
fn a_suspended_one_rests() {
    let mut world = world(json!({"suspend": true}));
    world.advance(3600);
    assert_eq!(world.all("batch/v1", "Job").len(), 0);
}
