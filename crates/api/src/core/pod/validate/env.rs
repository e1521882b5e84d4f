//! The environment of containers, and references to fields and resources that volumes share with it.
use super::every_container;
use crate::access::{List, Text, amount};
use crate::forms::{config_key, env_name, no_backsteps};
use crate::meta::{prefix_problems, report};
use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, FileKeySelector, ObjectFieldSelector, PodSpec, ResourceFieldSelector};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::NameRule;

const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const ALL_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const RESOURCES: &[&str] =
    &["limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"];
const SIZES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

pub fn check(container: &Container, errors: &mut Errors) {
    errors.each("env", container.env.list(), |errors, variable| {
        match variable.name.as_str() {
            "" => errors.required("name", ""),
            name => report(errors, "name", name, env_name(name)),
        }
        errors.at("valueFrom", |errors| source(variable, errors));
    });
    let all = container.env_from.list();
    errors.each("envFrom", all, |errors, from| env_from(from, errors));
    for from in all {
        match (&from.config_map_ref, &from.secret_ref) {
            (None, None) => errors.invalid("envFrom", "", "must specify one of: `configMapRef` or `secretRef`"),
            (Some(_), Some(_)) => errors.invalid("envFrom", "", "may not have more than one field specified at a time"),
            _ => {}
        }
    }
}

fn env_from(from: &EnvFromSource, errors: &mut Errors) {
    let prefix = from.prefix.text();
    if !prefix.is_empty() {
        report(errors, "prefix", prefix, env_name(prefix));
    }
    let name = |errors: &mut Errors, field: &str, name: &str| {
        errors.at(field, |errors| match name {
            "" => errors.required("name", ""),
            name => report(errors, "name", name, prefix_problems(NameRule::DnsSubdomain, name)),
        });
    };
    if let Some(map) = &from.config_map_ref {
        name(errors, "configMapRef", &map.name);
    }
    if let Some(secret) = &from.secret_ref {
        name(errors, "secretRef", &secret.name);
    }
}

/// Checks where a variable's value comes from.
fn source(variable: &EnvVar, errors: &mut Errors) {
    let Some(from) = &variable.value_from else { return };
    let mut sources = 0;
    if let Some(selector) = &from.field_ref {
        sources += 1;
        errors.at("fieldRef", |errors| field_ref(selector, ENV_FIELDS, errors));
    }
    if let Some(selector) = &from.resource_field_ref {
        sources += 1;
        errors.at("resourceFieldRef", |errors| resource_ref(selector, false, errors));
    }
    let key_of = |errors: &mut Errors, field: &str, name: &str, key: &str| {
        errors.at(field, |errors| {
            report(errors, "name", name, content::dns_subdomain(name));
            match key {
                "" => errors.required("key", ""),
                key => report(errors, "key", key, config_key(key)),
            }
        });
    };
    if let Some(selector) = &from.config_map_key_ref {
        sources += 1;
        key_of(errors, "configMapKeyRef", &selector.name, &selector.key);
    }
    if let Some(selector) = &from.secret_key_ref {
        sources += 1;
        key_of(errors, "secretKeyRef", &selector.name, &selector.key);
    }
    if let Some(selector) = &from.file_key_ref {
        sources += 1;
        errors.at("fileKeyRef", |errors| file_ref(selector, errors));
    }
    if sources == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.invalid("", "", why);
    } else if !variable.value.text().is_empty() {
        errors.invalid("", "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        errors.invalid("", "", "may not have more than one field specified at a time");
    }
}

fn file_ref(selector: &FileKeySelector, errors: &mut Errors) {
    match selector.key.as_str() {
        "" => errors.required("key", ""),
        key => report(errors, "key", key, env_name(key)),
    }
    match selector.volume_name.as_str() {
        "" => errors.required("volumeName", ""),
        name => report(errors, "volumeName", name, content::dns_label(name)),
    }
    match selector.path.as_str() {
        "" => errors.required("path", ""),
        path => no_backsteps(errors, "path", path),
    }
}

/// Checks a reference to a field of the pod, one of `allowed` or one label or annotation.
pub fn field_ref(selector: &ObjectFieldSelector, allowed: &[&str], errors: &mut Errors) {
    let (version, path) = (selector.api_version.text(), selector.field_path.as_str());
    let unconvertible = |errors: &mut Errors, why: String| errors.invalid("fieldPath", path, &format!("error converting fieldPath: {why}"));
    if version.is_empty() {
        return errors.required("apiVersion", "");
    }
    if path.is_empty() {
        return errors.required("fieldPath", "");
    }
    if version != "v1" {
        return unconvertible(errors, format!("unsupported pod version: {version}"));
    }
    if let Some((map, key)) = subscript(path) {
        return match map {
            "metadata.annotations" => report(errors, "", key.to_lowercase(), content::label_key(&key.to_lowercase())),
            "metadata.labels" => report(errors, "", key, content::label_key(key)),
            _ => unconvertible(errors, format!("field label does not support subscript: {path}")),
        };
    }
    let path = if path == "spec.host" { "spec.nodeName" } else { path };
    if !ALL_FIELDS.contains(&path) {
        unconvertible(errors, format!("field label not supported: {path}"));
    } else if !allowed.contains(&path) {
        errors.not_supported("fieldPath", path, allowed);
    }
}

/// `metadata.labels['key']` in its parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    (!map.is_empty()).then_some((map, key))
}

/// Checks a reference to a resource of a container; in a volume it must name the container.
pub fn resource_ref(selector: &ResourceFieldSelector, volume: bool, errors: &mut Errors) {
    let resource = selector.resource.as_str();
    let huge = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if volume && selector.container_name.text().is_empty() {
        errors.required("containerName", "");
    } else if resource.is_empty() {
        errors.required("resource", "");
    } else if !RESOURCES.contains(&resource) && !huge {
        errors.not_supported("resource", resource, RESOURCES);
    }
    let Some(divisor) = selector.divisor.as_ref().map(amount).filter(|divisor| !divisor.is_zero()) else { return };
    let divisor = divisor.to_string();
    let (allowed, why) = match resource {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"][..], "1m and 1 are supported with the cpu resource"),
        "limits.memory" | "requests.memory" => (SIZES, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (SIZES, "local ephemeral storage"),
        _ if huge => (SIZES, "hugepages"),
        _ => return,
    };
    if allowed.contains(&divisor.as_str()) {
        return;
    }
    let why = if allowed == SIZES { format!("{} are supported with the {why} resource", SIZES.join(", ")) } else { why.into() };
    errors.invalid("divisor", resource, &format!("only divisor's values {why}"));
}

/// Files with variables lie in an emptyDir.
pub fn file_volumes(spec: &PodSpec, errors: &mut Errors) {
    every_container(spec, |path, container| {
        errors.at(path, |errors| {
            errors.each("env", container.env.list(), |errors, variable| {
                let Some(file) = variable.value_from.as_ref().and_then(|from| from.file_key_ref.as_ref()) else { return };
                match spec.volumes.list().iter().find(|volume| volume.name == file.volume_name) {
                    None => errors.not_found("valueFrom.fileKeyRef.volumeName", &file.volume_name),
                    Some(volume) if volume.empty_dir.is_none() => {
                        let why = "referenced volume must be of type emptyDir";
                        errors.invalid("valueFrom.fileKeyRef.volumeName", &file.volume_name, why);
                    }
                    Some(_) => {}
                }
            });
        });
    });
}
