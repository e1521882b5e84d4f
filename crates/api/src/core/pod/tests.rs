use super::*;
use expect_test::{Expect, expect};
use machinery::errors::Errors;
use machinery::kind::DynKind;
use serde_json::{Value, json};

/// A pod as the server has it after defaulting and preparation.
fn created(value: Value) -> Pod {
    let mut pod: Pod = serde_json::from_value(value).unwrap();
    (POD.default)(&mut pod);
    (POD.on_create)(&mut pod);
    pod
}

fn minimal() -> Value {
    serde_json::from_str(MINIMAL).unwrap()
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut value = minimal();
    change(&mut value["spec"]);
    value
}

fn told(errors: &Errors) -> String {
    errors.causes().iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
}

fn refused(value: Value, expected: Expect) {
    let mut errors = Errors::default();
    (POD.validate)(&created(value), &mut errors);
    expected.assert_eq(&told(&errors));
}

fn update_refused(old: Value, change: impl FnOnce(&mut Value), expected: Expect) {
    let old = created(old);
    let mut value = serde_json::to_value(&old).unwrap();
    change(&mut value["spec"]);
    let mut new: Pod = serde_json::from_value(value).unwrap();
    (POD.default)(&mut new);
    (POD.on_update)(&mut new, &old);
    let mut errors = Errors::default();
    new.metadata.resource_version = Some("1".into());
    (POD.validate)(&new, &mut errors);
    (POD.validate_update)(&new, &old, &mut errors);
    expected.assert_eq(&told(&errors));
}

