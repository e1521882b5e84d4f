//! Answers for names in the cluster's domain and for addresses of its services. Pure: the same records give the same answer.
//! The names are those of the Kubernetes DNS specification, version 1.1.0.
use crate::records::Records;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use std::net::IpAddr;
use std::sync::Arc;

/// Seconds for which answers of the zone may be kept.
pub const TTL_S: u32 = 5;
const SPECIFICATION: &str = "1.1.0";

/// What the zone says to a question.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // one at a time, on the stack
pub enum Answer {
    /// Records, or none for a name that exists without such a record.
    Found(Vec<Record>),
    NoSuchName,
    /// The name leads out of the cluster: this record, and what the resolvers say about the name.
    Elsewhere(Record, Name),
    /// Not a name of this zone.
    NotOurs,
}

/// The cluster's domain, `cluster.local.`.
pub struct Zone {
    pub domain: Name,
}

impl Zone {
    pub fn answer(&self, records: &dyn Records, name: &Name, wanted: RecordType) -> Answer {
        if let Ok(address) = name.parse_arpa_name() {
            return reverse(&self.domain, records, name, address.addr(), wanted);
        }
        if !self.domain.zone_of(name) {
            return Answer::NotOurs;
        }
        let own = usize::from(self.domain.num_labels());
        let labels: Vec<String> = name.iter().map(|label| String::from_utf8_lossy(label).to_lowercase()).collect();
        let labels: Vec<&str> = labels[..labels.len().saturating_sub(own)].iter().map(String::as_str).collect();
        match labels.as_slice() {
            [] | ["svc"] | ["pod"] => Answer::Found(Vec::new()),
            ["dns-version"] if wanted == RecordType::TXT => found(name, vec![RData::TXT(TXT::new(vec![SPECIFICATION.into()]))]),
            ["dns-version"] => Answer::Found(Vec::new()),
            [namespace, "svc"] => exists(records.has_services(namespace)),
            [address, _, "pod"] => pod(name, address, wanted),
            [service, namespace, "svc"] => self.service(records, name, namespace, service, wanted),
            [port, protocol, service, namespace, "svc"] if port.starts_with('_') && protocol.starts_with('_') => {
                self.ports(records, name, namespace, service, Some((&port[1..], &protocol[1..])), wanted)
            }
            [host, service, namespace, "svc"] => self.endpoint(records, name, namespace, service, host, wanted),
            _ => Answer::NoSuchName,
        }
    }

    /// The record that goes with negative answers.
    pub fn authority(&self) -> Record {
        let server = self.domain.prepend_label("dns").and_then(|name| name.prepend_label("ns")).unwrap_or(self.domain.clone());
        let contact = self.domain.prepend_label("hostmaster").unwrap_or(self.domain.clone());
        let soa = SOA::new(server, contact, 1, 7200, 1800, 86_400, TTL_S);
        Record::from_rdata(self.domain.clone(), TTL_S, RData::SOA(soa))
    }

    fn service(&self, records: &dyn Records, name: &Name, namespace: &str, service: &str, wanted: RecordType) -> Answer {
        let Some(object) = records.service(namespace, service) else { return Answer::NoSuchName };
        let Some(spec) = &object.spec else { return Answer::NoSuchName };
        if let Some(target) = external_name(spec) {
            let record = Record::from_rdata(name.clone(), TTL_S, RData::CNAME(CNAME(target.clone())));
            return Answer::Elsewhere(record, target);
        }
        if wanted == RecordType::SRV {
            return self.ports(records, name, namespace, service, None, wanted);
        }
        let addresses: Vec<IpAddr> = match is_headless(spec) {
            false => spec.cluster_ips.iter().flatten().filter_map(|ip| ip.parse().ok()).collect(),
            true => ready(&records.slices(namespace, service)).flat_map(addresses).collect(),
        };
        if is_headless(spec) && addresses.is_empty() {
            return Answer::NoSuchName;
        }
        found(name, addresses.into_iter().filter_map(|address| address_data(address, wanted)).collect())
    }

    /// A pod of a headless service by its hostname, or by its address with dashes.
    fn endpoint(&self, records: &dyn Records, name: &Name, namespace: &str, service: &str, host: &str, wanted: RecordType) -> Answer {
        let headless = records.service(namespace, service).is_some_and(|service| service.spec.as_ref().is_some_and(is_headless));
        if !headless {
            return Answer::NoSuchName;
        }
        let slices = records.slices(namespace, service);
        let named = ready(&slices).filter(|endpoint| host_of(endpoint) == host);
        let addresses: Vec<IpAddr> = named.flat_map(addresses).collect();
        match addresses.is_empty() {
            true => Answer::NoSuchName,
            false => found(name, addresses.into_iter().filter_map(|address| address_data(address, wanted)).collect()),
        }
    }

