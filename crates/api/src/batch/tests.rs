use super::*;
use crate::check::{cells, created, problems, update_problems};
use expect_test::expect;
use serde_json::{Value, json};

fn minimal(text: &str) -> Value {
    serde_json::from_str(text).expect("test data is JSON")
}

fn job(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = created(&job::JOB, minimal(job::MINIMAL));
    change(&mut object);
    object
}

#[test]
fn a_job_gets_defaults_and_a_selector() {
    let object = job(|_| {});
    let mut spec = object["spec"].clone();
    assert_eq!(
        spec["template"]["metadata"]["labels"],
        json!({"job-name": "sum", "batch.kubernetes.io/job-name": "sum", "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u"})
    );
    spec.as_object_mut().map(|spec| spec.remove("template"));
    assert_eq!(
        spec,
        json!({"completions": 1, "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false, "manualSelector": false,
            "podReplacementPolicy": "TerminatingOrFailed", "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}})
    );
    assert_eq!(problems(&job::JOB, object), "");
}

#[test]
fn tells_what_is_wrong_with_a_job() {
    let object = job(|job| {
        job["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure".into();
        job["spec"]["template"]["metadata"]["labels"]["job-name"] = "other".into();
        job["spec"]["maxFailedIndexes"] = 1.into();
        job["spec"]["managedBy"] = "me".into();
        job["spec"]["podFailurePolicy"] = json!({"rules": [
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [2, 0, 2], "containerName": "x"}},
            {"action": "Eat"}]});
    });
    expect![[r#"
        spec.template.metadata.labels[job-name]: Invalid value: {"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"sum","controller-uid":"u","job-name":"other"}: must be 'sum'
        spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified
        spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")
        spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode
        spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set
        spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer names in the pod template
        spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator
        spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 2
        spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0,2]: must be ordered
        spec.podFailurePolicy.rules[1].action: Unsupported value: "Eat": supported values: "Count", "FailIndex", "FailJob", "Ignore"
        spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required
        spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"
        spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified
    "#]]
    .assert_eq(&problems(&job::JOB, object));
}

#[test]
fn indexed_jobs_have_rules_of_their_own() {
    let object = job(|job| {
        job["metadata"]["name"] = "a.b".into();
        job["spec"]["manualSelector"] = true.into();
        job["spec"]["completionMode"] = "Indexed".into();
        job["spec"]["completions"] = 5.into();
        job["spec"]["successPolicy"] =
            json!({"rules": [{"succeededIndexes": "0-2,1"}, {"succeededIndexes": "0,2-3", "succeededCount": 6}, {}]});
    });
    expect![[r#"
        spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-2,1": error parsing succeededIndexes: non-increasing order, previous: 2, current: 1
        spec.successPolicy.rules[1].succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)
        spec.successPolicy.rules[1].succeededCount: Invalid value: 6: must be less than or equal to 3 (the number of indexes in the specified succeededIndexes field)
        spec.successPolicy.rules[2]: Required value: at least one of succeededCount or succeededIndexes must be specified
        metadata.name: Invalid value: "a.b": will not able to create pod with invalid DNS label: a.b-4
    "#]]
    .assert_eq(&problems(&job::JOB, object));
}

#[test]
fn a_jobs_template_changes_only_while_it_is_suspended() {
    let change = |job: &mut Value| job["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"});
    let running = job(|_| {});
    let mut changed = running.clone();
    change(&mut changed);
    assert!(update_problems(&job::JOB, "", running, changed).starts_with("spec.template: Invalid value"));
    let suspended = job(|job| job["spec"]["suspend"] = true.into());
    let mut changed = suspended.clone();
    change(&mut changed);
    assert_eq!(update_problems(&job::JOB, "", suspended.clone(), changed), "");
    let mut changed = suspended.clone();
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
    changed["spec"]["completions"] = 7.into();
    let told = update_problems(&job::JOB, "", suspended, changed);
    assert!(told.starts_with("spec.completions: Invalid value: 7: field is immutable\nspec.template: Invalid value"), "{told}");
}

#[test]
fn a_finished_job_stays_finished() {
    let status = |value: Value| job(|job| job["status"] = value);
    let done = |names: &[&str]| names.iter().map(|name| json!({"type": name, "status": "True"})).collect::<Value>();
    let running = status(json!({"active": 1, "startTime": "2026-01-01T00:00:00Z"}));
    let complete = status(json!({"succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:00Z",
        "conditions": done(&["Complete", "SuccessCriteriaMet"])}));
    assert_eq!(update_problems(&job::JOB, "status", running.clone(), complete.clone()), "");
    expect![[r#"
        status.completionTime: Required value: completionTime is required for Complete jobs
        status.active: Invalid value: 1: active>0 is invalid for finished job
    "#]]
    .assert_eq(&update_problems(
        &job::JOB,
        "status",
        running.clone(),
        status(json!({"active": 1, "startTime": "2026-01-01T00:00:00Z", "conditions": done(&["Complete", "SuccessCriteriaMet"])})),
    ));
    expect![[r#"
        status.conditions: Invalid value: cannot disable the terminal Complete=True condition
        status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition
        status.succeeded: Invalid value: 0: cannot decrease the succeeded counter
    "#]]
    .assert_eq(&update_problems(&job::JOB, "status", complete, running));
}

#[test]
fn prints_rows() {
    let object = job(|job| {
        job["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        job["status"] = json!({"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:05Z", "succeeded": 1,
            "conditions": [{"type": "Complete", "status": "True"}]});
    });
    assert_eq!(cells(&job::JOB, object), json!(["sum", "Complete", "1/1", "65s", "60m", "c", "i", "batch.kubernetes.io/controller-uid=u"]));
    assert_eq!(
        cells(&cronjob::CRONJOB, minimal(cronjob::MINIMAL)),
        json!(["nightly", "0 3 * * *", "<none>", "False", 0, "<none>", "<unknown>", "c", "i", "<none>"])
    );
}

#[test]
fn tells_what_is_wrong_with_a_cronjob() {
    let mut object = minimal(cronjob::MINIMAL);
    object["metadata"]["name"] = "n".repeat(53).into();
    object["spec"]["schedule"] = "TZ=UTC * * *".into();
    object["spec"]["timeZone"] = "Local".into();
    object["spec"]["concurrencyPolicy"] = "Maybe".into();
    object["spec"]["jobTemplate"]["spec"]["selector"] = json!({});
    expect![[r#"
        spec.schedule: Invalid value: "TZ=UTC * * *": expected exactly 5 fields, found 3: [* * *]
        spec.schedule: Invalid value: "TZ=UTC * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead
        spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones
        spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"
        spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated
        metadata.name: Invalid value: "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn": must be no more than 52 characters
    "#]]
    .assert_eq(&problems(&cronjob::CRONJOB, object));
}
