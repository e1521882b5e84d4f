//! `ipFamilyPolicy` and `ipFamilies` of services: what a client left out follows from the addresses it gave, what the service had
//! before, and what the cluster has. Pure.
use super::ranges::IpRange;
use super::type_of;
use k8s_openapi::api::core::v1::ServiceSpec;
use machinery::errors::Errors;
use machinery::status::Status;
use std::net::IpAddr;

const SINGLE: &str = "SingleStack";
const PREFER_DUAL: &str = "PreferDualStack";
const REQUIRE_DUAL: &str = "RequireDualStack";

/// Fields that nothing can be made of: validation says what is wrong with them.
pub fn malformed(spec: &ServiceSpec) -> bool {
    let ips = spec.cluster_ips.as_deref().unwrap_or_default();
    let bad_ip = ips.iter().enumerate().any(|(index, ip)| match ip.as_str() {
        "None" => index > 0,
        "" => false,
        ip => ip.parse::<IpAddr>().is_err(),
    });
    let families = spec.ip_families.as_deref().unwrap_or_default();
    let bad_family =
        families.iter().any(|family| family != "IPv4" && family != "IPv6") || (families.len() == 2 && families[0] == families[1]);
    let mismatch = ips.iter().zip(families).any(|(ip, family)| ip.parse().is_ok_and(|ip| family_of(&ip) != family));
    let policy = spec.ip_family_policy.as_deref();
    let bad_policy = policy.is_some_and(|policy| ![SINGLE, PREFER_DUAL, REQUIRE_DUAL].contains(&policy));
    let first = ips.first().map(String::as_str).unwrap_or_default();
    let differ = spec.cluster_ip.as_deref().unwrap_or_default() != first && !ips.is_empty();
    bad_ip || bad_family || mismatch || bad_policy || differ || ips.len() > 2 || families.len() > 2
}

/// Sets policy and families.
pub fn complete(spec: &mut ServiceSpec, old: Option<&ServiceSpec>, ranges: &[IpRange], name: &str) -> Result<(), Status> {
    if type_of(spec) == "ExternalName" || old.is_some_and(|old| unchanged_preference(spec, old)) {
        return Ok(());
    }
    let headless = spec.cluster_ip.as_deref() == Some("None");
    let selectorless = spec.selector.as_ref().is_none_or(|selector| selector.is_empty());
    let inherited = old.and_then(|old| old.ip_family_policy.clone());
    let own = spec.ip_family_policy.clone().or(inherited);
    let policy = own.unwrap_or_else(|| if headless && selectorless { REQUIRE_DUAL } else { SINGLE }.into());
    spec.ip_family_policy = Some(policy.clone());
    let mut errors = Errors::default();
    errors.at("spec", |errors| {
        reduce(spec, old, &policy, errors);
        check_single(spec, &policy, errors);
        infer(spec, ranges, errors);
    });
    errors.into_result("", "Service", name)?;
    if headless && selectorless {
        let families = spec.ip_families.get_or_insert_default();
        if families.is_empty() {
            families.push(ranges[0].family().into());
        }
        if families.len() < 2 && policy != SINGLE {
            families.push(other(&families[0]).into());
        }
        return Ok(());
    }
    let mut errors = Errors::default();
    errors.at("spec", |errors| check_configured(spec, ranges, &policy, errors));
    errors.into_result("", "Service", name)?;
    let families = spec.ip_families.get_or_insert_default();
    if families.is_empty() {
        families.push(ranges[0].family().into());
    }
    if families.len() == 1 && policy != SINGLE && ranges.len() == 2 {
        families.push(other(&families[0]).into());
    }
    Ok(())
}

/// Services that prefer two families keep what they have when nobody touches these fields.
fn unchanged_preference(spec: &ServiceSpec, old: &ServiceSpec) -> bool {
    let prefers = |spec: &ServiceSpec| spec.ip_family_policy.as_deref() == Some(PREFER_DUAL);
    let (ips, families) = (spec.cluster_ips == old.cluster_ips, spec.ip_families == old.ip_families);
    type_of(old) != "ExternalName" && prefers(spec) && prefers(old) && ips && families && spec.ip_families.is_some()
}

fn reduce(spec: &mut ServiceSpec, old: Option<&ServiceSpec>, policy: &str, errors: &mut Errors) {
    let Some(old) = old else { return };
    let count = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
    if policy == SINGLE {
        if spec.cluster_ips == old.cluster_ips {
            spec.cluster_ips.iter_mut().for_each(|ips| ips.truncate(1));
        }
        if spec.ip_families == old.ip_families {
            spec.ip_families.iter_mut().for_each(|families| families.truncate(1));
        }
        return;
    }
    if count(&spec.cluster_ips) == 1 && count(&old.cluster_ips) == 2 {
        errors.invalid("ipFamilyPolicy", policy, "must be 'SingleStack' to release the secondary cluster IP");
    }
    if count(&spec.ip_families) == 1 && count(&old.ip_families) == 2 {
        errors.invalid("ipFamilyPolicy", policy, "must be 'SingleStack' to release the secondary IP family");
    }
}

fn check_single(spec: &ServiceSpec, policy: &str, errors: &mut Errors) {
    let two = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| list.len() == 2);
    let detail = |what: &str| format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
    if policy == SINGLE && two(&spec.cluster_ips) {
        errors.invalid("ipFamilyPolicy", policy, &detail("cluster IPs"));
    }
    if policy == SINGLE && two(&spec.ip_families) {
        errors.invalid("ipFamilyPolicy", policy, &detail("IP families"));
    }
}

/// Families of the addresses that were given.
fn infer(spec: &mut ServiceSpec, ranges: &[IpRange], errors: &mut Errors) {
    let ips = spec.cluster_ips.clone().unwrap_or_default();
    for (index, text) in ips.iter().enumerate() {
        let Ok(ip) = text.parse::<IpAddr>() else { break };
        let families = spec.ip_families.get_or_insert_default();
        if index < families.len() {
            continue;
        }
        match ranges.iter().any(|range| range.is_of_family(&ip)) {
            true => families.push(family_of(&ip).into()),
            false => {
                errors.invalid(&format!("clusterIPs[{index}]"), &ips, &format!("{} is not configured on this cluster", family_of(&ip)))
            }
        }
    }
}

fn check_configured(spec: &ServiceSpec, ranges: &[IpRange], policy: &str, errors: &mut Errors) {
    if policy == REQUIRE_DUAL && ranges.len() < 2 {
        errors.invalid("ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services");
    }
    for (index, family) in spec.ip_families.iter().flatten().enumerate() {
        if ranges.iter().all(|range| range.family() != family) {
            errors.invalid(&format!("ipFamilies[{index}]"), family, "not configured on this cluster");
        }
    }
}

fn family_of(ip: &IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn other(family: &str) -> &'static str {
    if family == "IPv4" { "IPv6" } else { "IPv4" }
}
