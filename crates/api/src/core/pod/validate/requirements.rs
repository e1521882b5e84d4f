//! Requests, limits and claims of devices: of containers, of the pod itself, of its overhead.
use super::is_mirror;
use crate::access::{ApiResources, Entries, List, Text, amount};
use crate::core::pod::usage;
use crate::core::resources;
use crate::meta::report;
use k8s_openapi::api::core::v1::{Container, PodResourceClaim, PodSpec, ResourceClaim, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::content;
use machinery::errors::Errors;

/// Checks the resources of a container; `claims` are the pod's.
pub fn container(own: &ResourceRequirements, claims: &[PodResourceClaim], errors: &mut Errors) {
    amounts(own, resources::container_name, errors);
    claim_names(own.claims.list(), claims, errors);
}

/// Checks the overhead of the pod's runtime class.
pub fn overhead(spec: &PodSpec, errors: &mut Errors) {
    let limits = ResourceRequirements { limits: spec.overhead.clone(), ..ResourceRequirements::default() };
    container(&limits, &[], errors);
}

fn amounts(own: &ResourceRequirements, name: fn(&mut Errors, &str), errors: &mut Errors) {
    let no_limits = ApiResources::new();
    let limits = own.limits.as_ref().unwrap_or(&no_limits);
    let each = |errors: &mut Errors, field: &str, list: &Option<ApiResources>| {
        for (resource, quantity) in list.entries() {
            errors.key(field, resource, |errors| {
                name(errors, resource);
                resources::quantity(errors, resource, quantity);
                resources::whole_pages(errors, resource, quantity);
            });
        }
    };
    each(errors, "limits", &own.limits);
    each(errors, "requests", &own.requests);
    for (resource, quantity) in own.requests.entries() {
        let (value, overcommittable) = (amount(quantity), resources::is_overcommittable(resource));
        match limits.get(resource).map(amount) {
            Some(limit) if value != limit && !overcommittable => {
                errors.invalid("requests", value.to_string(), &format!("must be equal to {resource} limit of {limit}"));
            }
            Some(limit) if value > limit => {
                errors.invalid("requests", value.to_string(), &format!("must be less than or equal to {resource} limit of {limit}"));
            }
            None if !overcommittable => errors.required("limits", "Limit must be set for non overcommitable resources"),
            _ => {}
        }
    }
    let mut named = own.limits.entries().chain(own.requests.entries()).map(|(name, _)| name.as_str()).peekable();
    let names: Vec<&str> = named.by_ref().collect();
    if names.iter().any(|name| resources::is_huge_page(name)) && !names.iter().any(|name| ["cpu", "memory"].contains(name)) {
        errors.forbidden("", "HugePages require cpu or memory");
    }
}

fn claim_names(wanted: &[ResourceClaim], claims: &[PodResourceClaim], errors: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    errors.each("claims", wanted, |errors, claim| {
        let name = claim.name.as_str();
        if name.is_empty() {
            return errors.required("", "");
        }
        let request = claim.request.text();
        if !request.is_empty() {
            report(errors, "request", request, content::dns_label(request));
        }
        let key = if request.is_empty() { name.to_string() } else { format!("{name}/{request}") };
        if seen.iter().any(|known| known == name || *known == key) {
            errors.duplicate("", if seen.iter().any(|known| known == name) { name } else { &key });
        } else {
            if request.is_empty() {
                let parts = seen.iter().filter(|known| known.split('/').next() == Some(name)).count();
                (0..parts).for_each(|_| errors.duplicate("", name));
            }
            seen.push(key);
        }
        if !claims.iter().any(|known| known.name == name) {
            unknown_claim(name, claims, errors);
        }
    });
}

fn unknown_claim(name: &str, claims: &[PodResourceClaim], errors: &mut Errors) {
    let mut known: Vec<&str> = claims.iter().map(|claim| claim.name.as_str()).filter(|name| !name.is_empty()).collect();
    known.sort_unstable();
    let why = match known[..] {
        [] => "must be one of the names in pod.spec.resourceClaims which is empty".to_string(),
        _ => format!("must be one of the names in pod.spec.resourceClaims: {}", known.join(", ")),
    };
    errors.not_found_because("", name, &why);
}

/// Checks how a container wants to be resized.
pub fn resize_policy(container: &Container, restart_policy: &str, errors: &mut Errors) {
    let policies = container.resize_policy.list();
    let mut seen: Vec<&str> = Vec::new();
    errors.each("resizePolicy", policies, |errors, policy| {
        if seen.contains(&policy.resource_name.as_str()) {
            errors.duplicate("", &policy.resource_name);
        }
        seen.push(&policy.resource_name);
    });
    for policy in policies {
        super::one_of(errors, "resizePolicy", &policy.resource_name, &["cpu", "memory"]);
        super::one_of(errors, "resizePolicy", &policy.restart_policy, &["NotRequired", "RestartContainer"]);
        if restart_policy == "Never" && policy.restart_policy != "NotRequired" {
            errors.invalid("resizePolicy", &policy.restart_policy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

/// Checks the claims of devices that the pod names.
pub fn pod_claims(spec: &PodSpec, meta: Option<&ObjectMeta>, errors: &mut Errors) {
    let claims = spec.resource_claims.list();
    if !claims.is_empty() && meta.is_some_and(is_mirror) {
        return errors.forbidden("", "static pods do not support resource claims");
    }
    let mut seen: Vec<&str> = Vec::new();
    errors.each("resourceClaims", claims, |errors, claim| {
        let name = claim.name.as_str();
        if name.is_empty() {
            errors.required("name", "");
        } else if seen.contains(&name) {
            errors.duplicate("name", name);
        } else {
            report(errors, "name", name, content::dns_label(name));
            seen.push(name);
        }
        match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (Some(_), Some(_)) => {
                errors.invalid("", claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
            }
            (None, None) => errors.invalid("", claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            _ => {}
        }
        for (field, name) in
            [("resourceClaimName", &claim.resource_claim_name), ("resourceClaimTemplateName", &claim.resource_claim_template_name)]
        {
            if let Some(name) = name {
                report(errors, field, name, content::dns_subdomain(name));
            }
        }
    });
}

/// Checks the pod's own resources (KEP-2837).
pub fn pod_level(spec: &PodSpec, errors: &mut Errors) {
    let Some(own) = &spec.resources else { return };
    errors.at("resources", |errors| {
        if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
            return errors.forbidden("", "may not be set for a windows pod");
        }
        if own.claims.is_some() {
            errors.forbidden("claims", "claims may not be set for Resources at pod-level");
        }
        amounts(own, resources::pod_name, errors);
        covers_containers(spec, own, errors);
    });
}

fn covers_containers(spec: &PodSpec, own: &ResourceRequirements, errors: &mut Errors) {
    let there = |list: &Option<ApiResources>, name: &str| list.as_ref().and_then(|list| list.get(name)).map(amount);
    for (name, total) in usage::containers_requests(spec) {
        if let Some(request) = there(&own.requests, &name).filter(|request| total > *request) {
            let why = format!("must be greater than or equal to aggregate container requests of {total}");
            errors.key("requests", &name, |errors| errors.invalid("", request.to_string(), &why));
        }
    }
    for (name, total) in usage::containers_limits(spec).into_iter().filter(|(name, _)| resources::is_huge_page(name)) {
        if let Some(limit) = there(&own.limits, &name).filter(|limit| total > *limit) {
            let why = format!("must be greater than or equal to aggregate container limits of {total}");
            errors.key("limits", &name, |errors| errors.invalid("", limit.to_string(), &why));
        }
    }
    for (index, container) in spec.containers.iter().enumerate() {
        for (name, quantity) in container.resources.iter().flat_map(|own| own.limits.entries()) {
            let value = amount(quantity);
            if let Some(limit) = there(&own.limits, name).filter(|limit| value > *limit) {
                let field = format!("containers[{index}][{name}].limits");
                errors.invalid(&field, value.to_string(), &format!("must be less than or equal to pod limits of {limit}"));
            }
        }
    }
}
