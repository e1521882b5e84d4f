//! Checks of services, after addresses and ports are handed out.
use super::allocation::{externally_accessible, is_headless, needs_health_check};
use crate::access::{Entries, List, Text};
use crate::core::endpoints::reachable;
use crate::core::pod::validate::{one_of, port as check_target};
use crate::forms::{cidr, ip, parse_ip};
use crate::meta::{labels, report};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use machinery::content;
use machinery::errors::Errors;
use serde_json::json;

const BALANCED_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const FIXED: &str = "may not change once set";
const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITY_MAX_SECONDS: i32 = 86_400;
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

pub fn validate(service: &Service, errors: &mut Errors) {
    let none = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    errors.at("spec", |errors| {
        let headless = is_headless(spec);
        if spec.ports.list().is_empty() && !headless && spec.type_.text() != "ExternalName" {
            errors.required("ports", "");
        }
        by_type(spec, headless, errors);
        ports(spec, errors);
        labels(errors, "selector", spec.selector.as_ref());
        affinity(spec, errors);
        addresses(spec, errors);
        errors.each("externalIPs", spec.external_ips.list(), |errors, address| {
            let told = errors.causes().len();
            ip(errors, "", address);
            if errors.causes().len() == told {
                reachable(errors, "", address);
            }
        });
        one_of(errors, "type", spec.type_.text(), TYPES);
        node_ports(spec, errors);
        balancer(spec, errors);
        traffic(spec, errors);
    });
    source_range_annotation(service, spec, errors);
}

fn by_type(spec: &ServiceSpec, headless: bool, errors: &mut Errors) {
    match spec.type_.text() {
        kind @ ("LoadBalancer" | "NodePort") if headless => {
            errors.invalid("clusterIPs[0]", "None", &format!("may not be set to 'None' for {kind} services"));
        }
        "ExternalName" => {
            const WHY: &str = "may not be set for ExternalName services";
            for (field, there) in [
                ("clusterIPs", !spec.cluster_ips.list().is_empty()),
                ("ipFamilies", !spec.ip_families.list().is_empty()),
                ("ipFamilyPolicy", spec.ip_family_policy.is_some()),
            ] {
                if there {
                    errors.forbidden(field, WHY);
                }
            }
            let name = spec.external_name.text();
            match name.strip_suffix('.').unwrap_or(name) {
                "" => errors.required("externalName", ""),
                name => report(errors, "externalName", name, content::dns_subdomain(name)),
            }
        }
        _ => {}
    }
}

fn ports(spec: &ServiceSpec, errors: &mut Errors) {
    let all = spec.ports.list();
    let mut names: Vec<&str> = Vec::new();
    errors.each("ports", all, |errors, port| {
        match port.name.text() {
            "" if all.len() > 1 => errors.required("name", ""),
            "" => {}
            name => {
                report(errors, "name", name, content::dns_label(name));
                if names.contains(&name) {
                    errors.duplicate("name", name);
                }
                names.push(name);
            }
        }
        report(errors, "port", port.port, content::port_number(port.port.into()));
        one_of(errors, "protocol", port.protocol.text(), &["SCTP", "TCP", "UDP"]);
        if let Some(target) = &port.target_port {
            check_target(errors, "targetPort", target);
        }
        if let Some(protocol) = &port.app_protocol {
            report(errors, "appProtocol", protocol, content::label_key(protocol));
        }
    });
    for (index, port) in all.iter().enumerate() {
        let same = |known: &&ServicePort| known.protocol.text() == port.protocol.text() && known.port == port.port;
        if all[..index].iter().any(|known| same(&known)) {
            errors.duplicate(&format!("ports[{index}]"), json!({"protocol": port.protocol, "port": port.port}));
        }
    }
}

fn affinity(spec: &ServiceSpec, errors: &mut Errors) {
    const WHEN: &str = "when session affinity type is ClientIP";
    one_of(errors, "sessionAffinity", spec.session_affinity.text(), &["ClientIP", "None"]);
    let config = spec.session_affinity_config.as_ref();
    match spec.session_affinity.text() {
        "None" if config.is_some() => errors.forbidden("sessionAffinityConfig", "must not be set when session affinity is None"),
        "ClientIP" => errors.at("sessionAffinityConfig", |errors| {
            let Some(config) = config else { return errors.required("", WHEN) };
            let Some(client) = &config.client_ip else { return errors.required("clientIP", WHEN) };
            match client.timeout_seconds {
                None => errors.required("clientIP.timeoutSeconds", WHEN),
                Some(seconds) if !(1..=AFFINITY_MAX_SECONDS).contains(&seconds) => {
                    let why = format!("must be greater than 0 and less than {AFFINITY_MAX_SECONDS}");
                    errors.invalid("clientIP.timeoutSeconds", seconds, &why);
                }
                Some(_) => {}
            }
        }),
        _ => {}
    }
}

