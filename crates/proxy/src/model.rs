//! What one service is in the maps. Pure: the same service, slices and settings give the same elements.
use crate::endpoints::{Target, targets};
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use netlink::nft::{Data, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Seconds for which a client stays with its endpoint, when the service does not say.
const DEFAULT_AFFINITY_S: i32 = 10_800;

/// What the node is.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub cluster_cidr: Ipv4Net,
}

/// A chain that spreads over so many endpoints, with clients kept to theirs for a time if asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Balancer {
    pub on: Entry,
    pub endpoints: u32,
    pub affinity_s: Option<u32>,
}

/// How traffic finds the service: by address and port, or by a port of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    Address,
    NodePort,
}

impl Balancer {
    pub fn chain(&self) -> String {
        let entry = if self.on == Entry::Address { "lb" } else { "np" };
        match self.affinity_s {
            None => format!("{entry}-{}", self.endpoints),
            Some(seconds) => format!("{entry}-{}-for-{seconds}s", self.endpoints),
        }
    }
}

/// A service as elements, by map and key, with the chains that its elements lead to.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub elements: BTreeMap<(&'static str, Vec<u8>), Data>,
    pub balancers: BTreeSet<Balancer>,
    /// UDP entries with their endpoints: connections that lead elsewhere are stale.
    pub udp: BTreeMap<(Option<Ipv4Addr>, u16), Vec<Target>>,
}

pub fn model(service: &Service, slices: &[&EndpointSlice], node: &Node) -> Model {
    let mut model = Model::default();
    let Some(spec) = &service.spec else { return model };
    let cluster_ip = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<Ipv4Addr>().ok());
    let Some(cluster_ip) = cluster_ip else { return model }; // headless, ExternalName, or not allocated yet
    for port in spec.ports.as_deref().unwrap_or_default() {
        let Some(protocol) = protocol(port) else { continue };
        model.port(service, spec, port, protocol, cluster_ip, slices, node);
    }
    model
}

fn protocol(port: &ServicePort) -> Option<u8> {
    match port.protocol.as_deref().unwrap_or("TCP") {
        "TCP" => Some(6),
        "UDP" => Some(17),
        "SCTP" => Some(132),
        _ => None,
    }
}

/// One way in: what leads to it, to whom it leads, and what becomes of the source address.
struct Way<'a> {
    on: Entry,
    /// `[address] protocol port`, each in four bytes.
    key: Vec<u8>,
    targets: &'a [Target],
    /// Endpoints exist, only not here: such traffic is dropped, not refused.
    elsewhere: bool,
    masquerade: Masquerade,
}

#[derive(Clone, Copy, PartialEq)]
enum Masquerade {
    Always,
    FromOutside,
    Never,
}

impl Model {
    #[allow(clippy::too_many_arguments)]
    fn port(
        &mut self,
        service: &Service,
        spec: &ServiceSpec,
        port: &ServicePort,
        protocol: u8,
        cluster_ip: Ipv4Addr,
        slices: &[&EndpointSlice],
        node: &Node,
    ) {
        let all = targets(port, slices, &node.name);
        let affinity_s = affinity(spec);
        let number = port.port as u16;
        let internal_local = spec.internal_traffic_policy.as_deref() == Some("Local");
        let external_local = spec.external_traffic_policy.as_deref() == Some("Local");
        let chosen = |local: bool| if local { all.local.as_slice() } else { all.cluster.as_slice() };
        let elsewhere = |local: bool| local && !all.cluster.is_empty();
        self.way(
            Way {
                on: Entry::Address,
                key: address_key(cluster_ip, protocol, number),
                targets: chosen(internal_local),
                elsewhere: elsewhere(internal_local),
                masquerade: Masquerade::FromOutside,
            },
            affinity_s,
        );
        let masquerade = if external_local { Masquerade::Never } else { Masquerade::Always };
        for address in outside_addresses(service, spec) {
            let key = address_key(address, protocol, number);
            let way = Way { on: Entry::Address, key, targets: chosen(external_local), elsewhere: elsewhere(external_local), masquerade };
            self.way(way, affinity_s);
        }
        let node_port = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        if let Some(node_port) = node_port {
            let key = port_key(protocol, node_port);
            let way = Way { on: Entry::NodePort, key, targets: chosen(external_local), elsewhere: elsewhere(external_local), masquerade };
            self.way(way, affinity_s);
        }
        if protocol == 17 {
            self.udp.insert((Some(cluster_ip), number), chosen(internal_local).to_vec());
            self.udp.extend(node_port.map(|port| ((None, port), chosen(external_local).to_vec())));
        }
    }

    fn way(&mut self, way: Way, affinity_s: Option<u32>) {
        let by = |address: &'static str, port: &'static str| if way.on == Entry::Address { address } else { port };
        if way.targets.is_empty() {
            let map = if way.elsewhere { by("drop", "port-drop") } else { by("reject", "port-reject") };
            self.elements.insert((map, way.key), Data::None);
            return;
        }
        let balancer = Balancer { on: way.on, endpoints: way.targets.len() as u32, affinity_s };
        for (index, target) in way.targets.iter().enumerate() {
            let value = target_bytes(*target);
            let key = [&way.key[..], &(index as u32).to_ne_bytes()].concat();
            self.elements.insert((by("endpoints", "port-endpoints"), key), Data::Value(value.clone()));
            if affinity_s.is_some() {
                self.elements.insert((by("live", "port-live"), [&way.key[..], &value].concat()), Data::None);
            }
            self.elements.insert(("own", [target.0.octets(), target.0.octets()].concat()), Data::None);
        }
        match way.masquerade {
            Masquerade::Always => drop(self.elements.insert((by("masquerade", "port-masquerade"), way.key.clone()), Data::None)),
            Masquerade::FromOutside => drop(self.elements.insert(("masquerade-from-outside", way.key.clone()), Data::None)),
            Masquerade::Never => {}
        }
        let verdict = Data::Verdict(Verdict::Goto(balancer.chain()));
        self.elements.insert((by("services", "node-ports"), way.key), verdict);
        self.balancers.insert(balancer);
    }
}

fn affinity(spec: &ServiceSpec) -> Option<u32> {
    (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        config.and_then(|client_ip| client_ip.timeout_seconds).unwrap_or(DEFAULT_AFFINITY_S) as u32
    })
}

/// External IPs and the load balancer's.
fn outside_addresses(service: &Service, spec: &ServiceSpec) -> BTreeSet<Ipv4Addr> {
    let external = spec.external_ips.iter().flatten().filter_map(|ip| ip.parse().ok());
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let virtual_ips = ingress.iter().filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
    external.chain(virtual_ips.filter_map(|ingress| ingress.ip.as_ref()?.parse().ok())).collect()
}

fn address_key(address: Ipv4Addr, protocol: u8, port: u16) -> Vec<u8> {
    [&address.octets()[..], &port_key(protocol, port)].concat()
}

fn port_key(protocol: u8, port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    vec![protocol, 0, 0, 0, high, low, 0, 0]
}

fn target_bytes((address, port): Target) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    [&address.octets()[..], &[high, low, 0, 0]].concat()
}

#[cfg(test)]
mod tests;
