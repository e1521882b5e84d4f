//! Ingress: which requests from outside go to which service.
use super::addresses;
use crate::check::{OBJECT_VERBS, STATUS_VERBS, column};
use crate::meta::report;
use k8s_openapi::api::core::v1::TypedLocalObjectReference;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, Ingress, IngressBackend, IngressLoadBalancerStatus, IngressRule, IngressServiceBackend, IngressSpec, IngressStatus,
    IngressTLS,
};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names, Subresource};
use machinery::table::{age_column, name_column};
use std::net::IpAddr;

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const SHOWN_HOSTS: usize = 3;
/// The address column is cut at this length.
const ADDRESS_WIDTH: usize = 16;

pub static INGRESS: Kind<Ingress> = Kind {
    on_create: |ingress| {
        ingress.status = Some(IngressStatus { load_balancer: Some(IngressLoadBalancerStatus::default()) });
        ingress.metadata.generation = Some(1);
    },
    on_update: |new, old| {
        new.status = old.status.clone();
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(new.spec != old.spec));
    },
    validate,
    warnings: |ingress| {
        let deprecated = class_annotation(ingress).is_some() && spec(ingress).ingress_class_name.is_none();
        let told = format!("annotation {CLASS_ANNOTATION:?} is deprecated, please use 'spec.ingressClassName' instead");
        deprecated.then_some(told).into_iter().collect()
    },
    columns: &[
        name_column(),
        column("Class", "string", |ingress, _| spec(ingress).ingress_class_name.unwrap_or_else(|| "<none>".into()).into()),
        column("Hosts", "string", |ingress, _| hosts(&spec(ingress)).into()),
        column("Address", "string", |ingress, _| address(ingress.status.as_ref()).into()),
        column("Ports", "string", |ingress, _| if spec(ingress).tls.is_none_or(|tls| tls.is_empty()) { "80" } else { "80, 443" }.into()),
        age_column(),
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: STATUS_VERBS,
        prepare: |new, old| new.spec = old.spec.clone(),
        validate: |new, _, errors| errors.at("status.loadBalancer", |errors| validate_status(new.status.as_ref(), errors)),
    }],
    ..Kind::of(Names {
        group: "networking.k8s.io",
        version: "v1",
        kind: "Ingress",
        plural: "ingresses",
        singular: "ingress",
        short: &["ing"],
        categories: &[],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "ingress",
        schema: "io.k8s.api.networking.v1.Ingress",
    })
};

fn spec(ingress: &Ingress) -> IngressSpec {
    ingress.spec.clone().unwrap_or_default()
}

fn class_annotation(ingress: &Ingress) -> Option<&String> {
    ingress.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CLASS_ANNOTATION))
}

fn hosts(spec: &IngressSpec) -> String {
    let rules = spec.rules.as_deref().unwrap_or_default();
    let named = rules.iter().filter_map(|rule| rule.host.as_deref()).filter(|host| !host.is_empty()).collect::<Vec<_>>();
    let shown = named.iter().take(SHOWN_HOSTS).copied().collect::<Vec<_>>().join(",");
    match named.len() {
        0 => "*".into(),
        // the original counts rules, not hosts
        count if count >= SHOWN_HOSTS && rules.len() > SHOWN_HOSTS => format!("{shown} + {} more...", rules.len() - SHOWN_HOSTS),
        _ => shown,
    }
}

fn address(status: Option<&IngressStatus>) -> String {
    let points = status.and_then(|status| status.load_balancer.as_ref()).and_then(|balancer| balancer.ingress.as_deref());
    let named = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut shown =
        points.into_iter().flatten().filter_map(|point| named(&point.ip).or_else(|| named(&point.hostname))).collect::<Vec<_>>();
    shown.sort();
    shown.dedup();
    let text = shown.join(",");
    match text.char_indices().nth(ADDRESS_WIDTH) {
        Some(_) => format!("{}...", text.chars().take(ADDRESS_WIDTH - 3).collect::<String>()),
        None => text,
    }
}

fn validate(ingress: &Ingress, errors: &mut Errors) {
    let spec = spec(ingress);
    errors.at("spec", |errors| validate_spec(&spec, errors));
    if let (Some(annotation), Some(class)) = (class_annotation(ingress), &spec.ingress_class_name)
        && annotation != class
    {
        let field = format!("annotations.{CLASS_ANNOTATION}");
        errors.invalid(&field, annotation, "must match `ingressClassName` when both are specified");
    }
}

fn validate_spec(spec: &IngressSpec, errors: &mut Errors) {
    let rules = spec.rules.as_deref().unwrap_or_default();
    if rules.is_empty() && spec.default_backend.is_none() {
        errors.invalid("", &spec.rules, "either `defaultBackend` or `rules` must be specified");
    }
    if let Some(backend) = &spec.default_backend {
        errors.at("defaultBackend", |errors| validate_backend(backend, errors));
    }
    errors.each("rules", rules, |errors, rule| validate_rule(rule, errors));
    errors.each("tls", spec.tls.iter().flatten(), |errors, tls| validate_tls(tls, errors));
    if let Some(class) = &spec.ingress_class_name {
        report(errors, "ingressClassName", class, content::dns_subdomain(class));
    }
}