/// Checks cluster addresses and their families.
pub fn addresses(spec: &ServiceSpec, errors: &mut Errors) {
    if spec.type_.text() == "ExternalName" {
        return;
    }
    let (single, all, families) = (spec.cluster_ip.text(), spec.cluster_ips.list(), spec.ip_families.list());
    match (single, all.first()) {
        ("", Some(_)) => errors.invalid("clusterIPs", all, "must be empty when `clusterIP` is not specified"),
        ("", None) => {}
        (_, None) => errors.required("clusterIPs", ""),
        (single, Some(first)) if first != single => errors.invalid("clusterIPs", all, "first value must match `clusterIP`"),
        _ => {}
    }
    for (index, family) in families.iter().enumerate() {
        let field = format!("ipFamilies[{index}]");
        if !["IPv4", "IPv6"].contains(&family.as_str()) {
            errors.not_supported(&field, family, &["IPv4", "IPv6"]);
        }
        if families[..index].contains(family) {
            errors.duplicate(&field, family);
        }
    }
    const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
    if let Some(policy) = spec.ip_family_policy.as_deref().filter(|policy| !POLICIES.contains(policy)) {
        errors.not_supported("ipFamilyPolicy", policy, POLICIES);
    }
    let told = errors.causes().len();
    for (index, address) in all.iter().enumerate() {
        if index == 0 && address == "None" {
            if all.len() > 1 {
                errors.invalid("clusterIPs", all, "'None' must be the first and only value");
            }
        } else {
            ip(errors, &format!("clusterIPs[{index}]"), address);
        }
    }
    let bad = errors.causes().len() > told;
    if all.len() > 2 {
        errors.invalid("clusterIPs", all, "may only hold up to 2 values");
    }
    if !bad {
        of_family(all, families, errors);
    }
}

fn of_family(all: &[String], families: &[String], errors: &mut Errors) {
    let sixes: Vec<bool> = all.iter().map(|address| parse_ip(address).is_some_and(|address| address.is_ipv6())).collect();
    if all.len() > 1 && sixes.iter().filter(|six| **six).count() != 1 {
        errors.invalid("clusterIPs", all, "may specify no more than one IP for each IP family");
    }
    for (index, ((address, six), family)) in
        all.iter().zip(sixes).zip(families).enumerate().filter(|(_, ((address, _), _))| *address != "None")
    {
        if six != (family == "IPv6") {
            let why = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.invalid(&format!("clusterIPs[{index}]"), address, &why);
        }
    }
}

fn node_ports(spec: &ServiceSpec, errors: &mut Errors) {
    let all = spec.ports.list();
    for (index, port) in all.iter().enumerate().filter(|(_, port)| port.node_port.unwrap_or(0) != 0) {
        let field = format!("ports[{index}].nodePort");
        if spec.type_.text() == "ClusterIP" {
            errors.forbidden(&field, "may not be used when `type` is 'ClusterIP'");
        }
        let taken = |known: &ServicePort| known.node_port == port.node_port && known.protocol == port.protocol;
        if all[..index].iter().any(taken) {
            errors.duplicate(&field, port.node_port);
        }
    }
}

fn balancer(spec: &ServiceSpec, errors: &mut Errors) {
    let balanced = spec.type_.text() == "LoadBalancer";
    let ranges = spec.load_balancer_source_ranges.list();
    if !ranges.is_empty() && !balanced {
        errors.forbidden("LoadBalancerSourceRanges", BALANCED_ONLY);
    }
    errors.each("LoadBalancerSourceRanges", ranges, |errors, range| {
        cidr(errors, "", range.trim());
    });
    if spec.allocate_load_balancer_node_ports.is_some() && !balanced {
        errors.forbidden("allocateLoadBalancerNodePorts", BALANCED_ONLY);
    }
    match &spec.load_balancer_class {
        Some(_) if !balanced => errors.forbidden("loadBalancerClass", BALANCED_ONLY),
        Some(class) => report(errors, "loadBalancerClass", class, content::label_key(class)),
        None => {}
    }
}

/// The annotation of old, for where the field is not used.
fn source_range_annotation(service: &Service, spec: &ServiceSpec, errors: &mut Errors) {
    if !spec.load_balancer_source_ranges.list().is_empty() {
        return;
    }
    for (_, value) in service.metadata.annotations.entries().filter(|(key, _)| *key == SOURCE_RANGES) {
        errors.key("metadata.annotations", SOURCE_RANGES, |errors| {
            if spec.type_.text() != "LoadBalancer" {
                errors.forbidden("", BALANCED_ONLY);
            }
            for range in value.split(',').map(str::trim).filter(|_| !value.trim().is_empty()) {
                cidr(errors, "", range);
            }
        });
    }
}

