//! Annotations of pods that mean something: deletion cost, mirror pods, and security profiles of the time before the fields.
use super::{every_container, has_container};
use crate::access::{Entries, Text};
use crate::forms::descending_path;
use k8s_openapi::api::core::v1::{AppArmorProfile, Pod, PodSpec, SeccompProfile};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::errors::Errors;

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Checks them; what has the annotations stands on the path.
pub fn check(meta: &ObjectMeta, spec: &PodSpec, errors: &mut Errors) {
    for (key, value) in meta.annotations.entries() {
        if key == MIRROR && spec.node_name.text().is_empty() {
            at_key(errors, key, |errors| errors.invalid("", value, "must set spec.nodeName if mirror pod annotation is set"));
        }
        if key == DELETION_COST && !is_cost(value) {
            at_key(errors, key, |errors| errors.invalid("", value, "must be a 32bit integer"));
        }
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            errors.at("annotations", |errors| seccomp(errors, key, value));
        }
        if let Some(container) = key.strip_prefix(APPARMOR) {
            if !has_container(spec, container) {
                at_key(errors, key, |errors| errors.invalid("", container, "container not found"));
            }
            if !["", "runtime/default", "unconfined"].contains(&value.as_str()) && !value.starts_with("localhost/") {
                at_key(errors, key, |errors| errors.invalid("", value, &format!("invalid AppArmor profile name: {value:?}")));
            }
        }
    }
}

fn at_key(errors: &mut Errors, key: &str, check: impl FnOnce(&mut Errors)) {
    errors.key("annotations", key, check);
}

fn is_cost(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let canonical = value == "0" || (!digits.starts_with(['0', '+']) && !digits.is_empty());
    canonical && value.parse::<i32>().is_ok()
}

fn seccomp(errors: &mut Errors, key: &str, profile: &str) {
    match profile.strip_prefix("localhost/") {
        Some(path) => descending_path(errors, key, path),
        None if ["runtime/default", "docker/default", "unconfined"].contains(&profile) => {}
        None => errors.invalid(key, profile, "must be a valid seccomp profile"),
    }
}

/// Where annotation and field both name a profile they must agree; `spec` stands on the path.
pub fn match_fields(meta: &ObjectMeta, spec: &PodSpec, errors: &mut Errors) {
    let annotation = |key: &str| meta.annotations.as_ref().and_then(|map| map.get(key)).map(String::as_str);
    let pod = spec.security_context.as_ref();
    if let (Some(profile), Some(value)) = (pod.and_then(|context| context.seccomp_profile.as_ref()), annotation(SECCOMP_POD)) {
        errors.at("securityContext.seccompProfile", |errors| seccomp_agrees(profile, value, errors));
    }
    let windows = spec.os.as_ref().is_some_and(|os| os.name == "windows");
    let inherited = pod.and_then(|context| context.app_armor_profile.as_ref());
    every_container(spec, |path, container| {
        let context = container.security_context.as_ref();
        let seccomp = context.and_then(|context| context.seccomp_profile.as_ref());
        if let (Some(profile), Some(value)) = (seccomp, annotation(&format!("{SECCOMP_CONTAINER}{}", container.name))) {
            errors.at(&format!("{path}.securityContext.seccompProfile"), |errors| seccomp_agrees(profile, value, errors));
        }
        let apparmor = context.and_then(|context| context.app_armor_profile.as_ref()).or(inherited).filter(|_| !windows);
        if let (Some(profile), Some(value)) = (apparmor, annotation(&format!("{APPARMOR}{}", container.name))) {
            errors.at(&format!("{path}.securityContext.appArmorProfile"), |errors| apparmor_agrees(profile, value, errors));
        }
    });
}

fn seccomp_agrees(profile: &SeccompProfile, value: &str, errors: &mut Errors) {
    let agrees = match profile.type_.as_str() {
        "Unconfined" => value == "unconfined",
        "RuntimeDefault" => value == "runtime/default" || value == "docker/default",
        "Localhost" => match value.strip_prefix("localhost/") {
            None => false,
            Some(path) if profile.localhost_profile.as_deref() == Some(path) => true,
            Some(_) => return errors.forbidden("localhostProfile", "seccomp profile in annotation and field must match"),
        },
        _ => true,
    };
    if !agrees {
        errors.forbidden("type", "seccomp type in annotation and field must match");
    }
}

fn apparmor_agrees(profile: &AppArmorProfile, value: &str, errors: &mut Errors) {
    let agrees = match profile.type_.as_str() {
        "Unconfined" => value == "unconfined",
        "RuntimeDefault" => value == "runtime/default",
        "Localhost" => match value.strip_prefix("localhost/") {
            None => false,
            Some(path) if profile.localhost_profile.as_deref() == Some(path) => true,
            Some(_) => return errors.forbidden("localhostProfile", "apparmor profile in annotation and field must match"),
        },
        _ => true,
    };
    if !agrees {
        errors.forbidden("type", "apparmor type in annotation and field must match");
    }
}

/// Refuses changes of the annotations that a running pod depends on.
pub fn unchanged(new: &Pod, old: &Pod, errors: &mut Errors) {
    let (new, old) = (&new.metadata.annotations, &old.metadata.annotations);
    errors.at("metadata", |errors| {
        for (key, value) in old.entries() {
            if new.as_ref().and_then(|map| map.get(key)) == Some(value) {
                continue;
            }
            if key.starts_with(APPARMOR) {
                at_key(errors, key, |errors| errors.forbidden("", "may not remove or update AppArmor annotations"));
            }
            if key == MIRROR {
                at_key(errors, key, |errors| errors.forbidden("", "may not remove or update mirror pod annotation"));
            }
        }
        for (key, _) in new.entries().filter(|(key, _)| old.as_ref().is_none_or(|map| !map.contains_key(*key))) {
            if key.starts_with(APPARMOR) {
                at_key(errors, key, |errors| errors.forbidden("", "may not add AppArmor annotations"));
            }
            if key == MIRROR {
                at_key(errors, key, |errors| errors.forbidden("", "may not add mirror pod annotation"));
            }
        }
    });
}
