//! Against the kernel, in a network namespace of the test's own: endpoints are addresses of its loopback link.
use super::*;
use crate::model::model;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use netlink::testing::Namespace;
use serde_json::{from_value, json};

fn node() -> Node {
    Node { name: "a".into(), cluster_cidr: "10.1.0.0/16".parse().unwrap() }
}

fn service(affinity: &str, endpoints: &[&str]) -> Model {
    let service: Service = from_value(json!({"metadata": {"name": "s"}, "spec": {
        "clusterIP": "10.0.0.1", "sessionAffinity": affinity, "ports": [{"port": 80, "nodePort": 30080}]}}))
    .unwrap();
    let endpoints: Vec<_> = endpoints.iter().map(|ip| json!({"addresses": [ip], "nodeName": "a"})).collect();
    let slice: EndpointSlice = from_value(json!({"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8080}]})).unwrap();
    model(&service, &[&slice], &node())
}

fn answers(world: &Namespace, address: &str) -> BTreeSet<String> {
    (0..30).map(|_| world.ask(address).map_or_else(|error| format!("{:?}", error.kind()), |answer| answer[..1].to_string())).collect()
}

#[test]
fn services_lead_to_their_endpoints() {
    let world = Namespace::new("proxy");
    world.ip("link set lo up");
    for address in ["10.1.0.2/32", "10.1.0.3/32", "192.0.2.1/32"] {
        world.ip(&format!("addr add {address} dev lo"));
    }
    world.ip("link add br0 type bridge");
    world.ip("addr add 10.1.0.1/16 dev br0");
    world.ip("link set br0 up");
    world.ip("route add 10.0.0.0/24 dev br0");
    world.serve("10.1.0.2:8080", "a");
    world.serve("10.1.0.3:8080", "b");
    let mut table = world.inside(|| Table::install("coxswain-proxy", &node()).unwrap());
    let (none, both) = (service("None", &[]), service("None", &["10.1.0.2", "10.1.0.3"]));
    let (one, sticky) = (service("None", &["10.1.0.3"]), service("ClientIP", &["10.1.0.2", "10.1.0.3"]));
    let seen = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<BTreeSet<_>>();

    table.change(&[(&Model::default(), &none)]).unwrap();
    assert_eq!(answers(&world, "10.0.0.1:80"), seen(&["ConnectionRefused"]));
    table.change(&[(&none, &both)]).unwrap();
    for address in ["10.0.0.1:80", "192.0.2.1:30080"] {
        assert_eq!(answers(&world, address), seen(&["a", "b"]), "{address}");
    }
    table.change(&[(&both, &one)]).unwrap();
    assert_eq!(answers(&world, "10.0.0.1:80"), seen(&["b"]));
    table.change(&[(&one, &sticky)]).unwrap();
    let kept = answers(&world, "10.0.0.1:80");
    assert_eq!(kept.len(), 1, "a client stays with its endpoint");
    let other = if kept.contains("a") { "10.1.0.3" } else { "10.1.0.2" };
    let left = service("ClientIP", &[other]);
    table.change(&[(&sticky, &left)]).unwrap();
    assert_ne!(answers(&world, "10.0.0.1:80"), kept, "but not with one that is gone");
    table.change(&[(&left, &Model::default())]).unwrap();
    assert!(table.elements.is_empty());
    world.inside(|| Table::remove("coxswain-proxy").unwrap());
}