#[test]
fn fills_in_what_is_left_out() {
    let pod = created(with(|spec| {
        spec["containers"][0]["resources"] = json!({"limits": {"cpu": "0.5"}});
        spec["containers"][0]["livenessProbe"] = json!({"httpGet": {"port": 80}});
        spec["volumes"] = json!([{"name": "v"}, {"name": "s", "secret": {"secretName": "s"}}]);
    }));
    expect![[r#"
        {
          "apiVersion": "v1",
          "kind": "Pod",
          "metadata": {
            "generation": 1,
            "name": "a",
            "namespace": "x"
          },
          "spec": {
            "containers": [
              {
                "image": "i",
                "imagePullPolicy": "Always",
                "livenessProbe": {
                  "failureThreshold": 3,
                  "httpGet": {
                    "path": "/",
                    "port": 80,
                    "scheme": "HTTP"
                  },
                  "periodSeconds": 10,
                  "successThreshold": 1,
                  "timeoutSeconds": 1
                },
                "name": "c",
                "resources": {
                  "limits": {
                    "cpu": "500m"
                  },
                  "requests": {
                    "cpu": "500m"
                  }
                },
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File"
              }
            ],
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": true,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
            "volumes": [
              {
                "emptyDir": {},
                "name": "v"
              },
              {
                "name": "s",
                "secret": {
                  "defaultMode": 420,
                  "secretName": "s"
                }
              }
            ]
          },
          "status": {
            "phase": "Pending",
            "qosClass": "Burstable"
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&serde_json::to_value(&pod).unwrap()).unwrap());
}

#[test]
fn a_minimal_pod_passes() {
    refused(minimal(), expect![""]);
}

#[test]
fn tells_every_mistake_in_containers() {
    refused(
        with(|spec| {
            spec["restartPolicy"] = "Sometimes".into();
            spec["containers"] = json!([
                {"name": "c", "ports": [{"containerPort": 0}, {"containerPort": 80, "hostPort": 99999, "name": "Bad"}],
                    "env": [{"name": "", "valueFrom": {}}, {"name": "a", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}],
                    "volumeMounts": [{"name": "missing", "mountPath": "/a"}, {"name": "v", "mountPath": "/a", "subPath": "../x"}],
                    "livenessProbe": {"successThreshold": 2, "exec": {"command": []}, "tcpSocket": {"port": 1}},
                    "lifecycle": {"preStop": {}},
                    "resources": {"requests": {"cpu": "2", "hugepages-2Mi": "3Mi"}, "limits": {"cpu": "1", "foo": "1"}},
                    "securityContext": {"runAsUser": -1, "privileged": true, "allowPrivilegeEscalation": false, "seccompProfile": {"type": "Localhost"}}},
                {"name": "c", "image": "i"}]);
            spec["initContainers"] = json!([{"name": "c", "image": "i ", "readinessProbe": {"exec": {"command": ["a"]}}}]);
            spec["volumes"] = json!([{"name": "v", "emptyDir": {}}, {"name": "v", "hostPath": {"path": "/a/../b"}, "secret": {}}]);
        }),
        expect![[r#"
            spec.volumes[1].secret: Forbidden: may not specify more than 1 volume type
            spec.volumes[1].hostPath.path: Invalid value: "/a/../b": must not contain '..'
            spec.volumes[1].name: Duplicate value: "v"
            spec.containers[0].image: Required value
            spec.containers[0].ports[0].containerPort: Required value
            spec.containers[0].ports[1].name: Invalid value: "Bad": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.containers[0].ports[1].hostPort: Invalid value: 99999: must be between 1 and 65535, inclusive
            spec.containers[0].env[0].name: Required value
            spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`
            spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x
            spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty
            spec.containers[0].volumeMounts[0].name: Not found: "missing"
            spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique
            spec.containers[0].volumeMounts.subPath: Invalid value: "../x": must not contain '..'
            spec.containers[0].resources.limits[foo]: Invalid value: "foo": must be a standard resource type or fully qualified
            spec.containers[0].resources.limits[foo]: Invalid value: "foo": must be a standard resource for containers
            spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource type or fully qualified
            spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource for containers
            spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi
            spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1
            spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources
            spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive
            spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost
            spec.containers[0].securityContext: Invalid value: {"allowPrivilegeEscalation":false,"privileged":true,"runAsUser":-1,"seccompProfile":{"type":"Localhost"}}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true
            spec.containers[0].lifecycle.preStop: Required value: must specify a handler type
            spec.containers[0].livenessProbe.exec.command: Required value
            spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type
            spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1
            spec.containers[1].name: Duplicate value: "c"
            spec.initContainers[0].name: Duplicate value: "c"
            spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always
            spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"
            spec.initContainers[0].image: Invalid value: "i ": must not have leading or trailing whitespace
        "#]],
    );
}

#[test]
fn tells_every_mistake_of_the_pod() {
    refused(
        with(|spec| {
            spec["dnsPolicy"] = "None".into();
            spec["hostNetwork"] = true.into();
            spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 81}]);
            spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "a b", "operator": "In"}], "matchFields": [{"key": "x", "operator": "In", "values": ["a"]}]}]}},
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "podAffinityTerm": {"topologyKey": ""}}]}});
            spec["tolerations"] = json!([{"operator": "Equal"}, {"key": "a", "operator": "Exists", "value": "x", "tolerationSeconds": 1}]);
            spec["topologySpreadConstraints"] = json!([{"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "Maybe"}]);
            spec["hostAliases"] = json!([{"ip": "1.2.3", "hostnames": ["A"]}]);
            spec["activeDeadlineSeconds"] = 0.into();
            spec["ephemeralContainers"] = json!([{"name": "e", "image": "i"}]);
            spec["schedulingGates"] = json!([{"name": "g"}]);
            spec["nodeName"] = "n".into();
            spec["securityContext"] = json!({"sysctls": [{"name": "net.a", "value": "1"}, {"name": "A", "value": ""}]});
            spec["os"] = json!({"name": "plan9"});
        }),
        expect![[r#"
            spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true
            spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive
            spec.securityContext.sysctls[0].name: Invalid value: "net.a": may not be specified when 'hostNetwork' is true
            spec.securityContext.sysctls[1].name: Invalid value: "A": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key: Invalid value: "x": not a valid field selector key
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must be in the range 1-100
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Required value: can not be empty
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Invalid value: "": name part must be non-empty
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None
            spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero
            spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty
            spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Maybe": supported values: "DoNotSchedule", "ScheduleAnyway"
            spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"
            spec.tolerations[1].effect: Invalid value: "": effect must be 'NoExecute' when `tolerationSeconds` is set
            spec.tolerations[1].operator: Invalid value: "x": value must be empty when `operator` is 'Exists'
            spec.hostAliases[0].ip: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            spec.hostAliases[0].hostnames[0]: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.os: Unsupported value: "plan9": supported values: "linux", "windows"
            spec.ephemeralContainers: Forbidden: cannot be set on create
            spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared
        "#]],
    );
}

#[test]
fn updates_change_little() {
    let old = with(|spec| spec["tolerations"] = json!([{"key": "a", "operator": "Exists"}]));
    update_refused(old.clone(), |spec| spec["containers"][0]["image"] = "other".into(), expect![""]);
    update_refused(
        old.clone(),
        |spec| spec["tolerations"] = json!([{"key": "a", "operator": "Exists", "tolerationSeconds": null}, {"operator": "Exists"}]),
        expect![""],
    );
    update_refused(
        old.clone(),
        |spec| {
            spec["tolerations"] = json!([]);
            spec["nodeName"] = "n".into();
        },
        expect![[r#"
            spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds
            spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)
              nodeName: null became "n"
        "#]],
    );
    update_refused(
        old,
        |spec| spec["containers"] = json!([]),
        expect![[r#"
        spec.containers: Required value
        spec.containers: Forbidden: pod updates may not add or remove containers
    "#]],
    );
}

#[test]
fn gated_pods_can_be_narrowed() {
    let old = with(|spec| {
        spec["schedulingGates"] = json!([{"name": "g"}]);
        spec["nodeSelector"] = json!({"a": "b"});
    });
    assert_eq!(created(old.clone()).status.unwrap().conditions.unwrap()[0].reason.as_deref(), Some("SchedulingGated"));
    update_refused(
        old.clone(),
        |spec| {
            spec["schedulingGates"] = json!([]);
            spec["nodeSelector"] = json!({"a": "b", "c": "d"});
        },
        expect![""],
    );
    update_refused(
        old,
        |spec| {
            spec["schedulingGates"] = json!([{"name": "h"}]);
            spec["nodeSelector"] = json!({});
        },
        expect![[r#"
            spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'
            spec.nodeSelector: Invalid value: {}: only additions to spec.nodeSelector are allowed (no mutations or deletions)
        "#]],
    );
}

#[test]
fn a_resize_changes_cpu_and_memory_only() {
    let mut old = created(with(|spec| spec["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}})));
    old.status.as_mut().unwrap().qos_class = Some("Burstable".into());
    let resized = |resources: Value| {
        let mut value = serde_json::to_value(&old).unwrap();
        value["spec"]["containers"][0]["resources"] = resources;
        value["spec"]["containers"][0]["image"] = "not taken".into();
        let mut new: Pod = serde_json::from_value(value).unwrap();
        POD.prepare_subresource("resize", &mut new, &old);
        let mut errors = Errors::default();
        POD.validate_subresource("resize", &new, &old, &mut errors);
        (new.metadata.generation, told(&errors))
    };
    assert_eq!(resized(json!({"requests": {"cpu": "2"}})), (Some(2), String::new()));
    let (_, refused) = resized(json!({}));
    expect![[r#"
        spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing
        spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed
    "#]]
    .assert_eq(&refused);
}

#[test]
fn status_keeps_what_its_writer_does_not_know() {
    let mut old = created(minimal());
    old.status.as_mut().unwrap().container_statuses =
        serde_json::from_value(json!([{"name": "c", "state": {"terminated": {"exitCode": 0}}}])).unwrap();
    old.spec.as_mut().unwrap().restart_policy = Some("Never".into());
    let mut new = old.clone();
    new.spec = None;
    new.status = serde_json::from_value(json!({"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.2"}],
        "containerStatuses": [{"name": "c", "state": {"running": {}}}]}))
    .unwrap();
    POD.prepare_subresource("status", &mut new, &old);
    assert_eq!(new.spec, old.spec);
    assert_eq!(new.status.as_ref().unwrap().qos_class.as_deref(), Some("BestEffort"));
    let mut errors = Errors::default();
    POD.validate_subresource("status", &new, &old, &mut errors);
    expect![[r#"
        status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state
        status.podIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `podIP`
    "#]]
    .assert_eq(&told(&errors));
}

#[test]
fn grace_is_for_pods_that_run_somewhere() {
    let mut pod = created(minimal());
    assert_eq!(POD.grace(&pod, Some(9)), Some(0));
    pod.spec.as_mut().unwrap().node_name = Some("n".into());
    assert_eq!(POD.grace(&pod, None), Some(30));
    assert_eq!(POD.grace(&pod, Some(-3)), Some(1));
    pod.status.as_mut().unwrap().phase = Some("Failed".into());
    assert_eq!(POD.grace(&pod, None), Some(0));
}

fn row(status: Value, spec: impl FnOnce(&mut Value), deleted: bool) -> Vec<Value> {
    let mut pod = created(with(spec));
    pod.status = serde_json::from_value(status).unwrap();
    pod.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    pod.metadata.deletion_timestamp = deleted.then(|| pod.metadata.creation_timestamp.clone()).flatten();
    POD.row(&pod, "2026-01-01T00:10:00Z".parse().unwrap())
}

#[test]
fn rows_tell_how_pods_are() {
    let running = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIPs": [{"ip": "10.0.0.1"}],
        "containerStatuses": [{"name": "c", "ready": true, "restartCount": 2, "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:05:00Z"}}}]});
    assert_eq!(
        row(running.clone(), |_| {}, false),
        [
            json!("a"),
            json!("1/1"),
            json!("Running"),
            json!("2 (5m ago)"),
            json!("10m"),
            json!("10.0.0.1"),
            json!("<none>"),
            json!("<none>"),
            json!("<none>")
        ]
    );
    assert_eq!(row(running, |_| {}, true)[2], "Terminating");
    let waiting = json!({"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
    assert_eq!(row(waiting, |_| {}, false)[2], "ImagePullBackOff");
    let init = |spec: &mut Value| spec["initContainers"] = json!([{"name": "i", "image": "i"}, {"name": "j", "image": "i"}]);
    let starting = json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}},
        {"name": "j", "state": {"running": {}}}]});
    assert_eq!(row(starting, init, false)[2], "Init:1/2");
    let failed = json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 3}}}]});
    assert_eq!(row(failed, init, false)[2], "Init:ExitCode:3");
    let done = json!({"phase": "Succeeded", "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]});
    assert_eq!(row(done, |_| {}, false)[1..3], [json!("0/1"), json!("Completed")]);
}

#[test]
fn warns_of_what_does_nothing() {
    let pod = created(with(|spec| {
        spec["containers"][0]["env"] = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
        spec["containers"][0]["ports"] = json!([{"containerPort": 80}, {"containerPort": 80}]);
    }));
    assert_eq!(
        (POD.warnings)(&pod),
        [
            "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        ]
    );
}

#[test]
fn labels_become_terms_of_selectors() {
    let mut value = with(|spec| {
        spec["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {}, "matchLabelKeys": ["app", "absent"]}]);
    });
    value["metadata"]["labels"] = json!({"app": "web"});
    let pod = created(value);
    let selector = pod.spec.unwrap().topology_spread_constraints.unwrap().remove(0).label_selector.unwrap();
    assert_eq!(serde_json::to_value(selector).unwrap(), json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}));
}
