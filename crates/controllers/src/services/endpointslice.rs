//! The EndpointSlice controller: publishes the pods that a service selects.
//! Reads Services, pods, nodes and slices; writes slices; is woken by all of them.
use super::backends::{self, HEADLESS_LABEL, is_headless, pods_of, publishes_unready};
use super::slices::{Frame, Group, PortsKey, arrange, ports_key};
use crate::driver::{Caches, Controller, Plan, itself, reads_indexed};
use crate::objects::owners::controller;
use crate::objects::{by_namespace, is_deleting, label, labels, name, namespace, pods};
use client::Delta;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::meta::Key;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
const SELF: &str = "endpointslice-controller.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";
/// So many endpoints are in one slice at most.
const MAX_ENDPOINTS: usize = 100;

pub static CONTROLLER: Controller = Controller {
    name: "endpointslice",
    account: "endpointslice-controller",
    reads: || {
        vec![
            reads_indexed::<Service>(itself, &[("namespace", by_namespace)]),
            reads_indexed::<Pod>(backends::wake_by_pod, &[("namespace", by_namespace), ("node", pods::by_node)]),
            reads_indexed::<EndpointSlice>(wake_by_slice, &[("service", by_service)]),
            reads_indexed::<Node>(wake_by_node, &[]),
        ]
    },
    writes: &["endpointslices"],
    workers: 8,
    always: false,
    plan: |caches, key, _| observe(caches, key).map(|view| reconcile(&view)).unwrap_or_default(),
};

/// One service with its pods, their nodes and its slices.
pub struct View {
    pub service: Arc<Service>,
    pub pods: Vec<(Arc<Pod>, Option<Arc<Node>>)>,
    pub slices: Vec<Arc<EndpointSlice>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let service = caches.get::<Service>(key)?;
    backends::selector(&service)?;
    let node = |pod: &Pod| caches.get::<Node>(&Key::new("", pods::node(pod)));
    let pods = pods_of(caches, &service).into_iter().map(|pod| (pod.clone(), node(&pod))).collect();
    Some(View { slices: slices_of(caches, key, SELF), service, pods })
}

/// Slices of a service that `manager` keeps and nobody is deleting.
pub fn slices_of(caches: &Caches, key: &Key, manager: &str) -> Vec<Arc<EndpointSlice>> {
    let mut slices = caches.of::<EndpointSlice>().by_index("service", &key.to_string());
    slices.retain(|slice| label(&slice.metadata, MANAGED_BY) == Some(manager) && !is_deleting(&slice.metadata));
    slices
}

pub fn reconcile(view: &View) -> Plan {
    let mut plan = Plan::default();
    let service = &*view.service;
    if is_deleting(&service.metadata) {
        return plan;
    }
    let types = address_types(service);
    for kind in &types {
        let slices: Vec<Arc<EndpointSlice>> = view.slices.iter().filter(|slice| slice.address_type == *kind).cloned().collect();
        arrange(&mut plan, &frame(service, kind), &slices, desired(view, kind));
    }
    for slice in view.slices.iter().filter(|slice| !types.contains(&slice.address_type.as_str())) {
        plan.delete(&**slice);
    }
    plan
}

fn frame(service: &Service, kind: &str) -> Frame {
    let mut own = labels(&service.metadata).clone();
    own.retain(|key, _| ![SERVICE_NAME, MANAGED_BY, HEADLESS_LABEL].contains(&key.as_str()));
    if is_headless(service) {
        own.insert(HEADLESS_LABEL.into(), String::new());
    }
    own.insert(SERVICE_NAME.into(), name(&service.metadata).into());
    own.insert(MANAGED_BY.into(), SELF.into());
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-", name(&service.metadata))),
        namespace: service.metadata.namespace.clone(),
        labels: Some(own),
        owner_references: Some(vec![controller(service)]),
        ..ObjectMeta::default()
    };
    let new = EndpointSlice { metadata, address_type: kind.into(), endpoints: None, ports: None };
    Frame { new, max_endpoints: MAX_ENDPOINTS, placeholder: true }
}

/// `IPv4`, `IPv6` or both.
fn address_types(service: &Service) -> Vec<&'static str> {
    let spec = service.spec.as_ref();
    let families = spec.and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
    let has = |family: &str| families.iter().any(|own| own == family);
    let given: Vec<&str> = ["IPv4", "IPv6"].into_iter().filter(|family| has(family)).collect();
    if !given.is_empty() {
        return given;
    }
    match spec.and_then(|spec| spec.cluster_ip.as_deref()) {
        Some(address) if address.contains(':') => vec!["IPv6"],
        Some(address) if address != "None" && !address.is_empty() => vec!["IPv4"],
        _ => vec!["IPv4", "IPv6"],
    }
}

