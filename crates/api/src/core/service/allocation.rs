//! What a service needs of addresses and ports, and how what it was given is kept over updates: all without handing out any.
use crate::access::{Entries, List, Text};
use crate::forms::parse_ip;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use machinery::errors::Errors;

pub const NONE: &str = "None";
pub const IPV4: &str = "IPv4";
pub const IPV6: &str = "IPv6";

/// What the API server has to hand out to a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// One address per family, in order; empty where all are there, or none are wanted.
    pub cluster_ips: Vec<Wanted>,
    /// Ports (by their place in `spec.ports`) that need a port of every node.
    pub node_ports: Vec<usize>,
    /// Ports of every node that the service names itself, to be taken.
    pub named_node_ports: Vec<i32>,
    pub health_check_node_port: bool,
}

/// An address: any of a family, or a certain one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub family: String,
    /// Empty for any.
    pub address: String,
}

pub fn needs_cluster_ip(spec: &ServiceSpec) -> bool {
    spec.type_.text() != "ExternalName"
}

pub fn needs_node_ports(spec: &ServiceSpec) -> bool {
    match spec.type_.text() {
        "NodePort" => true,
        "LoadBalancer" => spec.allocate_load_balancer_node_ports.unwrap_or(true),
        _ => false,
    }
}

pub fn needs_health_check(spec: &ServiceSpec) -> bool {
    spec.type_.text() == "LoadBalancer" && spec.external_traffic_policy.text() == "Local"
}

pub fn externally_accessible(spec: &ServiceSpec) -> bool {
    match spec.type_.text() {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !spec.external_ips.list().is_empty(),
        _ => false,
    }
}

pub fn is_headless(spec: &ServiceSpec) -> bool {
    matches!(spec.cluster_ips.list(), [only] if only == NONE) || (spec.cluster_ips.list().is_empty() && spec.cluster_ip.text() == NONE)
}

/// `IPv4` or `IPv6`.
pub fn family_of(address: &str) -> &'static str {
    if parse_ip(address).is_some_and(|address| address.is_ipv6()) { IPV6 } else { IPV4 }
}

/// What is still to be handed out; call after `families`.
pub fn needs(spec: &ServiceSpec) -> Needs {
    let mut needs =
        Needs { health_check_node_port: needs_health_check(spec) && spec.health_check_node_port.unwrap_or(0) == 0, ..Needs::default() };
    if needs_cluster_ip(spec) && !is_headless(spec) {
        let given = spec.cluster_ips.list();
        let wanted =
            |(index, family): (usize, &String)| Wanted { family: family.clone(), address: given.get(index).cloned().unwrap_or_default() };
        needs.cluster_ips = spec.ip_families.list().iter().enumerate().map(wanted).collect();
    }
    for (index, port) in spec.ports.list().iter().enumerate() {
        match port.node_port.unwrap_or(0) {
            0 if needs_node_ports(spec) => needs.node_ports.push(index),
            0 => {}
            named => needs.named_node_ports.push(named),
        }
    }
    needs
}

