use super::*;
use crate::world::World;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn job(change: Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "x", "uid": "j", "generation": 1},
        "spec": {
            "parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
            "selector": {"matchLabels": {"job": "j"}},
            "template": {"metadata": {"labels": {"job": "j"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}},
        },
    });
    for (key, value) in change.as_object().into_iter().flatten() {
        job["spec"][key] = value.clone();
    }
    job
}

/// Ends every active pod, as `end` says for its index (or number): `s`ucceeded, `f`ailed, `r`unning.
fn end(world: &mut World, ends: &str, code: i32) {
    let now = json!(crate::objects::time(world.now));
    let pods = world.all("v1", "Pod");
    let active = pods.iter().filter(|pod| pod["status"]["phase"].is_null() || pod["status"]["phase"] == "Running");
    for (number, pod) in active.enumerate() {
        let index = pod["metadata"]["annotations"][indexes::INDEX].as_str().and_then(|text| text.parse().ok()).unwrap_or(number);
        let phase = match ends.chars().nth(index) {
            Some('s') => "Succeeded",
            Some('f') => "Failed",
            _ => "Running",
        };
        world.change("v1", "Pod", "x", pod["metadata"]["name"].as_str().unwrap(), |pod| {
            pod["status"] = json!({"phase": phase});
            if phase != "Running" {
                let state = json!({"terminated": {"exitCode": if phase == "Failed" { code } else { 0 }, "finishedAt": now}});
                pod["status"]["containerStatuses"] =
                    json!([{"name": "c", "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": ""}]);
            }
        });
    }
    world.settle();
}

fn tell(world: &World) -> String {
    let status = world.get("batch/v1", "Job", "x", "j")["status"].clone();
    let number = |key: &str| status[key].as_i64().unwrap_or(0);
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let conditions: Vec<String> = conditions
        .iter()
        .filter(|one| one["status"] == "True")
        .map(|one| format!("{}:{}", one["type"].as_str().unwrap(), one["reason"].as_str().unwrap()))
        .collect();
    let text = |key: &str| status[key].as_str().map(|text| format!(" {key}={text}")).unwrap_or_default();
    format!(
        "{}a {}s {}f{}{} {}",
        number("active"),
        number("succeeded"),
        number("failed"),
        text("completedIndexes"),
        text("failedIndexes"),
        conditions.join(" ")
    )
}