fn desired(view: &View, kind: &str) -> BTreeMap<PortsKey, Group> {
    let mut groups: BTreeMap<PortsKey, Group> = BTreeMap::new();
    for (pod, node) in &view.pods {
        if pods::is_finished(pod) || backends::addresses(pod).is_empty() {
            continue;
        }
        if node.is_none() && !pods::node(pod).is_empty() && !publishes_unready(&view.service) {
            // the pod garbage collector will have it
            continue;
        }
        let ports = ports_in(&view.service, pod);
        let group = groups.entry(ports_key(&ports)).or_insert_with(|| Group { ports, endpoints: Vec::new() });
        let endpoint = endpoint(&view.service, pod, node.as_deref(), kind);
        if !endpoint.addresses.is_empty() {
            group.endpoints.push(endpoint);
        }
    }
    groups
}

fn ports_in(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let own = ports.iter().filter_map(|port| {
        let number = backends::port_of(pod, port)?;
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(number),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    own.collect()
}

fn endpoint(service: &Service, pod: &Pod, node: Option<&Node>, kind: &str) -> Endpoint {
    let of_kind = |address: &&str| address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6() == (kind == "IPv6"));
    let (serving, terminating) = (pods::is_ready(pod), is_deleting(&pod.metadata));
    let ready = publishes_unready(service) || (serving && !terminating);
    let node_name = Some(pods::node(pod)).filter(|node| !node.is_empty()).map(String::from);
    let zone = node.and_then(|node| label(&node.metadata, ZONE)).filter(|zone| !zone.is_empty()).map(String::from);
    Endpoint {
        addresses: backends::addresses(pod).into_iter().filter(of_kind).map(String::from).collect(),
        conditions: Some(EndpointConditions { ready: Some(ready), serving: Some(serving), terminating: Some(terminating) }),
        hints: if ready { hints(service, zone.as_ref(), node_name.as_ref()) } else { None },
        target_ref: Some(pod_reference(pod)),
        hostname: backends::hostname(pod, service),
        node_name,
        zone,
        deprecated_topology: None,
    }
}

pub fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".into()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Where traffic should stay close (KEP-4444, KEP-3015).
fn hints(service: &Service, zone: Option<&String>, node: Option<&String>) -> Option<EndpointHints> {
    let (zones, nodes) = match service.spec.as_ref()?.traffic_distribution.as_deref()? {
        "PreferClose" | "PreferSameZone" => (zone, None),
        "PreferSameNode" => (zone, node),
        _ => return None,
    };
    let for_zones = zones.map(|name| vec![ForZone { name: name.clone() }]);
    let for_nodes = nodes.map(|name| vec![ForNode { name: name.clone() }]);
    (for_zones.is_some() || for_nodes.is_some()).then_some(EndpointHints { for_nodes, for_zones })
}

/// Index values: namespace and name of the slice's service.
pub fn by_service(slice: &EndpointSlice) -> Vec<String> {
    let service = label(&slice.metadata, SERVICE_NAME);
    service.map(|service| Key::new(namespace(&slice.metadata), service).to_string()).into_iter().collect()
}

/// The service of a slice that changed, before and after.
pub fn wake_by_slice(_: &Caches, delta: &Delta<EndpointSlice>) -> Vec<Key> {
    let of = |slice: &EndpointSlice| label(&slice.metadata, SERVICE_NAME).map(|service| Key::new(namespace(&slice.metadata), service));
    let old = match delta {
        Delta::Updated { old, .. } => of(old),
        _ => None,
    };
    let new = of(delta.object());
    old.into_iter().filter(|old| Some(old) != new.as_ref()).chain(new.clone()).collect()
}

/// Services of the pods of a node that came, went, or moved to another zone.
fn wake_by_node(caches: &Caches, delta: &Delta<Node>) -> Vec<Key> {
    if let Delta::Updated { old, new } = delta
        && label(&old.metadata, ZONE) == label(&new.metadata, ZONE)
    {
        return Vec::new();
    }
    let pods = caches.of::<Pod>().by_index("node", name(&delta.object().metadata));
    let mut keys: Vec<Key> = pods.into_iter().flat_map(|pod| backends::wake_by_pod(caches, &Delta::Added(pod))).collect();
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
pub(super) mod tests;
