use super::*;
use expect_test::{Expect, expect};
use serde_json::{from_value, json};

/// `check(spec, "10.1.0.2@a 10.1.0.3@b!", …)`: endpoints with their nodes; `!` is terminating but serving, `?` not ready.
fn check(spec: serde_json::Value, endpoints: &str, expected: Expect) {
    let mut full = json!({"clusterIP": "10.0.0.1", "ports": [{"port": 80, "nodePort": 30080}]});
    full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let service: Service = from_value(json!({"metadata": {"name": "s"}, "spec": full})).unwrap();
    let endpoints: Vec<serde_json::Value> = endpoints.split_whitespace().map(endpoint).collect();
    let slice: EndpointSlice =
        from_value(json!({"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8080, "protocol": "TCP"}]})).unwrap();
    let node = Node { name: "a".into(), cluster_cidr: "10.1.0.0/16".parse().unwrap() };
    let model = model(&service, &[&slice], &node);
    let lines: Vec<String> = model.elements.iter().filter(|((map, _), _)| *map != "own").map(tell).collect();
    expected.assert_eq(&lines.join("\n"));
}

fn endpoint(text: &str) -> serde_json::Value {
    let (address, rest) = text.split_once('@').unwrap();
    let conditions = match rest.chars().nth(1) {
        Some('!') => json!({"ready": false, "serving": true, "terminating": true}),
        Some('?') => json!({"ready": false, "serving": false}),
        _ => json!({"ready": true}),
    };
    json!({"addresses": [address], "nodeName": rest[..1], "conditions": conditions})
}

fn tell(((map, key), data): (&(&str, Vec<u8>), &Data)) -> String {
    let show = |bytes: &[u8]| {
        bytes.chunks(4).map(|part| part.iter().map(u8::to_string).collect::<Vec<_>>().join(".")).collect::<Vec<_>>().join(" ")
    };
    match data {
        Data::None => format!("{map}: {}", show(key)),
        Data::Value(value) => format!("{map}: {} -> {}", show(key), show(value)),
        Data::Verdict(verdict) => format!("{map}: {} -> {verdict:?}", show(key)),
    }
}

#[test]
fn ready_endpoints_are_spread_over() {
    check(
        json!({}),
        "10.1.0.2@a 10.1.0.3@b 10.1.0.4@b?",
        expect![[r#"
            endpoints: 10.0.0.1 6.0.0.0 0.80.0.0 0.0.0.0 -> 10.1.0.2 31.144.0.0
            endpoints: 10.0.0.1 6.0.0.0 0.80.0.0 1.0.0.0 -> 10.1.0.3 31.144.0.0
            masquerade-from-outside: 10.0.0.1 6.0.0.0 0.80.0.0
            node-ports: 6.0.0.0 117.128.0.0 -> Goto("np-2")
            port-endpoints: 6.0.0.0 117.128.0.0 0.0.0.0 -> 10.1.0.2 31.144.0.0
            port-endpoints: 6.0.0.0 117.128.0.0 1.0.0.0 -> 10.1.0.3 31.144.0.0
            port-masquerade: 6.0.0.0 117.128.0.0
            services: 10.0.0.1 6.0.0.0 0.80.0.0 -> Goto("lb-2")"#]],
    );
}

#[test]
fn nothing_there_is_refused() {
    check(
        json!({}),
        "10.1.0.2@a?",
        expect![[r#"
            port-reject: 6.0.0.0 117.128.0.0
            reject: 10.0.0.1 6.0.0.0 0.80.0.0"#]],
    );
}

#[test]
fn local_policy_keeps_the_source_and_drops_what_is_elsewhere() {
    check(
        json!({"externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}),
        "10.1.0.3@b",
        expect![[r#"
            drop: 10.0.0.1 6.0.0.0 0.80.0.0
            port-drop: 6.0.0.0 117.128.0.0"#]],
    );
}

#[test]
fn terminating_endpoints_serve_when_nothing_else_does() {
    check(
        json!({"ports": [{"port": 80}], "sessionAffinity": "ClientIP"}),
        "10.1.0.2@a! 10.1.0.3@b?",
        expect![[r#"
            endpoints: 10.0.0.1 6.0.0.0 0.80.0.0 0.0.0.0 -> 10.1.0.2 31.144.0.0
            live: 10.0.0.1 6.0.0.0 0.80.0.0 10.1.0.2 31.144.0.0
            masquerade-from-outside: 10.0.0.1 6.0.0.0 0.80.0.0
            services: 10.0.0.1 6.0.0.0 0.80.0.0 -> Goto("lb-1-for-10800s")"#]],
    );
}
