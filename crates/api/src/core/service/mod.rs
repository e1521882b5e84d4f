//! Service: a name and an address for pods. Addresses and ports are handed out by the API server; what a service needs of them
//! says `allocation`.
pub mod allocation;
mod validate;

use crate::access::{Entries, List, Text, fill};
use crate::columns::{labels, text, wide};
use crate::core::names::{READ_WRITE, core};
use allocation::{externally_accessible, is_headless};
use k8s_openapi::api::core::v1::{LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::kind::{Field, Kind, NameRule, Names, Subresource};
use machinery::table::{age_column, name_column, or_none};
use std::collections::BTreeSet;

const AFFINITY_SECONDS: i32 = 10_800;
/// How much of a load balancer's addresses a row shows.
const BALANCER_WIDTH: usize = 16;

pub static SERVICE: Kind<Service> = Kind {
    default,
    on_create: |service| {
        service.status = Some(empty_status());
        allocation::same_addresses(service, None);
    },
    on_update: |new, old| {
        new.status.clone_from(&old.status);
        allocation::keep_allocated(new, old);
        allocation::same_addresses(new, Some(old));
        allocation::drop_unneeded(new, old);
    },
    validate: validate::validate,
    validate_update: validate::validate_update,
    warnings,
    columns: &[
        name_column(),
        text("Type", |service, _| kind(service).into()),
        text("Cluster-IP", |service, _| {
            let first = service.spec.as_ref().and_then(|spec| spec.cluster_ips.list().first());
            first.map_or("<none>", String::as_str).into()
        }),
        text("External-IP", |service, _| external_ip(service).into()),
        text("Port(s)", |service, _| or_none(&ports(service)).into()),
        age_column(),
        wide("Selector", |service, _| service.spec.as_ref().map_or("<none>".into(), |spec| labels(&spec.selector)).into()),
    ],
    fields: &[
        Field { path: "spec.clusterIP", value: |service| service.spec.as_ref().map_or("", |spec| spec.cluster_ip.text()).into() },
        Field { path: "spec.type", value: |service| kind(service).into() },
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: READ_WRITE,
        prepare: |new, old| new.spec.clone_from(&old.spec),
        validate: |new, _, errors| validate::status(new, errors),
    }],
    create_on_update: true,
    name: NameRule::DnsLabel,
    ..Kind::of(Names {
        short: &["svc"],
        categories: &["all"],
        ..core("Service", "services", "service", "services/specs", "io.k8s.api.core.v1.Service")
    })
};

fn empty_status() -> ServiceStatus {
    ServiceStatus { load_balancer: Some(LoadBalancerStatus::default()), conditions: None }
}

/// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
pub fn kind(service: &Service) -> &str {
    service.spec.as_ref().map_or("", |spec| spec.type_.text())
}

fn default(service: &mut Service) {
    let spec = service.spec.get_or_insert_default();
    fill(&mut spec.session_affinity, "None");
    match spec.session_affinity.text() {
        "None" => spec.session_affinity_config = None,
        "ClientIP" => {
            let client = spec.session_affinity_config.get_or_insert_default().client_ip.get_or_insert_default();
            client.timeout_seconds.get_or_insert(AFFINITY_SECONDS);
        }
        _ => {}
    }
    fill(&mut spec.type_, "ClusterIP");
    spec.ports.iter_mut().flatten().for_each(default_port);
    if externally_accessible(spec) {
        fill(&mut spec.external_traffic_policy, "Cluster");
    }
    if ["NodePort", "LoadBalancer", "ClusterIP"].contains(&spec.type_.text()) {
        spec.internal_traffic_policy.get_or_insert_with(|| "Cluster".into());
    }
    let balanced = spec.type_.text() == "LoadBalancer";
    if balanced {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    }
    let balancer = service.status.get_or_insert_with(empty_status).load_balancer.get_or_insert_default();
    for ingress in balancer.ingress.iter_mut().flatten().filter(|ingress| balanced && !ingress.ip.text().is_empty()) {
        ingress.ip_mode.get_or_insert_with(|| "VIP".into());
    }
}

fn default_port(port: &mut ServicePort) {
    fill(&mut port.protocol, "TCP");
    let unset = match &port.target_port {
        None | Some(IntOrString::Int(0)) => true,
        Some(IntOrString::String(name)) => name.is_empty(),
        Some(IntOrString::Int(_)) => false,
    };
    if unset {
        port.target_port = Some(IntOrString::Int(port.port));
    }
}

fn external_ip(service: &Service) -> String {
    let none = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    let own = spec.external_ips.list();
    match spec.type_.text() {
        "ClusterIP" | "NodePort" => or_none(&own.join(",")).into(),
        "LoadBalancer" => {
            let balancer = balancer_addresses(service);
            let all: Vec<&str> =
                Some(balancer.as_str()).filter(|text| !text.is_empty()).into_iter().chain(own.iter().map(String::as_str)).collect();
            if all.is_empty() { "<pending>".into() } else { all.join(",") }
        }
        "ExternalName" => spec.external_name.text().into(),
        _ => "<unknown>".into(),
    }
}

fn balancer_addresses(service: &Service) -> String {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingresses = balancer.map_or(&[][..], |balancer| balancer.ingress.list());
    let names = ingresses.iter().map(|ingress| if ingress.ip.text().is_empty() { ingress.hostname.text() } else { ingress.ip.text() });
    let all: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    let text = all.into_iter().collect::<Vec<_>>().join(",");
    match text.get(..BALANCER_WIDTH - 3) {
        Some(front) if text.len() > BALANCER_WIDTH => format!("{front}..."),
        _ => text,
    }
}

fn ports(service: &Service) -> String {
    let ports = service.spec.as_ref().map_or(&[][..], |spec| spec.ports.list());
    let shown = ports.iter().map(|port| match port.node_port.unwrap_or(0) {
        0 => format!("{}/{}", port.port, port.protocol.text()),
        node => format!("{}:{node}/{}", port.port, port.protocol.text()),
    });
    shown.collect::<Vec<_>>().join(",")
}

fn warnings(service: &Service) -> Vec<String> {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    let Some(spec) = &service.spec else { return Vec::new() };
    let (headless, external_name) = (is_headless(spec), spec.type_.text() == "ExternalName");
    let mut all = Vec::new();
    if service.metadata.annotations.entries().any(|(key, _)| key == HINTS) {
        all.push(format!("annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"));
    }
    if headless {
        let ignored = [
            ("loadBalancerIP", !spec.load_balancer_ip.text().is_empty()),
            ("externalIPs", !spec.external_ips.list().is_empty()),
            ("SessionAffinity", spec.session_affinity.text() != "None"),
        ];
        all.extend(ignored.into_iter().filter(|(_, set)| *set).map(|(field, _)| format!("spec.{field} is ignored for headless services")));
    }
    if !spec.external_ips.list().is_empty() && !headless && !external_name {
        all.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".into());
    }
    if external_name && !spec.external_ips.list().is_empty() {
        all.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if !external_name && !spec.external_name.text().is_empty() {
        all.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
    if spec.traffic_distribution.text() == "PreferClose" {
        all.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".into());
    }
    all
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"x"},"spec":{"ports":[{"port":80}]}}"#;

#[cfg(test)]
mod tests;
