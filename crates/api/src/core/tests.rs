use super::*;
use crate::registry;
use expect_test::{Expect, expect};
use machinery::codec::protobuf;
use machinery::errors::Errors;
use machinery::object::AnyObject;
use machinery::schema;
use serde_json::{Value, json};

fn kind_of(value: &Value) -> &'static dyn DynKind {
    let name = value["kind"].as_str().unwrap();
    registry().by_kind("", "v1", name).unwrap().kind
}

fn made(value: Value) -> (&'static dyn DynKind, Box<dyn AnyObject>) {
    let kind = kind_of(&value);
    let mut object = kind.decode(value).unwrap();
    kind.default(&mut *object);
    kind.on_create(&mut *object);
    (kind, object)
}

fn told(errors: &Errors) -> String {
    errors.causes().iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
}

fn refused(value: Value, expected: Expect) {
    let (kind, object) = made(value);
    let mut errors = Errors::default();
    kind.validate(&*object, &mut errors);
    expected.assert_eq(&told(&errors));
}

fn change_refused(old: Value, new: Value, expected: Expect) {
    let (kind, old) = made(old);
    let mut new = kind.decode(new).unwrap();
    kind.default(&mut *new);
    kind.on_update(&mut *new, &*old);
    let mut errors = Errors::default();
    kind.validate(&*new, &mut errors);
    kind.validate_update(&*new, &*old, &mut errors);
    expected.assert_eq(&told(&errors));
}

fn object(kind: &str, rest: Value) -> Value {
    let mut value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "namespace": "x"}});
    value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    value
}

#[test]
fn minimal_objects_pass_and_keep_their_defaults() {
    for minimal in MINIMALS {
        let value: Value = serde_json::from_str(minimal).unwrap();
        let (kind, object) = made(value);
        let name = kind.names().kind;
        let mut errors = Errors::default();
        kind.validate(&*object, &mut errors);
        crate::meta::validate(object.meta(), kind.names().namespaced, kind.name_rule(), &mut errors);
        assert_eq!(told(&errors), "", "{name}");
        let mut again = object.boxed_clone();
        kind.default(&mut *again);
        assert_eq!(again.to_value(), object.to_value(), "{name} gets its defaults once");
        let message = schema::lookup(kind.names().schema).unwrap();
        let bytes = protobuf::encode(&object.to_value(), message).unwrap();
        let back = kind.decode(protobuf::decode(&bytes, message).unwrap()).unwrap();
        let mut back = back.boxed_clone();
        kind.default(&mut *back);
        assert_eq!(crate::access::differences(&object.to_value(), &back.to_value()), "", "{name} through protobuf");
        let columns = kind.columns();
        assert!(columns.is_empty() || kind.row(&*object, "2026-01-01T00:00:00Z".parse().unwrap()).len() == columns.len());
        for field in kind.field_names() {
            assert!(kind.field(&*object, field).is_some());
        }
    }
}

