use super::*;
use crate::world::World;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

pub fn service(change: Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "x", "uid": "s", "labels": {"a": "b"}},
        "spec": {"selector": {"app": "web"}, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"],
                 "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"}]},
    });
    for (key, value) in change.as_object().into_iter().flatten() {
        service["spec"][key] = value.clone();
    }
    service
}

/// `a:ready`, `b`, `c:gone` (terminating but ready), `d:done`, `e:none` (no address)
pub fn pod(number: usize, text: &str) -> Value {
    let (name, state) = text.split_once(':').unwrap_or((text, ""));
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": format!("10.1.0.{number}"), "podIPs": [{"ip": format!("10.1.0.{number}")}]},
    });
    let ready = json!([{"type": "Ready", "status": "True"}]);
    match state {
        "ready" => pod["status"]["conditions"] = ready,
        "gone" => {
            pod["status"]["conditions"] = ready;
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        "done" => pod["status"]["phase"] = "Succeeded".into(),
        "none" => pod["status"] = json!({"phase": "Pending"}),
        _ => {}
    }
    pod
}

pub fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}}})
}

fn tell(world: &World) -> String {
    let mut lines = Vec::new();
    for slice in world.all("discovery.k8s.io/v1", "EndpointSlice") {
        let ports: Vec<String> = slice["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|port| format!("{}={}", port["name"].as_str().unwrap(), port["port"]))
            .collect();
        let mut endpoints: Vec<String> = slice["endpoints"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|endpoint| {
                let is = |name: &str, sign: &str| if endpoint["conditions"][name] == true { sign.to_string() } else { String::new() };
                format!(
                    "{}{}{}{}",
                    endpoint["addresses"][0].as_str().unwrap(),
                    is("ready", "+"),
                    is("serving", "s"),
                    is("terminating", "-")
                )
            })
            .collect();
        endpoints.sort();
        lines.push(format!("{} {} {}", slice["addressType"].as_str().unwrap(), ports.join(","), endpoints.join(" ")));
    }
    lines.join("\n")
}

fn check(change: Value, pods: &str, expected: Expect) {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(node());
    world.put(service(change));
    for (at, text) in pods.split_whitespace().enumerate() {
        world.put(pod(at + 1, text));
    }
    world.settle();
    world.fixpoint();
    expected.assert_eq(&tell(&world));
}

#[test]
fn publishes_pods_with_their_conditions() {
    check(json!({}), "a:ready b c:gone d:done e:none", expect!["IPv4 http=8080 10.1.0.1+s 10.1.0.2 10.1.0.3s-"]);
    check(json!({"publishNotReadyAddresses": true}), "a:ready b", expect!["IPv4 http=8080 10.1.0.1+s 10.1.0.2+"]);
}

#[test]
fn keeps_a_placeholder_per_family() {
    check(json!({"ipFamilies": ["IPv4", "IPv6"]}), "", expect!["IPv4  \nIPv6  "]);
}

#[test]
fn labels_say_whose_the_slice_is() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(service(json!({"clusterIP": "None"})));
    world.settle();
    let slice = &world.all("discovery.k8s.io/v1", "EndpointSlice")[0];
    let expected = expect![[
        r#"{"a":"b","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web","service.kubernetes.io/headless":""}"#
    ]];
    expected.assert_eq(&slice["metadata"]["labels"].to_string());
    assert!(slice["metadata"]["name"].as_str().unwrap().starts_with("web-"));
}

#[test]
fn fills_slices_of_a_hundred_and_touches_few() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(node());
    world.put(service(json!({})));
    for number in 0..150 {
        let mut pod = pod(1, &format!("p{number}:ready"));
        pod["status"]["podIPs"][0]["ip"] = format!("10.1.1.{number}").into();
        world.put(pod);
    }
    world.fixpoint();
    let sizes = |world: &World| {
        let mut sizes: Vec<usize> =
            world.all("discovery.k8s.io/v1", "EndpointSlice").iter().map(|slice| slice["endpoints"].as_array().unwrap().len()).collect();
        sizes.sort();
        sizes
    };
    assert_eq!(sizes(&world), [50, 100]);
    world.told();
    world.remove("v1", "Pod", "x", "p7");
    world.put(pod(9, "new:ready"));
    world.settle();
    assert_eq!(world.told().matches("update endpointslices").count(), 1, "a place that becomes free is filled at once");
    world.fixpoint();
}

#[test]
fn hints_keep_traffic_close() {
    let mut world = World::new(&[&CONTROLLER]);
    world.put(node());
    world.put(service(json!({"trafficDistribution": "PreferSameNode"})));
    world.put(pod(1, "a:ready"));
    world.fixpoint();
    let slice = &world.all("discovery.k8s.io/v1", "EndpointSlice")[0];
    expect![[r#"{"forNodes":[{"name":"n"}],"forZones":[{"name":"z"}]}"#]].assert_eq(&slice["endpoints"][0]["hints"].to_string());
}