/// Plays rounds of ends, each after the longest back-off, and tells the status after each.
fn check(change: Value, rounds: &[&str], expected: Expect) {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(job(change));
    world.settle();
    let mut lines = vec![tell(&world)];
    for round in rounds {
        end(&mut world, round, 1);
        world.advance(601);
        lines.push(tell(&world));
    }
    world.fixpoint();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn runs_to_completion() {
    check(
        json!({"completions": 3, "parallelism": 2}),
        &["ss", "s"],
        expect![[r#"
        2a 0s 0f 
        1a 2s 0f 
        0a 3s 0f SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached"#]],
    );
}

#[test]
fn tries_again_up_to_the_limit() {
    check(
        json!({"backoffLimit": 1}),
        &["f", "s"],
        expect![[r#"
        1a 0s 0f 
        1a 0s 1f 
        0a 1s 1f SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached"#]],
    );
    check(
        json!({"backoffLimit": 1}),
        &["f", "f"],
        expect![[r#"
        1a 0s 0f 
        1a 0s 1f 
        0a 0s 2f FailureTarget:BackoffLimitExceeded Failed:BackoffLimitExceeded"#]],
    );
}

#[test]
fn indexes_are_each_done_once() {
    check(
        json!({"completionMode": "Indexed", "completions": 4, "parallelism": 3}),
        &["sfs", "rs", "ssss"],
        expect![[r#"
        3a 0s 0f 
        2a 2s 1f completedIndexes=0,2 
        1a 3s 1f completedIndexes=0-2 
        0a 4s 1f completedIndexes=0-3 SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached"#]],
    );
}

#[test]
fn indexes_have_limits_of_their_own() {
    let change = json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 1, "backoffLimit": 100});
    check(
        change,
        &["fs", "f"],
        expect![[r#"
        2a 0s 0f failedIndexes= 
        1a 1s 1f completedIndexes=1 failedIndexes= 
        0a 1s 2f completedIndexes=1 failedIndexes=0 FailureTarget:FailedIndexes Failed:FailedIndexes"#]],
    );
}

#[test]
fn success_policy_ends_it_early() {
    let policy = json!({"rules": [{"succeededIndexes": "0", "succeededCount": 1}]});
    check(
        json!({"completionMode": "Indexed", "completions": 3, "parallelism": 3, "successPolicy": policy}),
        &["srr"],
        expect![[r#"
        3a 0s 0f 
        0a 1s 0f completedIndexes=0 SuccessCriteriaMet:SuccessPolicy Complete:SuccessPolicy"#]],
    );
}

#[test]
fn failure_policy_ends_it_at_once_or_ignores() {
    let rule = |action: &str| json!({"rules": [{"action": action, "onExitCodes": {"operator": "In", "values": [1]}}]});
    check(
        json!({"podFailurePolicy": rule("FailJob")}),
        &["f"],
        expect![[r#"
        1a 0s 0f 
        0a 0s 1f FailureTarget:PodFailurePolicy Failed:PodFailurePolicy"#]],
    );
    check(
        json!({"podFailurePolicy": rule("Ignore"), "backoffLimit": 0}),
        &["f", "s"],
        expect![[r#"
        1a 0s 0f 
        1a 0s 0f 
        0a 1s 0f SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached"#]],
    );
}

#[test]
fn waits_before_it_tries_again() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(job(json!({})));
    world.settle();
    end(&mut world, "f", 1);
    world.advance(9);
    expect!["0a 0s 1f "].assert_eq(&tell(&world));
    world.advance(2);
    expect!["1a 0s 1f "].assert_eq(&tell(&world));
}

#[test]
fn deadline_and_suspension() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(job(json!({"activeDeadlineSeconds": 100, "suspend": true})));
    world.advance(200);
    expect!["0a 0s 0f Suspended:JobSuspended"].assert_eq(&tell(&world));
    world.put(job(json!({"activeDeadlineSeconds": 100})));
    world.advance(99);
    expect!["1a 0s 0f "].assert_eq(&tell(&world));
    world.advance(2);
    expect!["0a 0s 1f FailureTarget:DeadlineExceeded Failed:DeadlineExceeded"].assert_eq(&tell(&world));
    world.fixpoint();
}

#[test]
fn pods_of_a_job_that_is_gone_lose_the_finalizer() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(job(json!({})));
    world.settle();
    world.remove("batch/v1", "Job", "x", "j");
    let name = world.all("v1", "Pod")[0]["metadata"]["name"].as_str().unwrap().to_string();
    world.change("v1", "Pod", "x", &name, |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    world.settle();
    assert_eq!(world.all("v1", "Pod").len(), 0);
}

#[test]
fn adopts_orphans_and_lets_strangers_go() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(job(json!({})));
    world.settle();
    let name = world.all("v1", "Pod")[0]["metadata"]["name"].as_str().unwrap().to_string();
    world.change("v1", "Pod", "x", &name, |pod| {
        pod["metadata"]["ownerReferences"] = json!([]);
        pod["metadata"]["finalizers"] = json!(["own/one"]);
    });
    world.settle();
    let pod = world.get("v1", "Pod", "x", &name);
    assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "j");
    assert_eq!(pod["metadata"]["finalizers"], json!(["own/one", FINALIZER]));
    world.change("v1", "Pod", "x", &name, |pod| pod["metadata"]["labels"]["job"] = "other".into());
    world.settle();
    let pod = world.get("v1", "Pod", "x", &name);
    assert_eq!((pod["metadata"]["ownerReferences"].clone(), pod["metadata"]["finalizers"].clone()), (json!([]), json!(["own/one"])));
    world.fixpoint();
}
