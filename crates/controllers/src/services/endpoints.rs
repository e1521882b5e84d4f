//! The Endpoints controller: the older form of what EndpointSlices say, one object per service.
//! Reads Services, pods and Endpoints; writes Endpoints; is woken by all of them.
use super::backends::{self, HEADLESS_LABEL, is_headless, pods_of, publishes_unready};
use super::endpointslice::pod_reference;
use crate::driver::{Caches, Controller, Plan, itself, reads_indexed};
use crate::objects::{by_namespace, is_deleting, label, labels, pods, set_entry};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::meta::Key;
use std::collections::BTreeMap;
use std::sync::Arc;

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const SELF: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Annotations of the original that tell when a pod changed; not kept here.
const MAX_ADDRESSES: usize = 1000;

pub static CONTROLLER: Controller = Controller {
    name: "endpoints",
    account: "endpoint-controller",
    reads: || {
        vec![
            reads_indexed::<Service>(itself, &[("namespace", by_namespace)]),
            reads_indexed::<Pod>(backends::wake_by_pod, &[("namespace", by_namespace)]),
            reads_indexed::<Endpoints>(itself, &[]),
        ]
    },
    writes: &["endpoints"],
    workers: 8,
    always: false,
    plan: |caches, key, _| observe(caches, key).map(|view| reconcile(&view)).unwrap_or_default(),
};

pub struct View {
    pub service: Option<Arc<Service>>,
    pub pods: Vec<Arc<Pod>>,
    pub endpoints: Option<Arc<Endpoints>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let service = caches.get::<Service>(key);
    let endpoints = caches.get::<Endpoints>(key);
    let pods = service.as_ref().map(|service| pods_of(caches, service)).unwrap_or_default();
    (service.is_some() || endpoints.is_some()).then_some(View { service, pods, endpoints })
}

pub fn reconcile(view: &View) -> Plan {
    let mut plan = Plan::default();
    let Some(service) = &view.service else {
        // only our own go with their service: others use Endpoints without one
        let own = view.endpoints.as_ref().filter(|own| label(&own.metadata, MANAGED_BY) == Some(SELF) && !is_deleting(&own.metadata));
        own.into_iter().for_each(|endpoints| plan.delete(&**endpoints));
        return plan;
    };
    if backends::selector(service).is_none() || is_deleting(&service.metadata) {
        return plan;
    }
    let mut subsets = subsets(service, &view.pods);
    let cut = truncate(&mut subsets);
    let mut new = match &view.endpoints {
        Some(old) => (**old).clone(),
        None => Endpoints { metadata: meta(service), subsets: None },
    };
    new.metadata.labels = Some(labels_of(service));
    if cut {
        set_entry(&mut new.metadata.annotations, OVER_CAPACITY, "truncated");
    } else if let Some(annotations) = &mut new.metadata.annotations {
        annotations.remove(OVER_CAPACITY);
    }
    if new.subsets.as_deref().unwrap_or_default() != subsets {
        new.subsets = Some(subsets);
    }
    match &view.endpoints {
        Some(old) => plan.update(&**old, new),
        None => plan.create(new),
    }
    plan
}

fn meta(service: &Service) -> ObjectMeta {
    ObjectMeta { name: service.metadata.name.clone(), namespace: service.metadata.namespace.clone(), ..ObjectMeta::default() }
}

fn labels_of(service: &Service) -> BTreeMap<String, String> {
    let mut own = labels(&service.metadata).clone();
    own.remove(HEADLESS_LABEL);
    if is_headless(service) {
        own.insert(HEADLESS_LABEL.into(), String::new());
    }
    own.insert(MANAGED_BY.into(), SELF.into());
    own
}

