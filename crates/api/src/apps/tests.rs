use super::*;
use crate::check::{cells, created, problems, update_problems};
use expect_test::expect;
use serde_json::{Value, json};

fn minimal(text: &str) -> Value {
    serde_json::from_str(text).expect("test data is JSON")
}

#[test]
fn a_deployment_gets_its_defaults() {
    let object = created(&deployment::DEPLOYMENT, minimal(deployment::MINIMAL));
    let mut spec = object["spec"].clone();
    spec.as_object_mut().map(|spec| spec.remove("template"));
    assert_eq!(
        spec,
        json!({"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}})
    );
    assert_eq!(object["metadata"]["generation"], 1);
    let set = created(&daemonset::DAEMONSET, minimal(daemonset::MINIMAL));
    assert_eq!(set["metadata"]["annotations"], json!({"deprecated.daemonset.template.generation": "1"}));
    assert_eq!(set["spec"]["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}));
    let set = created(&statefulset::STATEFULSET, minimal(statefulset::MINIMAL));
    assert_eq!(set["spec"]["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}}));
    assert_eq!(set["spec"]["persistentVolumeClaimRetentionPolicy"], json!({"whenDeleted": "Retain", "whenScaled": "Retain"}));
}

#[test]
fn tells_what_is_wrong_with_a_deployment() {
    let mut object = minimal(deployment::MINIMAL);
    object["spec"]["replicas"] = (-1).into();
    object["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
    object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}});
    object["spec"]["minReadySeconds"] = 600.into();
    object["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    expect![[r#"
        spec.replicas: Invalid value: -1: must be greater than or equal to 0
        spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`
        spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
        spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0
        spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds
    "#]]
    .assert_eq(&problems(&deployment::DEPLOYMENT, object));
}

#[test]
fn tells_what_is_wrong_with_the_others() {
    let with = |text: &str, change: fn(&mut Value)| {
        let mut object = minimal(text);
        change(&mut object["spec"]);
        object
    };
    expect![[r#"
        spec.selector: Required value
        spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`
    "#]]
    .assert_eq(&problems(&replicaset::REPLICASET, with(replicaset::MINIMAL, |spec| spec["selector"] = Value::Null)));
    expect![[r#"
        spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "120%": must not be greater than 100%
        spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero
    "#]]
    .assert_eq(&problems(
        &daemonset::DAEMONSET,
        with(daemonset::MINIMAL, |spec| spec["updateStrategy"] = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "120%"}})),
    ));
    expect![[r#"
        spec.podManagementPolicy: Invalid value: "Wild": must be 'OrderedReady' or 'Parallel'
        spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0
        spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Keep": supported values: "Retain", "Delete"
    "#]]
    .assert_eq(&problems(
        &statefulset::STATEFULSET,
        with(statefulset::MINIMAL, |spec| {
            spec["podManagementPolicy"] = "Wild".into();
            spec["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}});
            spec["persistentVolumeClaimRetentionPolicy"] = json!({"whenScaled": "Keep"});
        }),
    ));
}

#[test]
fn updates_keep_what_may_not_change() {
    let old = minimal(deployment::MINIMAL);
    let mut new = old.clone();
    new["spec"]["selector"]["matchLabels"]["tier"] = "a".into();
    new["spec"]["template"]["metadata"]["labels"]["tier"] = "a".into();
    expect![[r#"
        spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"a"}}: field is immutable
    "#]]
    .assert_eq(&update_problems(&deployment::DEPLOYMENT, "", old.clone(), new));
    let mut new = old.clone();
    new["status"] = json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": -1});
    expect![[r#"
        status.availableReplicas: Invalid value: -1: must be greater than or equal to 0
        status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas
    "#]]
    .assert_eq(&update_problems(&deployment::DEPLOYMENT, "status", old, new));
}

#[test]
fn prints_rows() {
    let mut object = minimal(deployment::MINIMAL);
    object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    object["status"] = json!({"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1});
    assert_eq!(cells(&deployment::DEPLOYMENT, object), json!(["web", "1/1", 1, 0, "60m", "c", "i", "app=web"]));
    assert_eq!(cells(&replicaset::REPLICASET, minimal(replicaset::MINIMAL)), json!(["web", 1, 0, 0, "<unknown>", "c", "i", "app=web"]));
    assert_eq!(
        cells(&daemonset::DAEMONSET, minimal(daemonset::MINIMAL)),
        json!(["web", 0, 0, 0, 0, 0, "<none>", "<unknown>", "c", "i", "app=web"])
    );
    assert_eq!(cells(&statefulset::STATEFULSET, minimal(statefulset::MINIMAL)), json!(["web", "0/1", "<unknown>", "c", "i"]));
    let mut revision = minimal(controllerrevision::MINIMAL);
    revision["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "u", "controller": true}]);
    assert_eq!(cells(&controllerrevision::CONTROLLERREVISION, revision), json!(["web-1", "daemonset.apps/web", 1, "<unknown>"]));
}
