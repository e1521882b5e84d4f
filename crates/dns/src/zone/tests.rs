use super::*;
use expect_test::{Expect, expect};
use serde_json::{from_value, json};

/// Two services and a headless one with a named pod and one without a name.
struct World(Vec<Arc<Service>>, Vec<Arc<EndpointSlice>>);

fn world() -> World {
    let service = |name: &str, spec: serde_json::Value| {
        Arc::new(from_value(json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec})).unwrap())
    };
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    let slice: EndpointSlice = from_value(json!({
        "metadata": {"name": "db-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}}, "addressType": "IPv4",
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.1.0.5"], "hostname": "db-0"}, {"addresses": ["10.1.0.6"]},
                      {"addresses": ["10.1.0.7"], "conditions": {"ready": false}}]}))
    .unwrap();
    World(
        vec![
            service("web", json!({"clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "ports": ports})),
            service("db", json!({"clusterIP": "None", "clusterIPs": ["None"]})),
            service("out", json!({"type": "ExternalName", "externalName": "example.org"})),
        ],
        vec![Arc::new(slice)],
    )
}

impl Records for World {
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        let is = |service: &&Arc<Service>| namespace == "shop" && service.metadata.name.as_deref() == Some(name);
        self.0.iter().find(is).cloned()
    }
    fn slices(&self, _: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        if service == "db" { self.1.clone() } else { Vec::new() }
    }
    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>> {
        let has = |service: &&Arc<Service>| service.spec.as_ref().unwrap().cluster_ip == Some(address.to_string());
        self.0.iter().filter(has).cloned().collect()
    }
    fn slices_at(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>> {
        let has = |slice: &&Arc<EndpointSlice>| slice.endpoints.iter().flatten().any(|e| e.addresses.contains(&address.to_string()));
        self.1.iter().filter(has).cloned().collect()
    }
    fn has_services(&self, namespace: &str) -> bool {
        namespace == "shop"
    }
}

fn check(name: &str, wanted: RecordType, expected: Expect) {
    let zone = Zone { domain: Name::from_ascii("cluster.local.").unwrap() };
    let answer = match zone.answer(&world(), &Name::from_ascii(name).unwrap(), wanted) {
        Answer::Found(records) => records.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(", "),
        Answer::Elsewhere(_, target) => format!("elsewhere: {target}"),
        other => format!("{other:?}"),
    };
    expected.assert_eq(&answer);
}

#[test]
fn services_have_addresses() {
    check("web.shop.svc.cluster.local.", RecordType::A, expect!["10.0.0.9"]);
    check("WEB.shop.svc.cluster.local.", RecordType::A, expect!["10.0.0.9"]);
    check("web.shop.svc.cluster.local.", RecordType::AAAA, expect![""]);
    check("none.shop.svc.cluster.local.", RecordType::A, expect!["NoSuchName"]);
    check("out.shop.svc.cluster.local.", RecordType::A, expect!["elsewhere: example.org."]);
    check("shop.svc.cluster.local.", RecordType::A, expect![""]);
    check("other.svc.cluster.local.", RecordType::A, expect!["NoSuchName"]);
    check("example.org.", RecordType::A, expect!["NotOurs"]);
    check("dns-version.cluster.local.", RecordType::TXT, expect!["1.1.0"]);
}

#[test]
fn headless_services_name_their_pods() {
    check("db.shop.svc.cluster.local.", RecordType::A, expect!["10.1.0.5, 10.1.0.6"]);
    check("db-0.db.shop.svc.cluster.local.", RecordType::A, expect!["10.1.0.5"]);
    check("10-1-0-6.db.shop.svc.cluster.local.", RecordType::A, expect!["10.1.0.6"]);
    check("db-7.db.shop.svc.cluster.local.", RecordType::A, expect!["NoSuchName"]);
    check("db-0.web.shop.svc.cluster.local.", RecordType::A, expect!["NoSuchName"]);
    check("10-1-0-5.shop.pod.cluster.local.", RecordType::A, expect!["10.1.0.5"]);
}

#[test]
fn ports_have_srv_records() {
    check("_http._tcp.web.shop.svc.cluster.local.", RecordType::SRV, expect!["0 100 80 web.shop.svc.cluster.local."]);
    check("_dns._tcp.web.shop.svc.cluster.local.", RecordType::SRV, expect!["NoSuchName"]);
    check(
        "_sql._tcp.db.shop.svc.cluster.local.",
        RecordType::SRV,
        expect!["0 100 5432 db-0.db.shop.svc.cluster.local., 0 100 5432 10-1-0-6.db.shop.svc.cluster.local."],
    );
}

#[test]
fn addresses_have_names() {
    check("9.0.0.10.in-addr.arpa.", RecordType::PTR, expect!["web.shop.svc.cluster.local."]);
    check("5.0.1.10.in-addr.arpa.", RecordType::PTR, expect!["db-0.db.shop.svc.cluster.local."]);
    check("8.8.8.8.in-addr.arpa.", RecordType::PTR, expect!["NotOurs"]);
}
