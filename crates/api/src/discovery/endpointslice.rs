//! EndpointSlice: some of the places behind a service.
use crate::check::{OBJECT_VERBS, column, some_of};
use crate::meta::{immutable, labels, report};
use crate::networking::addresses;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointPort, EndpointSlice};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names};
use machinery::table::{age_column, name_column};
use std::net::IpAddr;

const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const MAX_TOPOLOGY_LABELS: usize = 16;
const MAX_HINTS: usize = 8;
const SHOWN: usize = 3;

pub static ENDPOINTSLICE: Kind<EndpointSlice> = Kind {
    default: |slice| {
        for endpoint in slice.endpoints.iter_mut().flatten() {
            endpoint.conditions.get_or_insert_default();
        }
        for port in slice.ports.iter_mut().flatten() {
            port.name.get_or_insert_default();
            port.protocol.get_or_insert_with(|| "TCP".into());
        }
    },
    on_create: |slice| {
        slice.metadata.generation = Some(1);
        drop_topology(slice);
    },
    on_update: |new, old| {
        if new.endpoints != old.endpoints {
            drop_topology(new);
        }
        let changed = new.endpoints != old.endpoints || new.ports != old.ports || new.address_type != old.address_type;
        let changed = changed || new.metadata.labels != old.metadata.labels;
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(changed));
    },
    validate,
    validate_update: |new, old, errors| immutable(errors, "addressType", &new.address_type, &old.address_type),
    warnings: |slice| {
        let deprecated = slice.address_type == "FQDN";
        deprecated.then(|| "spec.addressType: FQDN endpoints are deprecated".into()).into_iter().collect()
    },
    columns: &[
        name_column(),
        column("AddressType", "string", |slice, _| slice.address_type.as_str().into()),
        column("Ports", "string", |slice, _| some_of(slice.ports.iter().flatten().map(shown_port), SHOWN).into()),
        column("Endpoints", "string", |slice, _| {
            some_of(slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone()), SHOWN).into()
        }),
        age_column(),
    ],
    ..Kind::of(Names {
        group: "discovery.k8s.io",
        version: "v1",
        kind: "EndpointSlice",
        plural: "endpointslices",
        singular: "endpointslice",
        short: &[],
        categories: &[],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "endpointslices",
        schema: "io.k8s.api.discovery.v1.EndpointSlice",
    })
};

/// Labels of topology came with v1beta1; v1 has fields for them.
fn drop_topology(slice: &mut EndpointSlice) {
    slice.endpoints.iter_mut().flatten().for_each(|endpoint| endpoint.deprecated_topology = None);
}

fn shown_port(port: &EndpointPort) -> String {
    match (port.port, &port.name) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.clone(),
        (None, None) => "*".into(),
    }
}

fn validate(slice: &EndpointSlice, errors: &mut Errors) {
    match slice.address_type.as_str() {
        "" => errors.required("addressType", ""),
        "IPv4" | "IPv6" | "FQDN" => {}
        other => errors.not_supported("addressType", other, &["FQDN", "IPv4", "IPv6"]),
    }
    let ports = slice.ports.as_deref().unwrap_or_default();
    if ports.len() > MAX_PORTS {
        errors.too_many("ports", ports.len(), MAX_PORTS);
    } else {
        errors.each("ports", ports.iter().enumerate(), |errors, (index, port)| validate_port(port, &ports[..index], errors));
    }
    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
    if endpoints.len() > MAX_ENDPOINTS {
        return errors.too_many("endpoints", endpoints.len(), MAX_ENDPOINTS);
    }
    errors.each("endpoints", endpoints, |errors, endpoint| validate_endpoint(endpoint, &slice.address_type, errors));
}

fn validate_port(port: &EndpointPort, earlier: &[EndpointPort], errors: &mut Errors) {
    let name = port.name.as_deref().unwrap_or_default();
    if !name.is_empty() {
        report(errors, "name", name, content::dns_label(name));
    }
    if earlier.iter().any(|earlier| earlier.name == port.name) {
        errors.duplicate("name", name);
    }
    match port.protocol.as_deref() {
        None => errors.required("protocol", ""),
        Some("TCP" | "UDP" | "SCTP") => {}
        Some(other) => errors.not_supported("protocol", other, &["SCTP", "TCP", "UDP"]),
    }
    if let Some(protocol) = &port.app_protocol {
        report(errors, "appProtocol", protocol, content::label_key(protocol));
    }
}

fn validate_endpoint(endpoint: &Endpoint, kind: &str, errors: &mut Errors) {
    match endpoint.addresses.len() {
        0 => errors.required("addresses", ""),
        count if count > MAX_ADDRESSES => errors.too_many("addresses", count, MAX_ADDRESSES),
        _ => {}
    }
    for (index, address) in endpoint.addresses.iter().enumerate() {
        errors.at(&format!("addresses[{index}]"), |errors| validate_address(address, kind, errors));
        if let Some(ip) = address.parse::<IpAddr>().ok().filter(|_| kind.starts_with("IPv"))
            && ip.is_ipv4() != (kind == "IPv4")
        {
            errors.invalid("addresses", address, &format!("must be an {kind} address"));
        }
    }
    if let Some(node) = &endpoint.node_name {
        report(errors, "nodeName", node, content::dns_subdomain(node));
    }
    if let Some(topology) = &endpoint.deprecated_topology {
        if topology.len() > MAX_TOPOLOGY_LABELS {
            errors.too_many("deprecatedTopology", topology.len(), MAX_TOPOLOGY_LABELS);
        }
        labels(errors, "deprecatedTopology", Some(topology));
    }
    if let Some(hostname) = &endpoint.hostname {
        report(errors, "hostname", hostname, content::dns_label(hostname));
    }
    if let Some(hints) = &endpoint.hints {
        errors.at("hints", |errors| validate_hints(hints, errors));
    }
}

fn validate_address(address: &str, kind: &str, errors: &mut Errors) {
    match kind {
        "IPv4" | "IPv6" => {
            let Some(ip) = addresses::ip(errors, "", address) else { return };
            addresses::endpoint(errors, "", ip);
        }
        "FQDN" => {
            let name = address.strip_suffix('.').unwrap_or(address);
            let problems = content::dns_subdomain(name);
            if address.is_empty() {
                errors.required("", "");
            } else if !problems.is_empty() {
                errors.invalid("", name, &problems.join(","));
            } else if !name.contains('.') {
                errors.invalid("", name, "should be a domain with at least two segments separated by dots");
            }
        }
        _ => {}
    }
}

fn validate_hints(hints: &EndpointHints, errors: &mut Errors) {
    let zones = hints.for_zones.iter().flatten().map(|zone| zone.name.as_str()).collect::<Vec<_>>();
    let nodes = hints.for_nodes.iter().flatten().map(|node| node.name.as_str()).collect::<Vec<_>>();
    validate_names("forZones", &zones, content::label_value, errors);
    validate_names("forNodes", &nodes, content::dns_subdomain, errors);
}

fn validate_names(field: &str, names: &[&str], problems: fn(&str) -> Vec<String>, errors: &mut Errors) {
    if names.len() > MAX_HINTS {
        return errors.too_many(field, names.len(), MAX_HINTS);
    }
    errors.each(field, names.iter().enumerate(), |errors, (index, name)| {
        if names[..index].contains(name) {
            errors.duplicate("name", name);
        }
        report(errors, "name", name, problems(name));
    });
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"web-1","namespace":"x"},"addressType":"IPv4",
    "endpoints":[{"addresses":["10.0.0.1"]}],"ports":[{"port":80}]}"#;