    /// SRV records of all ports, or of the one that is named.
    fn ports(
        &self,
        records: &dyn Records,
        name: &Name,
        namespace: &str,
        service: &str,
        named: Option<(&str, &str)>,
        wanted: RecordType,
    ) -> Answer {
        let object = records.service(namespace, service);
        let Some(spec) = object.as_ref().and_then(|object| object.spec.as_ref()) else { return Answer::NoSuchName };
        let base = self.name(&[service, namespace, "svc"]);
        let fits = |port: &str, protocol: &str| named.is_none_or(|(n, p)| n == port && p.eq_ignore_ascii_case(protocol));
        let mut data: Vec<RData> = Vec::new();
        if is_headless(spec) {
            for slice in records.slices(namespace, service) {
                let ports = slice.ports.iter().flatten();
                let ports = ports.filter(|port| fits(port.name.as_deref().unwrap_or_default(), port.protocol.as_deref().unwrap_or("TCP")));
                for number in ports.filter_map(|port| port.port) {
                    let targets = ready(std::slice::from_ref(&slice)).filter_map(|endpoint| base.prepend_label(host_of(endpoint)).ok());
                    data.extend(targets.map(|target| srv(number, target)));
                }
            }
        } else {
            let ports = spec.ports.iter().flatten();
            let ports = ports.filter(|port| fits(port.name.as_deref().unwrap_or_default(), port.protocol.as_deref().unwrap_or("TCP")));
            data.extend(ports.map(|port| srv(port.port, base.clone())));
        }
        match data.is_empty() {
            true => Answer::NoSuchName,
            false if wanted == RecordType::SRV => found(name, data),
            false => Answer::Found(Vec::new()),
        }
    }

    fn name(&self, labels: &[&str]) -> Name {
        let name = labels.iter().rev().try_fold(self.domain.clone(), |name, label| name.prepend_label(*label));
        name.unwrap_or(self.domain.clone())
    }
}

fn exists(does: bool) -> Answer {
    if does { Answer::Found(Vec::new()) } else { Answer::NoSuchName }
}

fn found(name: &Name, data: Vec<RData>) -> Answer {
    Answer::Found(data.into_iter().map(|data| Record::from_rdata(name.clone(), TTL_S, data)).collect())
}

fn srv(port: i32, target: Name) -> RData {
    RData::SRV(SRV::new(0, 100, port as u16, target))
}

fn address_data(address: IpAddr, wanted: RecordType) -> Option<RData> {
    match (address, wanted) {
        (IpAddr::V4(address), RecordType::A | RecordType::ANY) => Some(RData::A(A(address))),
        (IpAddr::V6(address), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(address))),
        _ => None,
    }
}

fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

fn external_name(spec: &ServiceSpec) -> Option<Name> {
    let target = (spec.type_.as_deref() == Some("ExternalName")).then_some(spec.external_name.as_deref()).flatten()?;
    let mut name = Name::from_str_relaxed(target).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// Endpoints that may be told; those of services that publish unready addresses are marked ready by who makes the slices.
fn ready(slices: &[Arc<EndpointSlice>]) -> impl Iterator<Item = &Endpoint> {
    let is_ready = |endpoint: &&Endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
    slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()).filter(is_ready)
}

fn addresses(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    endpoint.addresses.iter().filter_map(|address| address.parse().ok())
}

/// The endpoint's hostname, or its address with dashes for one that has none.
fn host_of(endpoint: &Endpoint) -> String {
    let dashed = || endpoint.addresses.first().map(|address| address.replace(['.', ':'], "-")).unwrap_or_default();
    endpoint.hostname.clone().unwrap_or_else(dashed)
}

/// `10-1-0-5.default.pod.cluster.local`: the address itself, no pod is looked up.
fn pod(name: &Name, dashed: &str, wanted: RecordType) -> Answer {
    let address = dashed.replace('-', ".").parse().or_else(|_| dashed.replace('-', ":").parse());
    match address {
        Ok(address) => found(name, address_data(address, wanted).into_iter().collect()),
        Err(_) => Answer::NoSuchName,
    }
}

/// The names of an address: services that have it, then pods of headless services. Others may know it if we do not.
fn reverse(domain: &Name, records: &dyn Records, name: &Name, address: IpAddr, wanted: RecordType) -> Answer {
    let own = |parts: &[&str]| {
        let full = parts.iter().rev().try_fold(domain.clone(), |name, label| name.prepend_label(*label));
        full.map(|target| RData::PTR(PTR(target))).ok()
    };
    let place = |meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| meta.namespace.clone().unwrap_or_default();
    let of_service = |service: &Arc<Service>| own(&[service.metadata.name.as_deref()?, &place(&service.metadata), "svc"]);
    let mut names: Vec<RData> = records.services_at(address).iter().filter_map(of_service).collect();
    if names.is_empty() {
        for slice in records.slices_at(address) {
            let namespace = place(&slice.metadata);
            let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name").cloned());
            let headless =
                |service: &String| records.service(&namespace, service).is_some_and(|s| s.spec.as_ref().is_some_and(is_headless));
            let Some(service) = service.filter(headless) else { continue };
            let here = slice.endpoints.iter().flatten().filter(|endpoint| endpoint.addresses.contains(&address.to_string()));
            names.extend(here.filter_map(|endpoint| own(&[&host_of(endpoint), &service, &namespace, "svc"])));
        }
    }
    match names.is_empty() {
        true => Answer::NotOurs,
        false if wanted == RecordType::PTR => found(name, names),
        false => Answer::Found(Vec::new()),
    }
}

#[cfg(test)]
mod tests;
