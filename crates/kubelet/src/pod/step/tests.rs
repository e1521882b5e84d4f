use crate::pod::effect::Waiting;
use crate::pod::probe::ProbeKind;
use crate::testing::story::{Story, story};
use expect_test::{Expect, expect};
use serde_json::json;

fn check(story: Story, expected: Expect) {
    expected.assert_eq(&story.text);
}

fn two() -> serde_json::Value {
    json!({"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]})
}

#[test]
fn a_plain_pod_lives_and_is_deleted() {
    check(
        story(two()).settle().deleted(30),
        expect![[r#"
           0s prepare
           0s sandbox 0
           0s start a
           0s start b
        = Running [a: running ready, b: running ready]
        - deleted
           0s kill pod in 30s: b a, 1 sandbox
           0s clean up
           0s delete object
           0s erase
        = Succeeded [a: ended 0 Completed, b: ended 0 Completed]
    "#]],
    );
}

#[test]
fn a_crashing_container_backs_off() {
    let story = story(json!({})).settle().exits("a", 1).exits("a", 1).next().after(1).exits("a", 1).next();
    check(
        story,
        expect![[r#"
           0s prepare
           0s sandbox 0
           0s start a
        = Running [a: running ready]
        - a exits with 1
           0s start a
        = Running [a: running ready ×1]
        - a exits with 1
           0s remove 1 containers, 0 sandboxes
           0s event BackOff: Back-off restarting failed container a in pod p_default(u)
        = Running [a: CrashLoopBackOff ×1]
          10s start a
        = Running [a: running ready ×2]
        = Running [a: running ready ×2]
        - a exits with 1
          11s remove 1 containers, 0 sandboxes
          11s event BackOff: Back-off restarting failed container a in pod p_default(u)
        = Running [a: CrashLoopBackOff ×2]
          31s start a
        = Running [a: running ready ×3]
    "#]],
    );
}

#[test]
fn a_job_succeeds_or_fails() {
    check(
        story(json!({"restartPolicy": "Never"})).settle().exits("a", 0),
        expect![[r#"
           0s prepare
           0s sandbox 0
           0s start a
        = Running [a: running ready]
        - a exits with 0
           0s kill pod in 30s: , 1 sandbox
           0s clean up
        = Succeeded [a: ended 0 Completed]
    "#]],
    );
    let mut spec = two();
    spec["restartPolicy"] = "OnFailure".into();
    check(
        story(spec).settle().exits("a", 0).exits("b", 2).exits("b", 0),
        expect![[r#"
           0s prepare
           0s sandbox 0
           0s start a
           0s start b
        = Running [a: running ready, b: running ready]
        - a exits with 0
        = Running [a: ended 0 Completed, b: running ready]
        - b exits with 2
           0s start b
        = Running [a: ended 0 Completed, b: running ready ×1]
        - b exits with 0
           0s kill pod in 30s: , 1 sandbox
           0s clean up
        = Succeeded [a: ended 0 Completed, b: ended 0 Completed ×1]
    "#]],
    );
}

#[test]
fn init_containers_go_one_by_one_and_sidecars_stay() {
    let init = json!([
        {"name": "one", "image": "x"},
        {"name": "side", "image": "x", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}},
        {"name": "two", "image": "x"},
    ]);
    let story = story(json!({"initContainers": init, "restartPolicy": "Never"})).settle();
    check(
        story.exits("one", 0).exits("two", 0).exits("side", 1).exits("a", 0),
        expect![[r#"
           0s prepare
           0s sandbox 0
           0s start one
        = Pending [one: running, side: PodInitializing, two: PodInitializing, a: PodInitializing]
        - one exits with 0
           0s start side
           0s startup probe side
           0s start two
        = Pending [one: ended 0 Completed ready, side: running ready, two: running, a: PodInitializing]
        - two exits with 0
           0s start a
        = Running [one: ended 0 Completed ready, side: running ready, two: ended 0 Completed ready, a: running ready]
        - side exits with 1
           0s start side
           0s startup probe side
        = Running [one: ended 0 Completed ready, side: running ready ×1, two: ended 0 Completed ready, a: running ready]
        - a exits with 0
           0s kill pod in 30s: side, 1 sandbox
           0s clean up
        = Succeeded [one: ended 0 Completed ready, side: ended 0 Completed ×1, two: ended 0 Completed ready, a: ended 0 Completed]
    "#]],
    );
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    let spec = json!({"initContainers": [{"name": "one", "image": "x"}], "restartPolicy": "Never"});
    check(
        story(spec).settle().exits("one", 3),
        expect![[r#"
           0s prepare
           0s sandbox 0
           0s start one
        = Pending [one: running, a: PodInitializing]
        - one exits with 3
           0s kill pod in 30s: , 1 sandbox
           0s clean up
        = Failed [one: ended 3 Error, a: PodInitializing]
    "#]],
    );
}

#[test]
fn a_failed_liveness_probe_restarts_the_container() {
    let probe = json!({"tcpSocket": {"port": 1}, "periodSeconds": 5, "failureThreshold": 2, "terminationGracePeriodSeconds": 7});
    let story = story(json!({"containers": [{"name": "a", "image": "x", "livenessProbe": probe}]})).settle();
    let story = story.unwell("a", ProbeKind::Liveness);
    check(
        story.next().next(),
        expect![[r#"
           0s prepare
           0s sandbox 0
           0s start a
           0s liveness probe a
        = Running [a: running ready]
           5s liveness probe a
        = Running [a: running ready]
          10s liveness probe a
          10s kill a in 7s: Container a failed liveness probe, will be restarted
          10s start a
          10s liveness probe a
        = Running [a: running ready ×1]
    "#]],
    );
}

#[test]
fn readiness_follows_startup() {
    let probe = json!({"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 30});
    let container =
        json!({"name": "a", "image": "x", "startupProbe": probe, "readinessProbe": {"tcpSocket": {"port": 1}, "initialDelaySeconds": 3}});
    let story = story(json!({"containers": [container]})).unwell("a", ProbeKind::Startup);
    let story = story.settle().next().with(|story| story.unwell.clear());
    check(
        story.next().next(),
        expect![[r#"
               0s prepare
               0s sandbox 0
               0s start a
               0s startup probe a
            = Running [a: running]
               1s startup probe a
            = Running [a: running]
               2s startup probe a
            = Running [a: running]
               3s readiness probe a
            = Running [a: running ready]
        "#]],
    );
}

#[test]
fn a_missing_image_backs_off_and_says_why() {
    let story = story(json!({})).with(|story| drop(story.failing.insert("a".into(), Waiting::new("ErrImagePull", "not found"))));
    let story = story.settle();
    let pulling = Waiting::new("ImagePullBackOff", "Back-off pulling image \"img\": ErrImagePull: not found");
    let story = story.with(|story| drop(story.failing.insert("a".into(), pulling))).next();
    check(
        story.with(|story| story.failing.clear()).next(),
        expect![[r#"
           0s prepare
           0s sandbox 0
           0s start a
        = Pending [a: ErrImagePull]
           3s start a
        = Pending [a: ImagePullBackOff]
          10s start a
        = Running [a: running ready]
    "#]],
    );
}

#[test]
fn a_deadline_ends_the_pod() {
    check(
        story(json!({"activeDeadlineSeconds": 60})).settle().next(),
        expect![[r#"
               0s prepare
               0s sandbox 0
               0s start a
            = Running [a: running ready]
              60s event DeadlineExceeded: Pod was active on the node longer than the specified deadline
              60s kill pod in 30s: a, 1 sandbox
              60s clean up
            = Failed (DeadlineExceeded) [a: ended 0 Completed]
        "#]],
    );
}

#[test]
fn a_lost_sandbox_is_made_anew() {
    let story = story(json!({})).settle().with(|story| story.observed.sandboxes[0].ready = false);
    check(
        story.exits("a", 137),
        expect![[r#"
           0s prepare
           0s sandbox 0
           0s start a
        = Running [a: running ready]
        - a exits with 137
           0s event SandboxChanged: Pod sandbox changed, it will be killed and re-created.
           0s sandbox 1
           0s start a
        = Running [a: running ready ×1]
    "#]],
    );
}

#[test]
fn a_refused_pod_never_starts() {
    let story = story(json!({})).with(|story| story.record.refuse("OutOfcpu", "Pod was rejected: no", story.now)).settle();
    check(
        story.deleted(0),
        expect![[r#"
               0s clean up
            = Failed (OutOfcpu) []
            - deleted
               0s delete object
               0s erase
            = Failed (OutOfcpu) []
        "#]],
    );
}

#[test]
fn a_restarted_kubelet_restarts_nothing() {
    let first = story(two()).settle();
    let (observed, status) = (first.observed.clone(), first.record.status.clone());
    let again = story(two()).with(|story| (story.observed, story.record.status) = (observed, status));
    check(
        again.settle(),
        expect![[r#"
           0s prepare
        = Running [a: running ready, b: running ready]
    "#]],
    );
}

#[test]
fn a_new_image_restarts_the_container_whatever_the_policy() {
    let story = story(json!({"restartPolicy": "Never"})).settle();
    check(
        story.with(|story| story.observed.containers[0].hash = "other".into()).settle(),
        expect![[r#"
           0s prepare
           0s sandbox 0
           0s start a
        = Running [a: running ready]
           0s kill a in 30s: Container a definition changed, will be restarted
           0s start a
        = Running [a: running ready ×1]
    "#]],
    );
}
