//! Security contexts of pods and containers.
use super::windows;
use crate::access::{Flag, List};
use crate::forms::{descending_path, id};
use k8s_openapi::api::core::v1::{AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext};
use machinery::errors::Errors;

const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
const SYSCTL_MAX_BYTES: usize = 253;
const SYSCTL_FORM: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const PROFILE_PATH_MAX_BYTES: usize = 4095;

/// Checks the pod's own context, and sharing of processes.
pub fn check_pod(spec: &PodSpec, errors: &mut Errors) {
    if let Some(context) = &spec.security_context {
        errors.at("securityContext", |errors| pod_context(context, spec, errors));
    }
    if spec.share_process_namespace.on() && spec.host_pid.on() {
        errors.invalid("shareProcessNamespace", true, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
}

fn pod_context(context: &PodSecurityContext, spec: &PodSpec, errors: &mut Errors) {
    id(errors, "fsGroup", context.fs_group);
    id(errors, "runAsUser", context.run_as_user);
    id(errors, "runAsGroup", context.run_as_group);
    errors.each("supplementalGroups", context.supplemental_groups.list(), |errors, group| id(errors, "", Some(*group)));
    sysctls(context, spec, errors);
    let known = |errors: &mut Errors, field, value: &Option<String>, list: &[&str]| {
        if let Some(value) = value.as_deref().filter(|value| !list.contains(value)) {
            errors.not_supported(field, value, list);
        }
    };
    known(errors, "fsGroupChangePolicy", &context.fs_group_change_policy, &["Always", "OnRootMismatch"]);
    seccomp(context.seccomp_profile.as_ref(), errors);
    windows::options(context.windows_options.as_ref(), errors);
    apparmor(context.app_armor_profile.as_ref(), errors);
    known(errors, "supplementalGroupsPolicy", &context.supplemental_groups_policy, &["Merge", "Strict"]);
    known(errors, "seLinuxChangePolicy", &context.se_linux_change_policy, &["MountOption", "Recursive"]);
}

fn sysctls(context: &PodSecurityContext, spec: &PodSpec, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    errors.each("sysctls", context.sysctls.list(), |errors, sysctl| {
        let name = sysctl.name.as_str();
        if name.is_empty() {
            errors.required("name", "");
        } else if !is_sysctl(name) {
            let why = format!("must have at most {SYSCTL_MAX_BYTES} characters and match regex {SYSCTL_FORM}");
            errors.invalid("name", name, &why);
        } else if seen.contains(&name) {
            errors.duplicate("name", name);
        }
        let dotted = name.replace('/', ".");
        if spec.host_network.on() && dotted.starts_with("net.") {
            errors.invalid("name", name, "may not be specified when 'hostNetwork' is true");
        }
        let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix)) || dotted == "kernel.sem";
        if spec.host_ipc.on() && ipc {
            errors.invalid("name", name, "may not be specified when 'hostIPC' is true");
        }
        seen.push(name);
    });
}

fn is_sysctl(name: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let inner = bytes.iter().all(|byte| plain(byte) || b"-_".contains(byte));
        bytes.first().is_some_and(plain) && bytes.last().is_some_and(plain) && inner
    };
    name.len() <= SYSCTL_MAX_BYTES && name.split(['.', '/']).all(part)
}

/// Checks a container's context.
pub fn check(context: &SecurityContext, host_users: bool, errors: &mut Errors) {
    id(errors, "runAsUser", context.run_as_user);
    id(errors, "runAsGroup", context.run_as_group);
    match context.proc_mount.as_deref() {
        None | Some("Default") => {}
        Some("Unmasked") if host_users => {
            errors.invalid("procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`");
        }
        Some("Unmasked") => {}
        Some(other) => errors.not_supported("procMount", other, &["Default", "Unmasked"]),
    }
    seccomp(context.seccomp_profile.as_ref(), errors);
    if context.allow_privilege_escalation == Some(false) {
        if context.privileged.on() {
            errors.invalid("", context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        let added = context.capabilities.as_ref().map_or(&[][..], |capabilities| capabilities.add.list());
        for _ in added.iter().filter(|capability| *capability == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid("", context, why);
        }
    }
    windows::options(context.windows_options.as_ref(), errors);
    apparmor(context.app_armor_profile.as_ref(), errors);
}

fn seccomp(profile: Option<&SeccompProfile>, errors: &mut Errors) {
    let Some(profile) = profile else { return };
    errors.at("seccompProfile", |errors| {
        match profile.type_.as_str() {
            "" => errors.required("type", "type is required when seccompProfile is set"),
            known if PROFILES.contains(&known) => {}
            other => errors.not_supported("type", other, PROFILES),
        }
        match (profile.type_ == "Localhost", &profile.localhost_profile) {
            (true, None) => errors.required("localhostProfile", "must be set when seccomp type is Localhost"),
            (true, Some(path)) => descending_path(errors, "localhostProfile", path),
            (false, Some(_)) => errors.invalid("localhostProfile", profile, "can only be set when seccomp type is Localhost"),
            (false, None) => {}
        }
    });
}

fn apparmor(profile: Option<&AppArmorProfile>, errors: &mut Errors) {
    let Some(profile) = profile else { return };
    errors.at("appArmorProfile", |errors| match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
        ("Localhost", None | Some("")) => errors.required("localhostProfile", "must be set when AppArmor type is Localhost"),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                errors.invalid("localhostProfile", name, "must not be padded with whitespace");
            }
            if name.len() > PROFILE_PATH_MAX_BYTES {
                errors.too_long("localhostProfile", PROFILE_PATH_MAX_BYTES);
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            errors.invalid("localhostProfile", name, "can only be set when AppArmor type is Localhost");
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => errors.required("type", "type is required when appArmorProfile is set"),
        (other, _) => errors.not_supported("type", other, PROFILES),
    });
}