fn host_problems(host: &str) -> Vec<String> {
    if host.contains('*') { content::wildcard_subdomain(host) } else { content::dns_subdomain(host) }
}

fn validate_tls(tls: &IngressTLS, errors: &mut Errors) {
    errors.each("hosts", tls.hosts.iter().flatten(), |errors, host| report(errors, "", host, host_problems(host)));
    if let Some(secret) = tls.secret_name.as_deref().filter(|secret| !secret.is_empty()) {
        report(errors, "secretName", secret, content::dns_subdomain(secret));
    }
}

fn validate_rule(rule: &IngressRule, errors: &mut Errors) {
    if let Some(host) = rule.host.as_deref().filter(|host| !host.is_empty()) {
        if host.parse::<IpAddr>().is_ok() {
            errors.invalid("host", host, "must be a DNS name, not an IP address");
        }
        report(errors, "host", host, host_problems(host));
    }
    let Some(http) = &rule.http else { return };
    errors.at("http", |errors| {
        if http.paths.is_empty() {
            errors.required("paths", "");
        }
        errors.each("paths", &http.paths, |errors, path| validate_path(path, errors));
    });
}

fn validate_path(path: &HTTPIngressPath, errors: &mut Errors) {
    let text = path.path.as_deref().unwrap_or_default();
    let absolute = text.starts_with('/');
    match path.path_type.as_str() {
        "" => return errors.required("pathType", "pathType must be specified"),
        "Exact" | "Prefix" => {
            if !absolute {
                errors.invalid("path", text, "must be an absolute path");
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|part| text.contains(part)) {
                errors.invalid("path", text, &format!("must not contain '{part}'"));
            }
            for end in ["/..", "/."].into_iter().filter(|end| text.ends_with(end)) {
                errors.invalid("path", text, &format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" if !text.is_empty() && !absolute => errors.invalid("path", text, "must be an absolute path"),
        "ImplementationSpecific" => {}
        other => errors.not_supported("pathType", other, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    errors.at("backend", |errors| validate_backend(&path.backend, errors));
}

fn validate_backend(backend: &IngressBackend, errors: &mut Errors) {
    match (&backend.resource, &backend.service) {
        (Some(_), Some(_)) => errors.invalid("", "", "cannot set both resource and service backends"),
        (None, None) => errors.invalid("", "", "resource or service backend is required"),
        (Some(resource), None) => errors.at("resource", |errors| validate_resource(resource, errors)),
        (None, Some(service)) => validate_service(service, errors),
    }
}

fn validate_service(service: &IngressServiceBackend, errors: &mut Errors) {
    match service.name.as_str() {
        "" => errors.required("service.name", ""),
        name => report(errors, "service.name", name, content::dns_label(name)),
    }
    let port = service.port.clone().unwrap_or_default();
    match (port.name.as_deref().unwrap_or_default(), port.number.unwrap_or(0)) {
        ("", 0) => errors.required("", "port name or number is required"),
        ("", number) => report(errors, "service.port.number", number, content::port_number(number.into())),
        (name, 0) => report(errors, "service.port.name", name, content::port_name(name)),
        _ => errors.invalid("", "", "cannot set both port name & port number"),
    }
}

fn validate_resource(resource: &TypedLocalObjectReference, errors: &mut Errors) {
    if let Some(group) = &resource.api_group {
        report(errors, "apiGroup", group, content::dns_subdomain(group));
    }
    for (field, value) in [("kind", &resource.kind), ("name", &resource.name)] {
        match value.as_str() {
            "" => errors.required(field, ""),
            value => report(errors, field, value, content::path_segment(value)),
        }
    }
}

fn validate_status(status: Option<&IngressStatus>, errors: &mut Errors) {
    let points = status.and_then(|status| status.load_balancer.as_ref()).and_then(|balancer| balancer.ingress.as_deref());
    errors.each("ingress", points.into_iter().flatten(), |errors, point| {
        if let Some(ip) = point.ip.as_deref().filter(|ip| !ip.is_empty()) {
            addresses::ip(errors, "ip", ip);
        }
        if let Some(host) = point.hostname.as_deref().filter(|host| !host.is_empty()) {
            report(errors, "hostname", host, content::dns_subdomain(host));
            if host.parse::<IpAddr>().is_ok() {
                errors.invalid("hostname", host, "must be a DNS name, not an IP address");
            }
        }
    });
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"web","namespace":"x"},"spec":{
    "defaultBackend":{"service":{"name":"web","port":{"number":80}}}}}"#;