/// Addresses with the same ports stand together; a pod that lacks a named port stands apart.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let mut by_ports: BTreeMap<String, EndpointSubset> = BTreeMap::new();
    let wanted = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let family = service.spec.as_ref().and_then(|spec| spec.ip_families.as_ref()?.first().cloned());
    for pod in pods {
        let gone = is_deleting(&pod.metadata) && !publishes_unready(service);
        let Some(address) = address(service, pod, family.as_deref()).filter(|_| !gone && !pods::is_finished(pod)) else { continue };
        let ports: Vec<EndpointPort> = wanted.iter().filter_map(|port| port_in(pod, port)).collect();
        if ports.is_empty() && !(wanted.is_empty() && is_headless(service)) {
            continue;
        }
        let subset = by_ports.entry(format!("{ports:?}")).or_default();
        subset.ports = (!ports.is_empty()).then_some(ports);
        if publishes_unready(service) || pods::is_ready(pod) {
            subset.addresses.get_or_insert_default().push(address);
        } else {
            subset.not_ready_addresses.get_or_insert_default().push(address);
        }
    }
    let mut subsets: Vec<EndpointSubset> = by_ports.into_values().collect();
    for subset in &mut subsets {
        let key = |address: &EndpointAddress| (address.ip.clone(), address.target_ref.as_ref().and_then(|target| target.uid.clone()));
        subset.addresses.iter_mut().for_each(|all| all.sort_by_key(key));
        subset.not_ready_addresses.iter_mut().for_each(|all| all.sort_by_key(key));
    }
    subsets
}

fn port_in(pod: &Pod, port: &k8s_openapi::api::core::v1::ServicePort) -> Option<EndpointPort> {
    Some(EndpointPort {
        name: port.name.clone().filter(|name| !name.is_empty()),
        port: backends::port_of(pod, port)?,
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
        app_protocol: port.app_protocol.clone(),
    })
}

fn address(service: &Service, pod: &Pod, family: Option<&str>) -> Option<EndpointAddress> {
    let wanted_v6 = family == Some("IPv6");
    let ip = backends::addresses(pod).into_iter().find(|ip| family.is_none() || ip.contains(':') == wanted_v6)?;
    Some(EndpointAddress {
        ip: ip.into(),
        node_name: Some(pods::node(pod)).filter(|node| !node.is_empty()).map(String::from),
        hostname: backends::hostname(pod, service),
        target_ref: Some(pod_reference(pod)),
    })
}

/// More addresses than one object should hold are cut, unready ones first; gives whether that was needed.
fn truncate(subsets: &mut Vec<EndpointSubset>) -> bool {
    let length = |addresses: &Option<Vec<EndpointAddress>>| addresses.as_ref().map_or(0, Vec::len);
    let total: usize = subsets.iter().map(|subset| length(&subset.addresses) + length(&subset.not_ready_addresses)).sum();
    if total <= MAX_ADDRESSES {
        return false;
    }
    let mut room = MAX_ADDRESSES;
    for subset in subsets.iter_mut() {
        take(&mut subset.addresses, &mut room);
    }
    for subset in subsets.iter_mut() {
        take(&mut subset.not_ready_addresses, &mut room);
    }
    subsets.retain(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some());
    true
}

fn take(addresses: &mut Option<Vec<EndpointAddress>>, room: &mut usize) {
    if let Some(all) = addresses {
        all.truncate(*room);
        *room -= all.len();
        if all.is_empty() {
            *addresses = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpointslice::tests::{pod, service};
    use super::*;
    use crate::world::World;
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    fn check(change: Value, pods: &str, expected: Expect) {
        let mut world = World::new(&[&CONTROLLER]);
        world.put(service(change));
        for (at, text) in pods.split_whitespace().enumerate() {
            world.put(pod(at + 1, text));
        }
        world.fixpoint();
        let endpoints = world.get("v1", "Endpoints", "x", "web");
        let ips = |subset: &Value, key: &str| {
            let all = subset[key].as_array().into_iter().flatten();
            all.map(|address| address["ip"].as_str().unwrap_or_default().to_string()).collect::<Vec<_>>().join(" ")
        };
        let tell = |subset: &Value| format!("{} | {} | {}", ips(subset, "addresses"), ips(subset, "notReadyAddresses"), subset["ports"]);
        let subsets = endpoints["subsets"].as_array().into_iter().flatten().map(tell).collect::<Vec<_>>().join("\n");
        expected.assert_eq(&subsets);
    }

    #[test]
    fn ready_and_unready_addresses_stand_apart() {
        let expected = expect![[r#"10.1.0.1 | 10.1.0.2 | [{"name":"http","port":8080,"protocol":"TCP"}]"#]];
        check(json!({}), "a:ready b c:gone d:done e:none", expected);
    }

    #[test]
    fn goes_with_its_service() {
        let mut world = World::new(&[&CONTROLLER]);
        world.put(service(json!({})));
        world.fixpoint();
        world.remove("v1", "Service", "x", "web");
        world.fixpoint();
        assert_eq!(world.all("v1", "Endpoints").len(), 0);
    }
}
