//! The EndpointSlice mirroring controller: shows hand-made Endpoints of a service without selector as EndpointSlices.
//! Reads Endpoints, Services and slices; writes slices; is woken by all of them.
use super::endpointslice::{MANAGED_BY, SERVICE_NAME, by_service, slices_of, wake_by_slice};
use super::slices::{Frame, Group, PortsKey, arrange, ports_key};
use crate::driver::{Caches, Controller, Plan, itself, reads_indexed};
use crate::objects::owners::controller;
use crate::objects::{annotation, is_deleting, label, labels, name};
use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::meta::Key;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

const SELF: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Annotations that are not copied.
const OWN_ANNOTATIONS: [&str; 2] = ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];
/// So many addresses of one subset are mirrored.
const MAX_ENDPOINTS: usize = 1000;

pub static CONTROLLER: Controller = Controller {
    name: "endpointslicemirroring",
    account: "endpointslicemirroring-controller",
    reads: || {
        vec![
            reads_indexed::<Endpoints>(itself, &[]),
            reads_indexed::<Service>(itself, &[]),
            reads_indexed::<EndpointSlice>(wake_by_slice, &[("service", by_service)]),
        ]
    },
    writes: &["endpointslices"],
    workers: 4,
    always: false,
    plan: |caches, key, _| reconcile(&observe(caches, key)),
};

pub struct View {
    pub endpoints: Option<Arc<Endpoints>>,
    pub service: Option<Arc<Service>>,
    pub slices: Vec<Arc<EndpointSlice>>,
}

pub fn observe(caches: &Caches, key: &Key) -> View {
    View { endpoints: caches.get(key), service: caches.get(key), slices: slices_of(caches, key, SELF) }
}

pub fn reconcile(view: &View) -> Plan {
    let mut plan = Plan::default();
    let by_hand = view.service.as_ref().is_some_and(|service| service.spec.as_ref().is_none_or(|spec| spec.selector.is_none()));
    let Some(endpoints) = view.endpoints.as_ref().filter(|endpoints| by_hand && is_mirrored(endpoints)) else {
        view.slices.iter().for_each(|slice| plan.delete(&**slice));
        return plan;
    };
    let skipped = too_many(endpoints);
    for kind in ["IPv4", "IPv6"] {
        let slices: Vec<Arc<EndpointSlice>> = view.slices.iter().filter(|slice| slice.address_type == kind).cloned().collect();
        arrange(&mut plan, &frame(endpoints, kind), &slices, desired(endpoints, kind));
    }
    if skipped > 0 && plan.writes() > 0 {
        let message = format!(
            "A max of {MAX_ENDPOINTS} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses were skipped"
        );
        plan.warning(&**endpoints, "TooManyAddressesToMirror", message);
    }
    plan
}

fn is_mirrored(endpoints: &Endpoints) -> bool {
    let meta = &endpoints.metadata;
    let leader = annotation(meta, "control-plane.alpha.kubernetes.io/leader").is_some();
    label(meta, SKIP) != Some("true") && !leader && !is_deleting(meta)
}

fn frame(endpoints: &Endpoints, kind: &str) -> Frame {
    let meta = &endpoints.metadata;
    let mut own = labels(meta).clone();
    own.insert(SERVICE_NAME.into(), name(meta).into());
    own.insert(MANAGED_BY.into(), SELF.into());
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !OWN_ANNOTATIONS.contains(&key.as_str()));
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-", name(meta))),
        namespace: meta.namespace.clone(),
        labels: Some(own),
        annotations: Some(annotations),
        owner_references: Some(vec![controller(endpoints)]),
        ..ObjectMeta::default()
    };
    let new = EndpointSlice { metadata, address_type: kind.into(), endpoints: None, ports: None };
    Frame { new, max_endpoints: MAX_ENDPOINTS, placeholder: false }
}

fn desired(endpoints: &Endpoints, kind: &str) -> BTreeMap<PortsKey, Group> {
    let mut groups: BTreeMap<PortsKey, Group> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports: Vec<EndpointPort> = subset.ports.iter().flatten().map(port).collect();
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let unready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        let all = ready.chain(unready).take(MAX_ENDPOINTS);
        let own: Vec<Endpoint> = all.filter_map(|(address, ready)| endpoint(address, ready, kind)).collect();
        if !own.is_empty() {
            let group = groups.entry(ports_key(&ports)).or_insert_with(|| Group { ports, endpoints: Vec::new() });
            group.endpoints.extend(own);
        }
    }
    groups
}

fn port(port: &k8s_openapi::api::core::v1::EndpointPort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
        app_protocol: port.app_protocol.clone(),
    }
}

fn endpoint(address: &EndpointAddress, ready: bool, kind: &str) -> Option<Endpoint> {
    let ip: IpAddr = address.ip.parse().ok()?;
    (ip.is_ipv6() == (kind == "IPv6")).then(|| Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    })
}

fn too_many(endpoints: &Endpoints) -> usize {
    let length = |addresses: &Option<Vec<EndpointAddress>>| addresses.as_ref().map_or(0, Vec::len);
    let subsets = endpoints.subsets.iter().flatten();
    subsets.map(|subset| (length(&subset.addresses) + length(&subset.not_ready_addresses)).saturating_sub(MAX_ENDPOINTS)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::json;

    #[test]
    fn mirrors_what_has_no_selector() {
        let mut world = World::new(&[&CONTROLLER]);
        world.put(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "x"}, "spec": {}}));
        world.put(json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db", "namespace": "x"},
            "subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 5432}]}],
        }));
        world.fixpoint();
        let slices = world.all("discovery.k8s.io/v1", "EndpointSlice");
        assert_eq!(slices[0]["endpoints"][0]["addresses"][0], "1.2.3.4");
        assert_eq!(slices[0]["metadata"]["labels"][MANAGED_BY], SELF);
        world.change("v1", "Service", "x", "db", |service| service["spec"]["selector"] = json!({"a": "b"}));
        world.fixpoint();
        assert_eq!(world.all("discovery.k8s.io/v1", "EndpointSlice").len(), 0);
    }
}