/// Fills `ipFamilyPolicy` and `ipFamilies` for a cluster that has these families, the first its default. The caller has put
/// nothing on the path.
pub fn families(service: &mut Service, old: Option<&Service>, cluster: &[&str], errors: &mut Errors) {
    const POLICY: &str = "spec.ipFamilyPolicy";
    let old = old.and_then(|old| old.spec.as_ref());
    let Some(spec) = service.spec.as_mut().filter(|spec| needs_cluster_ip(spec)) else { return };
    let selectorless = spec.cluster_ip.text() == NONE && spec.selector.entries().next().is_none();
    if spec.ip_family_policy.is_none() {
        let before = old.and_then(|old| old.ip_family_policy.clone());
        let policy = if selectorless { "RequireDualStack" } else { "SingleStack" };
        spec.ip_family_policy = Some(before.unwrap_or_else(|| policy.into()));
    }
    let policy = spec.ip_family_policy.clone().unwrap_or_default();
    let single = policy == "SingleStack";
    if let Some(old) = old.filter(|_| single) {
        if old.cluster_ips == spec.cluster_ips {
            spec.cluster_ips.iter_mut().for_each(|ips| ips.truncate(1));
        }
        if old.ip_families == spec.ip_families {
            spec.ip_families.iter_mut().for_each(|families| families.truncate(1));
        }
    }
    if single && spec.cluster_ips.list().len() == 2 {
        errors.invalid(POLICY, &policy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified");
    }
    if single && spec.ip_families.list().len() == 2 {
        errors.invalid(POLICY, &policy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified");
    }
    let mut families = spec.ip_families.clone().unwrap_or_default();
    for (index, address) in spec.cluster_ips.list().iter().enumerate().filter(|(_, address)| *address != NONE) {
        let family = family_of(address);
        if index >= families.len() && cluster.contains(&family) {
            families.push(family.into());
        } else if index >= families.len() {
            errors.invalid(
                &format!("spec.clusterIPs[{index}]"),
                spec.cluster_ips.list(),
                &format!("{family} is not configured on this cluster"),
            );
        }
    }
    if !selectorless {
        if policy == "RequireDualStack" && cluster.len() < 2 {
            errors.invalid(POLICY, &policy, "this cluster is not configured for dual-stack services");
        }
        for (index, family) in families.iter().enumerate().filter(|(_, family)| !cluster.contains(&family.as_str())) {
            errors.invalid(&format!("spec.ipFamilies[{index}]"), family, "not configured on this cluster");
        }
    }
    if families.is_empty() {
        families.extend(cluster.first().map(|family| family.to_string()));
    }
    if let ([only], true) = (&families[..], !single && (selectorless || cluster.len() == 2)) {
        let other = if only == IPV4 { IPV6 } else { IPV4 };
        families.push(other.into());
    }
    spec.ip_families = Some(families);
}

/// `clusterIP` is the first of `clusterIPs`; older clients set only the former.
pub fn same_addresses(service: &mut Service, old: Option<&Service>) {
    let Some(spec) = &mut service.spec else { return };
    let single = spec.cluster_ip.text().to_string();
    let Some(old) = old.and_then(|old| old.spec.as_ref()) else {
        if !single.is_empty() && spec.cluster_ips.list().is_empty() {
            spec.cluster_ips = Some(vec![single]);
        }
        return;
    };
    if spec.cluster_ips.list().is_empty() && old.cluster_ip.text() == single {
        spec.cluster_ips.clone_from(&old.cluster_ips);
    }
    if old.cluster_ip.text() != single && old.cluster_ips.list() == spec.cluster_ips.list() {
        spec.cluster_ips = Some(single).filter(|single| !single.is_empty()).map(|single| vec![single]);
    }
}

/// An update that leaves out what was handed out keeps it.
pub fn keep_allocated(new: &mut Service, old: &Service) {
    let (Some(spec), Some(old)) = (&mut new.spec, &old.spec) else { return };
    if needs_cluster_ip(old) && needs_cluster_ip(spec) {
        if spec.cluster_ip.text().is_empty() {
            spec.cluster_ip.clone_from(&old.cluster_ip);
        }
        if spec.cluster_ips.list().is_empty() {
            spec.cluster_ips.clone_from(&old.cluster_ips);
        }
    }
    if needs_node_ports(old) && needs_node_ports(spec) {
        let used: Vec<i32> = spec.ports.list().iter().filter_map(|port| port.node_port).collect();
        for port in spec.ports.iter_mut().flatten().filter(|port| port.node_port.unwrap_or(0) == 0) {
            let before = old.ports.list().iter().find(|known| known.name.text() == port.name.text());
            port.node_port = before.and_then(|before| before.node_port).filter(|number| !used.contains(number));
        }
    }
    if needs_health_check(old) && needs_health_check(spec) && spec.health_check_node_port.unwrap_or(0) == 0 {
        spec.health_check_node_port = old.health_check_node_port;
    }
}

/// A changed type gives back what the client did not change and the new type cannot have.
pub fn drop_unneeded(new: &mut Service, old: &Service) {
    let (Some(spec), Some(old)) = (&mut new.spec, &old.spec) else { return };
    let ports_of = |spec: &ServiceSpec| matches!(spec.type_.text(), "NodePort" | "LoadBalancer");
    if needs_cluster_ip(old) && !needs_cluster_ip(spec) {
        if old.cluster_ip == spec.cluster_ip && old.cluster_ips == spec.cluster_ips {
            (spec.cluster_ip, spec.cluster_ips) = (None, None);
        }
        if old.ip_families == spec.ip_families {
            spec.ip_families = None;
        }
        if old.ip_family_policy == spec.ip_family_policy {
            spec.ip_family_policy = None;
        }
    }
    let numbers = |ports: &[ServicePort]| ports.iter().map(|port| port.node_port.unwrap_or(0)).collect::<Vec<_>>();
    if ports_of(old) && !ports_of(spec) && numbers(old.ports.list()).iter().all(|number| numbers(spec.ports.list()).contains(number)) {
        spec.ports.iter_mut().flatten().for_each(|port| port.node_port = None);
    }
    if needs_health_check(old) && !needs_health_check(spec) && old.health_check_node_port == spec.health_check_node_port {
        spec.health_check_node_port = None;
    }
    let balanced = |spec: &ServiceSpec| spec.type_.text() == "LoadBalancer";
    if balanced(old) && !balanced(spec) {
        if old.allocate_load_balancer_node_ports == spec.allocate_load_balancer_node_ports {
            spec.allocate_load_balancer_node_ports = None;
        }
        if old.load_balancer_class == spec.load_balancer_class {
            spec.load_balancer_class = None;
        }
    }
    if externally_accessible(old) && !externally_accessible(spec) && old.external_traffic_policy == spec.external_traffic_policy {
        spec.external_traffic_policy = None;
    }
    if !balanced(spec)
        && let Some(status) = &mut new.status
    {
        status.load_balancer = Some(Default::default());
    }
}
