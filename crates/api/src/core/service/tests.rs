use super::*;
use allocation::{Needs, Wanted, families, needs};
use expect_test::{Expect, expect};
use machinery::errors::Errors;
use machinery::kind::DynKind;
use serde_json::{Value, json};

fn made(spec: Value) -> Service {
    let mut service: Service = serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "x"}, "spec": spec})).unwrap();
    (SERVICE.default)(&mut service);
    (SERVICE.on_create)(&mut service);
    service
}

fn told(errors: &Errors) -> String {
    errors.causes().iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
}

fn refused(spec: Value, expected: Expect) {
    let mut errors = Errors::default();
    (SERVICE.validate)(&made(spec), &mut errors);
    expected.assert_eq(&told(&errors));
}

#[test]
fn says_what_it_needs() {
    let mut service = made(json!({"type": "NodePort", "ports": [{"port": 80}, {"name": "b", "port": 81, "nodePort": 30001}]}));
    let mut errors = Errors::default();
    families(&mut service, None, &["IPv4"], &mut errors);
    assert!(errors.is_empty());
    let spec = service.spec.unwrap();
    assert_eq!((spec.ip_family_policy.as_deref(), spec.ip_families.as_deref()), (Some("SingleStack"), Some(&["IPv4".to_string()][..])));
    assert_eq!(
        needs(&spec),
        Needs {
            cluster_ips: vec![Wanted { family: "IPv4".into(), address: String::new() }],
            node_ports: vec![0],
            named_node_ports: vec![30001],
            health_check_node_port: false
        }
    );
    let mut headless = made(json!({"clusterIP": "None"}));
    families(&mut headless, None, &["IPv4"], &mut errors);
    assert_eq!(headless.spec.as_ref().unwrap().ip_families.list(), ["IPv4", "IPv6"]);
    assert_eq!(needs(headless.spec.as_ref().unwrap()), Needs::default());
}

#[test]
fn tells_every_mistake() {
    refused(json!({"ports": [{"port": 80}]}), expect![""]);
    refused(
        json!({"type": "ClusterIP", "sessionAffinity": "Maybe", "externalIPs": ["127.0.0.1"], "externalTrafficPolicy": "Other",
            "loadBalancerSourceRanges": ["10.0.0.1/8"], "clusterIPs": ["10.0.0.1"],
            "ports": [{"port": 0, "protocol": "ICMP"}, {"name": "A", "port": 80, "nodePort": 30000, "targetPort": "BAD"}]}),
        expect![[r#"
            spec.ports[0].name: Required value
            spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"
            spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ports[1].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.ports[1].targetPort: Invalid value: "BAD": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.ports[1].targetPort: Invalid value: "BAD": must contain at least one letter (a-z)
            spec.sessionAffinity: Unsupported value: "Maybe": supported values: "ClientIP", "None"
            spec.clusterIPs: Invalid value: ["10.0.0.1"]: must be empty when `clusterIP` is not specified
            spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            spec.ports[1].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'
            spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'
            spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length
            spec.externalTrafficPolicy: Unsupported value: "Other": supported values: "Cluster", "Local"
        "#]],
    );
    refused(
        json!({"type": "ExternalName", "clusterIP": "10.0.0.1"}),
        expect![[r#"
        spec.clusterIPs: Forbidden: may not be set for ExternalName services
        spec.externalName: Required value
    "#]],
    );
}

#[test]
fn updates_keep_what_was_handed_out() {
    let mut old = made(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30000}], "clusterIP": "10.0.0.1"}));
    old.spec.as_mut().unwrap().ip_families = Some(vec!["IPv4".into()]);
    let updated = |spec: Value| {
        let mut new: Service = serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "x"}, "spec": spec})).unwrap();
        (SERVICE.default)(&mut new);
        (SERVICE.on_update)(&mut new, &old);
        let mut errors = Errors::default();
        (SERVICE.validate)(&new, &mut errors);
        (SERVICE.validate_update)(&new, &old, &mut errors);
        (new.spec.unwrap(), told(&errors))
    };
    let (spec, problems) = updated(json!({"type": "NodePort", "ports": [{"port": 81}], "ipFamilies": ["IPv4"]}));
    assert_eq!((spec.ports.list()[0].node_port, spec.cluster_ips.list()), (Some(30000), &["10.0.0.1".to_string()][..]));
    assert_eq!(problems, "");
    let (spec, problems) = updated(json!({"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30000}], "ipFamilies": ["IPv4"]}));
    assert_eq!((spec.ports.list()[0].node_port, problems.as_str()), (None, ""));
    let (_, problems) = updated(json!({"type": "NodePort", "ports": [{"port": 80}], "clusterIP": "10.0.0.2", "ipFamilies": ["IPv4"]}));
    expect![[r#"
        spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set
    "#]]
    .assert_eq(&problems);
}

#[test]
fn prints_its_row() {
    let service =
        made(json!({"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30000}], "clusterIP": "10.0.0.1", "selector": {"a": "b"}}));
    let row = SERVICE.row(&service, "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(row[1..5], [json!("LoadBalancer"), json!("10.0.0.1"), json!("<pending>"), json!("80:30000/TCP")]);
    assert_eq!(row[6], "a=b");
}
