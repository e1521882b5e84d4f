use super::patch::patch;
use super::phase::phase;
use crate::testing::pod;
use expect_test::expect;
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use serde_json::{Value, json};

fn check(policy: &str, states: Value, ended: bool) -> &'static str {
    let statuses: Vec<ContainerStatus> = serde_json::from_value(states).unwrap();
    let containers: Vec<Value> = statuses.iter().map(|status| json!({"name": status.name, "image": "x"})).collect();
    phase(&pod(json!({"restartPolicy": policy, "containers": containers})), &statuses, ended, true)
}

fn status(name: &str, state: Value, last: Value) -> Value {
    json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state, "lastState": last})
}

#[test]
fn phases() {
    let running = || status("a", json!({"running": {}}), json!({}));
    let ended = |name: &str, code: i32| status(name, json!({"terminated": {"exitCode": code}}), json!({}));
    let fallen = || status("b", json!({"waiting": {}}), json!({"terminated": {"exitCode": 1}}));
    assert_eq!(check("Always", json!([running(), fallen()]), false), "Running");
    assert_eq!(check("Always", json!([ended("a", 0)]), false), "Running");
    assert_eq!(check("Always", json!([ended("a", 0)]), true), "Succeeded");
    assert_eq!(check("OnFailure", json!([ended("a", 0), fallen()]), false), "Running");
    assert_eq!(check("Never", json!([ended("a", 0), ended("b", 1)]), false), "Failed");
    assert_eq!(check("Never", json!([ended("a", 0)]), false), "Succeeded");
    assert_eq!(check("Always", json!([running(), status("b", json!({"waiting": {}}), json!({}))]), false), "Pending");
}

#[test]
fn only_what_changed_is_written() {
    let read = |value: Value| serde_json::from_value::<PodStatus>(value).unwrap();
    let told = read(json!({
        "phase": "Pending", "reason": "Old", "podIPs": [{"ip": "1.1.1.1"}], "qosClass": "Burstable",
        "conditions": [{"type": "Ready", "status": "False", "reason": "X"}, {"type": "Mine", "status": "True"}],
    }));
    let new = read(json!({
        "phase": "Running", "podIPs": [{"ip": "2.2.2.2"}], "qosClass": "Burstable",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Mine", "status": "True"}],
    }));
    expect![[r#"
        {
          "metadata": {
            "uid": "u"
          },
          "status": {
            "conditions": [
              {
                "reason": null,
                "status": "True",
                "type": "Ready"
              }
            ],
            "phase": "Running",
            "podIPs": [
              {
                "ip": "2.2.2.2"
              },
              {
                "$patch": "delete",
                "ip": "1.1.1.1"
              }
            ],
            "reason": null
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&patch("u", &told, &new)).unwrap());
    assert_eq!(patch("u", &new, &new), None);
}