#[test]
fn what_is_immutable_stays() {
    let map = |data: Value| object("ConfigMap", json!({"immutable": true, "data": data}));
    change_refused(
        map(json!({"a": "b"})),
        map(json!({"a": "c"})),
        expect![[r#"
        data: Forbidden: field is immutable when `immutable` is set
    "#]],
    );
    let secret = |kind: &str| object("Secret", json!({"type": kind}));
    change_refused(
        secret("a"),
        secret("b"),
        expect![[r#"
        type: Invalid value: "b": field is immutable
    "#]],
    );
    change_refused(object("Secret", json!({"type": "a"})), object("Secret", json!({"type": "a", "stringData": {"k": "v"}})), expect![""]);
}

#[test]
fn string_data_becomes_data() {
    let (_, secret) = made(object("Secret", json!({"data": {"a": "MQ=="}, "stringData": {"a": "2", "b": "3"}})));
    assert_eq!(secret.to_value()["data"], json!({"a": "Mg==", "b": "Mw=="}));
    assert_eq!(secret.to_value().get("stringData"), None);
}

#[test]
fn tells_what_is_wrong_with_data() {
    refused(
        object("ConfigMap", json!({"data": {"a b": "", "c": ""}, "binaryData": {"c": "", "..": ""}})),
        expect![[r#"
        data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
        data[c]: Invalid value: "c": duplicate of key present in binaryData
        binaryData[..]: Invalid value: "..": must not be '..'
    "#]],
    );
    refused(
        object("Secret", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}})),
        expect![[r#"
        data[tls.key]: Required value
    "#]],
    );
    refused(
        object("Secret", json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "x"}})),
        expect![[r#"
        data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": expected value at line 1 column 1
    "#]],
    );
}

#[test]
fn namespaces_have_their_finalizer_and_label() {
    let (kind, namespace) = made(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}));
    assert_eq!(
        namespace.to_value(),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
    );
    let mut finalized =
        kind.decode(json!({"kind": "Namespace", "metadata": {"name": "a"}, "spec": {"finalizers": ["b", "x.y/z"]}})).unwrap();
    kind.prepare_subresource("finalize", &mut *finalized, &*namespace);
    assert_eq!(finalized.to_value()["status"]["phase"], "Active");
    let mut errors = Errors::default();
    kind.validate_subresource("finalize", &*finalized, &*namespace, &mut errors);
    expect![[r#"
        spec.finalizers[0]: Invalid value: "b": name is neither a standard finalizer name nor is it fully qualified
    "#]]
    .assert_eq(&told(&errors));
}

#[test]
fn tells_what_is_wrong_with_nodes() {
    let node = |spec: Value, status: Value| json!({"kind": "Node", "metadata": {"name": "a"}, "spec": spec, "status": status});
    refused(
        node(
            json!({"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"], "taints": [{"key": "a", "effect": "Maybe"}, {"key": "a", "effect": "Maybe"}]}),
            json!({"capacity": {"pods": "1500m", "cpu": "-1"}}),
        ),
        expect![[r#"
            metadata.taints[0].effect: Unsupported value: "Maybe": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            metadata.taints[1].effect: Unsupported value: "Maybe": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            metadata.taints[1]: Duplicate value: {"effect":"Maybe","key":"a"}
            status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0
            status.capacity.pods: Invalid value: "1500m": must be an integer
            status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0
            status.allocatable.pods: Invalid value: "1500m": must be an integer
            spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one CIDR for each IP family
        "#]],
    );
    change_refused(
        node(json!({"podCIDR": "10.0.0.0/24", "providerID": "x"}), json!({})),
        node(json!({"podCIDR": "10.0.1.0/24", "providerID": "y"}), json!({})),
        expect![[r#"
            spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid
            spec.providerID: Invalid value: null: field cannot be modified once set
        "#]],
    );
}

#[test]
fn tells_what_is_wrong_with_bounds() {
    refused(
        object(
            "LimitRange",
            json!({"spec": {"limits": [
            {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "500m"}},
            {"type": "Pod", "default": {"cpu": "1"}}, {"type": "PersistentVolumeClaim"}, {"type": "Other"}]}}),
        ),
        expect![[r#"
            spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1
            spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1
            spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1
            spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1
            spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod'
            spec.limits[2].limits: Required value: either minimum or maximum storage value is required, but neither was provided
            spec.limits[3].type: Invalid value: "Other": must be a standard limit type or fully qualified
        "#]],
    );
    refused(
        object(
            "ResourceQuota",
            json!({"spec": {"hard": {"cpu": "-1", "storage": "1", "pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"],
            "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}}),
        ),
        expect![[r#"
            spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0
            spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota
            spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource
            spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes
            spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector
        "#]],
    );
}

#[test]
fn tells_what_is_wrong_with_storage() {
    refused(
        json!({"kind": "PersistentVolume", "metadata": {"name": "a"}, "spec": {"local": {"path": "/a"}, "nfs": {}}}),
        expect![[r#"
            spec.accessModes: Required value
            spec.capacity: Required value
            spec.capacity: Unsupported value: null: supported values: "storage"
            spec.local: Forbidden: may not specify more than 1 volume type
            spec.nodeAffinity: Required value: Local volume requires node affinity
            spec.nfs.server: Required value
            spec.nfs.path: Required value
            spec.nfs.path: Invalid value: "": must be an absolute path
        "#]],
    );
    let volume = |path: &str| {
        json!({"kind": "PersistentVolume", "metadata": {"name": "a"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": path}}})
    };
    change_refused(
        volume("/a"),
        volume("/b"),
        expect![[r#"
        spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation
          hostPath.path: "/a" became "/b"
    "#]],
    );
    refused(
        object("PersistentVolumeClaim", json!({"spec": {"accessModes": ["ReadWriteOncePod", "Sometimes", "ReadOnlyMany"]}})),
        expect![[r#"
            spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"
            spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes
            spec.resources[storage]: Required value
        "#]],
    );
    let claim = |size: &str| {
        object(
            "PersistentVolumeClaim",
            json!({"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}}),
        )
    };
    change_refused(
        claim("1Gi"),
        claim("2Gi"),
        expect![[r#"
        spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims
          resources.requests.storage: "1Gi" became "2Gi"
    "#]],
    );
}

#[test]
fn tells_what_is_wrong_with_the_rest() {
    refused(
        object("Endpoints", json!({"subsets": [{}, {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 0}, {"port": 1}]}]})),
        expect![[r#"
            subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`
            subsets[1].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            subsets[1].ports[0].name: Required value
            subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            subsets[1].ports[1].name: Required value
        "#]],
    );
    refused(
        object("Event", json!({"involvedObject": {"namespace": "y"}})),
        expect![[r#"
        involvedObject.namespace: Invalid value: "y": does not match event.namespace
    "#]],
    );
    refused(
        object("Event", json!({"involvedObject": {"namespace": "x"}, "eventTime": "2026-01-01T00:00:00.000000Z"})),
        expect![[r#"
        reportingComponent: Required value
        reportingComponent: Invalid value: "": name part must be non-empty
        reportingComponent: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        reportingInstance: Required value
        action: Required value
        reason: Required value
    "#]],
    );
    refused(
        object(
            "ReplicationController",
            json!({"spec": {"replicas": -1, "selector": {"a": "b"}, "template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}),
        ),
        expect![[r#"
            spec.replicas: Invalid value: -1: must be greater than or equal to 0
            spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`
            spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
        "#]],
    );
}

#[test]
fn rows_of_the_core_group() {
    let row = |value: Value| {
        let kind = kind_of(&value);
        let object = kind.decode(value).unwrap();
        kind.row(&*object, "2026-01-01T00:01:00Z".parse().unwrap())
    };
    let created = "2026-01-01T00:00:00Z";
    let event = json!({"kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"}, "type": "Normal",
        "reason": "Started", "message": " m ", "count": 3, "firstTimestamp": created, "lastTimestamp": created, "source": {"component": "k", "host": "h"}});
    assert_eq!(serde_json::to_string(&row(event)).unwrap(), r#"["60s","Normal","Started","pod/p","","k, h","m","60s",3,"e"]"#);
    let endpoints = json!({"kind": "Endpoints", "metadata": {"name": "e", "creationTimestamp": created},
        "subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "::1"}], "ports": [{"port": 80}, {"port": 81}]}]});
    assert_eq!(row(endpoints)[1], "10.0.0.1:80,[::1]:80,10.0.0.1:81 + 1 more...");
    let node = json!({"kind": "Node", "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"kubeletVersion": "v1", "kernelVersion": "6", "architecture": "amd64"}}});
    let row = row(node);
    assert_eq!((&row[1], &row[2], &row[8]), (&json!("Ready,SchedulingDisabled"), &json!("control-plane"), &json!("6 (amd64)")));
}
