use super::*;
use crate::check::{cells, created, problems, update_problems};
use expect_test::expect;
use serde_json::{Value, json};

fn with(text: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut object = serde_json::from_str(text).expect("test data is JSON");
    change(&mut object);
    object
}

#[test]
fn an_ingress_is_checked() {
    assert_eq!(problems(&ingress::INGRESS, with(ingress::MINIMAL, |_| {})), "");
    let object = with(ingress::MINIMAL, |object| {
        object["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "a"});
        object["spec"] = json!({"ingressClassName": "b", "tls": [{"hosts": ["a_b"], "secretName": "A"}], "rules": [
            {"host": "1.2.3.4"},
            {"host": "*.example.com", "http": {"paths": []}},
            {"http": {"paths": [
                {"path": "x/../y", "pathType": "Exact", "backend": {}},
                {"path": "/", "pathType": "Any", "backend": {"service": {"name": "s", "port": {"name": "http", "number": 80}}}},
                {"backend": {}}]}}]});
    });
    expect![[r#"
        spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address
        spec.rules[1].http.paths: Required value
        spec.rules[2].http.paths[0].path: Invalid value: "x/../y": must be an absolute path
        spec.rules[2].http.paths[0].path: Invalid value: "x/../y": must not contain '/../'
        spec.rules[2].http.paths[0].backend: Invalid value: "": resource or service backend is required
        spec.rules[2].http.paths[1].pathType: Unsupported value: "Any": supported values: "Exact", "ImplementationSpecific", "Prefix"
        spec.rules[2].http.paths[1].backend: Invalid value: "": cannot set both port name & port number
        spec.rules[2].http.paths[2].pathType: Required value: pathType must be specified
        spec.tls[0].hosts[0]: Invalid value: "a_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.tls[0].secretName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are specified
    "#]]
    .assert_eq(&problems(&ingress::INGRESS, object));
    let new =
        with(ingress::MINIMAL, |object| object["status"] = json!({"loadBalancer": {"ingress": [{"ip": "x"}, {"hostname": "1.1.1.1"}]}}));
    expect![[r#"
        status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
        status.loadBalancer.ingress[1].hostname: Invalid value: "1.1.1.1": must be a DNS name, not an IP address
    "#]]
    .assert_eq(&update_problems(&ingress::INGRESS, "status", with(ingress::MINIMAL, |_| {}), new));
}

#[test]
fn rows_show_hosts_and_addresses() {
    let object = with(ingress::MINIMAL, |object| {
        object["spec"]["ingressClassName"] = "web".into();
        object["spec"]["rules"] = json!([{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}]);
        object["spec"]["tls"] = json!([{}]);
        object["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.168.100.200"}, {"hostname": "a.b"}]}});
    });
    assert_eq!(cells(&ingress::INGRESS, object), json!(["web", "web", "a,b,c + 1 more...", "192.168.100.2...", "80, 443", "<unknown>"]));
    let class = with(ingressclass::MINIMAL, |class| {
        class["metadata"]["annotations"] = json!({"ingressclass.kubernetes.io/is-default-class": "true"});
        class["spec"]["parameters"] = json!({"apiGroup": "x.io", "kind": "P", "name": "p"});
    });
    assert_eq!(cells(&ingressclass::INGRESSCLASS, class), json!(["web (default)", "example.com/web", "P.x.io/p", "<unknown>"]));
    assert_eq!(cells(&networkpolicy::NETWORKPOLICY, with(networkpolicy::MINIMAL, |_| {})), json!(["web", "<none>", "<unknown>"]));
}

#[test]
fn a_class_is_checked() {
    let class = with(ingressclass::MINIMAL, |class| {
        class["spec"] = json!({"controller": "nowhere", "parameters": {"kind": "", "name": "a/b", "namespace": "n"}});
    });
    expect![[r#"
        spec.controller: Invalid value: "nowhere": must be a domain-prefixed path (such as "acme.io/foo")
        spec.parameters.kind: Required value
        spec.parameters.name: Invalid value: "a/b": may not contain '/'
        spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'
    "#]]
    .assert_eq(&problems(&ingressclass::INGRESSCLASS, class));
}

#[test]
fn a_policy_is_checked() {
    let object = with(networkpolicy::MINIMAL, |object| object["spec"]["egress"] = json!([{"ports": [{"port": 53}]}]));
    let object = created(&networkpolicy::NETWORKPOLICY, object);
    assert_eq!(object["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(object["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    let object = with(networkpolicy::MINIMAL, |object| {
        object["spec"]["policyTypes"] = json!(["Sideways"]);
        object["spec"]["ingress"] = json!([{"ports": [{"protocol": "X", "port": 99999, "endPort": 5}, {"endPort": 5}, {"port": "http", "endPort": 5}],
            "from": [{}, {"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/16", "x"]}}]}]);
    });
    expect![[r#"
        spec.ingress[0].ports[0].protocol: Unsupported value: "X": supported values: "TCP", "UDP", "SCTP"
        spec.ingress[0].ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive
        spec.ingress[0].ports[0].endPort: Invalid value: 5: must be greater than or equal to `port`
        spec.ingress[0].ports[1].endPort: Invalid value: 5: may not be specified when `port` is not specified
        spec.ingress[0].ports[2].endPort: Invalid value: 5: may not be specified when `port` is non-numeric
        spec.ingress[0].from[0]: Required value: must specify a peer
        spec.ingress[0].from[1].ipBlock.except[1]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`
        spec.ingress[0].from[1].ipBlock.except[2]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
        spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer
        spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"
    "#]]
    .assert_eq(&problems(&networkpolicy::NETWORKPOLICY, object));
}
