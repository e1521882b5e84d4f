//! The pod's place in networks: resolver, host names, the node's own network.
use super::{Scope, every_container, on_host_network};
use crate::access::{Flag, List, Text};
use crate::forms::{ip, subdomain_with_underscore};
use crate::meta::report;
use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};
use machinery::content;
use machinery::errors::Errors;

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
const MAX_HOSTNAME_BYTES: usize = 64;

pub fn check(spec: &PodSpec, errors: &mut Errors) {
    errors.at("dnsConfig", |errors| resolver(spec, errors));
    host_users(spec, errors);
    if let Some(name) = &spec.hostname_override {
        hostname_override(spec, name, errors);
    }
}

pub fn aliases(spec: &PodSpec, errors: &mut Errors) {
    errors.each("hostAliases", spec.host_aliases.list(), |errors, alias| {
        ip(errors, "ip", &alias.ip);
        errors.each("hostnames", alias.hostnames.list(), |errors, name| report(errors, "", name, content::dns_subdomain(name)));
    });
}

/// On the node's own network a container's port is the node's.
pub fn host_ports(scope: &Scope, errors: &mut Errors) {
    if !on_host_network(scope.spec) {
        return;
    }
    errors.each("containers", &scope.spec.containers, |errors, container| {
        errors.each("ports", container.ports.list(), |errors, port| {
            let host = port.host_port.unwrap_or(0);
            if (scope.pod || host != 0) && host != port.container_port {
                errors.invalid("hostPort", host, "must match `containerPort` when `hostNetwork` is true");
            }
        });
    });
}

fn resolver(spec: &PodSpec, errors: &mut Errors) {
    let config = spec.dns_config.as_ref();
    if spec.dns_policy.text() == "None" {
        let Some(config) = config else {
            return errors.required("", "must provide `dnsConfig` when `dnsPolicy` is None");
        };
        if config.nameservers.list().is_empty() {
            return errors.required("nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if let Some(config) = config {
        resolver_config(config, errors);
    }
}

fn resolver_config(config: &PodDNSConfig, errors: &mut Errors) {
    let (servers, searches) = (config.nameservers.list(), config.searches.list());
    if servers.len() > MAX_NAMESERVERS {
        errors.invalid("nameservers", servers, &format!("must not have more than {MAX_NAMESERVERS} nameservers"));
    }
    errors.each("nameservers", servers, |errors, server| {
        ip(errors, "", server);
    });
    if searches.len() > MAX_SEARCHES {
        errors.invalid("searches", searches, &format!("must not have more than {MAX_SEARCHES} search paths"));
    }
    if searches.join(" ").len() > MAX_SEARCH_CHARS {
        let why = format!("must not have more than {MAX_SEARCH_CHARS} characters (including spaces) in the search list");
        errors.invalid("searches", searches, &why);
    }
    errors.each("searches", searches.iter().map(String::as_str), |errors, search| {
        if search != "." {
            let search = search.strip_suffix('.').unwrap_or(search);
            report(errors, "", search, subdomain_with_underscore(search));
        }
    });
    errors.each("options", config.options.list(), |errors, option| {
        if option.name.text().is_empty() {
            errors.required("", "must not be empty");
        }
    });
}

/// A pod with users of its own shares no other namespace of the host.
fn host_users(spec: &PodSpec, errors: &mut Errors) {
    const WHY: &str = "when `hostUsers` is false";
    if spec.host_users.unwrap_or(true) {
        return;
    }
    for (field, shared) in [("hostNetwork", spec.host_network), ("HostPID", spec.host_pid), ("HostIPC", spec.host_ipc)] {
        if shared.on() {
            errors.forbidden(field, WHY);
        }
    }
    every_container(spec, |path, container| {
        if !container.volume_devices.list().is_empty() {
            errors.forbidden(&format!("{path}.volumeDevices"), WHY);
        }
    });
}

fn hostname_override(spec: &PodSpec, name: &str, errors: &mut Errors) {
    const FIELD: &str = "hostnameOverride";
    if spec.set_hostname_as_fqdn.on() {
        errors.forbidden(FIELD, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.host_network.on() {
        errors.forbidden(FIELD, "may not be specified when hostNetwork is true");
    }
    if name.len() > MAX_HOSTNAME_BYTES {
        errors.too_long(FIELD, MAX_HOSTNAME_BYTES);
    }
    report(errors, FIELD, name, content::dns_subdomain(name));
}
