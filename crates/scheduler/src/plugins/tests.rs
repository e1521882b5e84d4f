//! Each rule by a table: nodes, pods that are there, a pod, and where it may go.
use crate::cluster::Cluster;
use crate::cycle::{Decision, decide};
use crate::plugins::PLUGINS;
use crate::pod::PodInfo;
use expect_test::{Expect, expect};
use serde_json::{Value, from_value, json};
use std::sync::Arc;

fn merged(mut base: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = match base[key].is_object() && value.is_object() {
            true => merged(base[key].take(), value),
            false => value.clone(),
        };
    }
    base
}

/// Nodes a, b, c … with four CPUs and a zone each, changed as given.
fn cluster(nodes: &[Value], pods: &[Value]) -> Cluster {
    let mut cluster = Cluster::default();
    for (node, name) in nodes.iter().zip(["a", "b", "c", "d"]) {
        let base = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
        cluster.set_node(Arc::new(from_value(merged(base, node)).unwrap()));
    }
    for value in pods {
        let info = info(value);
        let node = info.node_name().to_string();
        cluster.set_pod(info, &node);
    }
    cluster
}

fn info(value: &Value) -> Arc<PodInfo> {
    let base = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    Arc::new(PodInfo::new(Arc::new(from_value(merged(base, value)).unwrap())))
}

/// Where the pod goes (the first of equals), or why nowhere.
fn check(nodes: &[Value], pods: &[Value], pod: Value, expected: Expect) {
    match decide(&info(&pod), &cluster(nodes, pods), PLUGINS, |_| 0) {
        Decision::Node(node) => expected.assert_eq(&node),
        Decision::Unschedulable(failure) => expected.assert_eq(&failure.message()),
    }
}

fn cpu(amount: &str) -> Value {
    json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": amount}}}])
}

#[test]
fn room() {
    let there = [json!({"metadata": {"name": "x"}, "spec": {"nodeName": "a", "containers": cpu("3")}})];
    check(&[json!({}), json!({})], &there, json!({"spec": {"containers": cpu("2")}}), expect!["b"]);
    check(&[json!({}), json!({})], &there, json!({"spec": {"containers": cpu("1")}}), expect!["b"]);
    check(&[json!({})], &there, json!({"spec": {"containers": cpu("2")}}), expect!["0/1 nodes are available: 1 Insufficient cpu."]);
    check(&[], &[], json!({}), expect!["no nodes available to schedule pods"]);
}

#[test]
fn taints_and_cordons() {
    let tainted = json!({"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}});
    let cordoned = json!({"spec": {"unschedulable": true}});
    let nodes = [tainted.clone(), cordoned];
    check(
        &nodes,
        &[],
        json!({}),
        expect!["0/2 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable."],
    );
    check(&nodes, &[], json!({"spec": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}}), expect!["a"]);
    let soft = json!({"spec": {"taints": [{"key": "slow", "effect": "PreferNoSchedule"}]}});
    check(&[soft, json!({})], &[], json!({}), expect!["b"]);
}

#[test]
fn node_affinity_and_selectors() {
    let ssd = json!({"metadata": {"labels": {"disk": "ssd"}}});
    check(&[json!({}), ssd.clone()], &[], json!({"spec": {"nodeSelector": {"disk": "ssd"}}}), expect!["b"]);
    let only = |expression: Value| {
        json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [expression]}}}}})
    };
    check(
        &[json!({}), ssd.clone()],
        &[],
        only(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]})),
        expect!["b"],
    );
    check(
        std::slice::from_ref(&ssd),
        &[],
        only(json!({"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["ssd"]}]})),
        expect!["0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."],
    );
    let rather = json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
        [{"weight": 10, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}]}}}});
    check(&[json!({}), ssd], &[], rather, expect!["b"]);
}

#[test]
fn host_ports() {
    let port = |ip: &str| json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80, "hostIP": ip}]}]});
    let there = [json!({"metadata": {"name": "x"}, "spec": merged(json!({"nodeName": "a"}), &port("127.0.0.1"))})];
    check(&[json!({})], &there, json!({"spec": port("10.0.0.1")}), expect!["a"]);
    check(
        &[json!({})],
        &there,
        json!({"spec": port("0.0.0.0")}),
        expect!["0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."],
    );
}

fn zoned(zone: &str) -> Value {
    json!({"metadata": {"labels": {"zone": zone}}})
}

fn app(name: &str, node: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"nodeName": node}})
}

#[test]
fn pods_near_and_away_from_pods() {
    let term = json!([{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]);
    let rule = |kind: &str, own: &str| json!({"metadata": {"labels": {"app": own}}, "spec": {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": term}}}});
    let nodes = [zoned("1"), zoned("2")];
    check(&nodes, &[app("x", "b")], rule("podAffinity", "other"), expect!["b"]);
    check(&nodes, &[app("x", "b")], rule("podAntiAffinity", "other"), expect!["a"]);
    check(&nodes, &[], rule("podAffinity", "web"), expect!["a"]);
    check(&nodes, &[], rule("podAffinity", "other"), expect!["0/2 nodes are available: 2 node(s) didn't match pod affinity rules."]);
    let mut shy = rule("podAntiAffinity", "shy");
    shy["metadata"]["name"] = "shy".into();
    shy["spec"]["nodeName"] = "a".into();
    check(&nodes, &[shy], json!({"metadata": {"labels": {"app": "web"}}}), expect!["b"]);
}

#[test]
fn pods_spread_over_domains() {
    let pod = |when: &str| {
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
        "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"app": "web"}}}]}})
    };
    let nodes = [zoned("1"), zoned("2")];
    check(&nodes, &[app("x", "a")], pod("DoNotSchedule"), expect!["b"]);
    check(&nodes, &[app("x", "b")], pod("ScheduleAnyway"), expect!["a"]);
    check(
        &[zoned("1"), json!({"metadata": {"labels": {"zone": "2"}}, "spec": {"unschedulable": true}})],
        &[app("x", "a")],
        pod("DoNotSchedule"),
        expect!["0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable."],
    );
}