fn traffic(spec: &ServiceSpec, errors: &mut Errors) {
    let policy = spec.external_traffic_policy.text();
    if externally_accessible(spec) {
        one_of(errors, "externalTrafficPolicy", policy, &["Cluster", "Local"]);
    } else if !policy.is_empty() {
        errors.invalid("externalTrafficPolicy", policy, "may only be set for externally-accessible services");
    }
    match (needs_health_check(spec), spec.health_check_node_port.unwrap_or(0)) {
        (true, 0) => errors.required("healthCheckNodePort", ""),
        (true, port) => report(errors, "healthCheckNodePort", port, content::port_number(port.into())),
        (false, 0) => {}
        (false, port) => {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.invalid("healthCheckNodePort", port, why);
        }
    }
    match spec.internal_traffic_policy.as_deref() {
        None if spec.type_.text() != "ExternalName" => errors.required("internalTrafficPolicy", ""),
        None | Some("Cluster" | "Local") => {}
        Some(other) => errors.not_supported("internalTrafficPolicy", other, &["Cluster", "Local"]),
    }
    const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameZone", "PreferSameNode"];
    if let Some(other) = spec.traffic_distribution.as_deref().filter(|value| !DISTRIBUTIONS.contains(value)) {
        errors.not_supported("trafficDistribution", other, DISTRIBUTIONS);
    }
}

pub fn validate_update(new: &Service, old: &Service, errors: &mut Errors) {
    let none = ServiceSpec::default();
    let (spec, before) = (new.spec.as_ref().unwrap_or(&none), old.spec.as_ref().unwrap_or(&none));
    errors.at("spec", |errors| {
        if spec.type_.text() != "ExternalName" && before.type_.text() != "ExternalName" {
            kept_addresses(spec, before, errors);
            kept_families(spec, before, errors);
        }
        let balanced = |spec: &ServiceSpec| spec.type_.text() == "LoadBalancer";
        if balanced(spec) && balanced(before) && spec.load_balancer_class != before.load_balancer_class {
            errors.invalid("loadBalancerClass", &spec.load_balancer_class, FIXED);
        }
        if needs_health_check(spec) && needs_health_check(before) && spec.health_check_node_port != before.health_check_node_port {
            errors.forbidden("healthCheckNodePort", "field is immutable");
        }
    });
}

fn kept_addresses(new: &ServiceSpec, old: &ServiceSpec, errors: &mut Errors) {
    if is_headless(new) && is_headless(old) {
        return;
    }
    let (now, before) = (new.cluster_ips.list(), old.cluster_ips.list());
    if now.len() == before.len() {
        for index in (0..now.len()).filter(|index| now[*index] != before[*index]) {
            errors.invalid(&format!("clusterIPs[{index}]"), now, FIXED);
        }
    } else if let (Some(first), Some(known)) = (now.first(), before.first())
        && first != known
    {
        errors.invalid("clusterIPs[0]", now, FIXED);
    }
    if before.len() > now.len() {
        if now.is_empty() {
            errors.invalid("clusterIPs[0]", now, "primary clusterIP can not be unset");
        }
        if now.len() == 1 && new.ip_family_policy.text() != "SingleStack" {
            errors.invalid("ipFamilyPolicy", &new.ip_family_policy, "must be set to 'SingleStack' when releasing the secondary clusterIP");
        }
    }
}

fn kept_families(new: &ServiceSpec, old: &ServiceSpec, errors: &mut Errors) {
    if is_headless(new) || is_headless(old) {
        return;
    }
    let (now, before) = (new.ip_families.list(), old.ip_families.list());
    if now.len() == before.len() {
        for _ in now.iter().zip(before).filter(|(now, before)| now != before) {
            errors.invalid("ipFamilies[0]", now, FIXED);
        }
    } else if let (Some(first), Some(known)) = (now.first(), before.first())
        && first != known
    {
        errors.invalid("ipFamilies[0]", now, FIXED);
    }
    if before.len() > now.len() && now.len() == 1 && new.ip_family_policy.text() != "SingleStack" {
        errors.invalid("ipFamilyPolicy", &new.ip_family_policy, "must be set to 'SingleStack' when releasing the secondary ipFamily");
    }
}

pub fn status(service: &Service, errors: &mut Errors) {
    let balanced = service.spec.as_ref().is_some_and(|spec| spec.type_.text() == "LoadBalancer");
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingresses = balancer.map_or(&[][..], |balancer| balancer.ingress.list());
    if !balanced && !ingresses.is_empty() {
        return errors.forbidden("status.loadBalancer.ingress", "may only be used when `spec.type` is 'LoadBalancer'");
    }
    errors.each("status.loadBalancer.ingress", ingresses, |errors, ingress| {
        let address = ingress.ip.text();
        if !address.is_empty() {
            ip(errors, "ip", address);
        }
        match ingress.ip_mode.as_deref() {
            None if !address.is_empty() => errors.required("ipMode", "must be specified when `ip` is set"),
            Some(_) if address.is_empty() => errors.forbidden("ipMode", "may not be specified when `ip` is not set"),
            None | Some("VIP" | "Proxy") => {}
            Some(other) => errors.not_supported("ipMode", other, &["Proxy", "VIP"]),
        }
        let name = ingress.hostname.text();
        if !name.is_empty() {
            report(errors, "hostname", name, content::dns_subdomain(name));
            if parse_ip(name).is_some() {
                errors.invalid("hostname", name, "must be a DNS name, not an IP address");
            }
        }
    });
}
