//! Endpoints: where a service's traffic goes, in the form of old.
use crate::access::{List, Text, fill};
use crate::columns::text;
use crate::core::names::core;
use crate::core::pod::validate::one_of;
use crate::forms::{ip, parse_ip};
use crate::meta::report;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, Endpoints};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names};
use machinery::table::{age_column, name_column};
use std::net::IpAddr;

/// How many endpoints a row shows.
const SHOWN: usize = 3;

pub static ENDPOINTS: Kind<Endpoints> = Kind {
    default: |endpoints| {
        let ports = endpoints.subsets.iter_mut().flatten().flat_map(|subset| subset.ports.iter_mut().flatten());
        ports.for_each(|port| fill(&mut port.protocol, "TCP"));
    },
    validate,
    columns: &[name_column(), text("Endpoints", |endpoints, _| shown(endpoints).into()), age_column()],
    create_on_update: true,
    ..Kind::of(Names {
        short: &["ep"],
        ..core("Endpoints", "endpoints", "endpoints", "services/endpoints", "io.k8s.api.core.v1.Endpoints")
    })
};

fn validate(endpoints: &Endpoints, errors: &mut Errors) {
    errors.each("subsets", endpoints.subsets.list(), |errors, subset| {
        let (ready, waiting, ports) = (subset.addresses.list(), subset.not_ready_addresses.list(), subset.ports.list());
        if ready.is_empty() && waiting.is_empty() {
            errors.required("", "must specify `addresses` or `notReadyAddresses`");
        }
        errors.each("addresses", ready, |errors, address| check_address(address, errors));
        errors.each("notReadyAddresses", waiting, |errors, address| check_address(address, errors));
        errors.each("ports", ports, |errors, port| check_port(port, ports.len() > 1, errors));
    });
}

fn check_address(address: &EndpointAddress, errors: &mut Errors) {
    ip(errors, "ip", &address.ip);
    if !address.hostname.text().is_empty() {
        report(errors, "hostname", address.hostname.text(), content::dns_label(address.hostname.text()));
    }
    if let Some(node) = &address.node_name {
        report(errors, "nodeName", node, content::dns_subdomain(node));
    }
    reachable(errors, "ip", &address.ip);
}

/// Refuses addresses that mean another machine's own.
pub fn reachable(errors: &mut Errors, field: &str, value: &str) {
    let Some(address) = parse_ip(value) else { return errors.invalid(field, value, "must be a valid IP address") };
    if address.is_unspecified() {
        errors.invalid(field, value, &format!("may not be unspecified ({value})"));
    }
    if address.is_loopback() {
        errors.invalid(field, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (local, multicast) = match address {
        IpAddr::V4(address) => (address.is_link_local(), address.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(address) => (address.segments()[0] & 0xffc0 == 0xfe80, address.segments()[0] & 0xff0f == 0xff02),
    };
    if local {
        errors.invalid(field, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        errors.invalid(field, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

fn check_port(port: &EndpointPort, named: bool, errors: &mut Errors) {
    match port.name.text() {
        "" if named => errors.required("name", ""),
        "" => {}
        name => report(errors, "name", name, content::dns_label(name)),
    }
    report(errors, "port", port.port, content::port_number(port.port.into()));
    one_of(errors, "protocol", port.protocol.text(), &["SCTP", "TCP", "UDP"]);
    if let Some(protocol) = &port.app_protocol {
        report(errors, "appProtocol", protocol, content::label_key(protocol));
    }
}

fn shown(endpoints: &Endpoints) -> String {
    let mut all: Vec<String> = Vec::new();
    for subset in endpoints.subsets.list() {
        let addresses = subset.addresses.list().iter().map(|address| &address.ip);
        match subset.ports.list() {
            [] => all.extend(addresses.cloned()),
            ports => all.extend(ports.iter().flat_map(|port| addresses.clone().map(|ip| host_port(ip, port.port)))),
        }
    }
    let first = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    match all.len() {
        0 if endpoints.subsets.list().is_empty() => "<none>".into(),
        count if count > SHOWN => format!("{first} + {} more...", count - SHOWN),
        _ => first,
    }
}

fn host_port(ip: &str, port: i32) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"a","namespace":"x"}}"#;
