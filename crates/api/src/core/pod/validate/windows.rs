//! What pods of each operating system may not have.
use super::every_container;
use crate::access::{Flag, List};
use crate::meta::report;
use k8s_openapi::api::core::v1::{PodSecurityContext, PodSpec, SecurityContext, WindowsSecurityContextOptions};
use machinery::content;
use machinery::errors::Errors;

const WINDOWS_ONLY: &str = "windows options cannot be set for a linux pod";
const LINUX_ONLY: &str = "cannot be set for a windows pod";
const CREDENTIAL_SPEC_MAX_KIB: usize = 64;
const DOMAIN_MAX: usize = 256;
const USER_MAX: usize = 104;

pub fn linux(spec: &PodSpec, errors: &mut Errors) {
    if spec.security_context.as_ref().is_some_and(|context| context.windows_options.is_some()) {
        errors.forbidden("securityContext.windowsOptions", WINDOWS_ONLY);
    }
    every_container(spec, |path, container| {
        if container.security_context.as_ref().is_some_and(|context| context.windows_options.is_some()) {
            errors.forbidden(&format!("{path}.securityContext.windowsOptions"), WINDOWS_ONLY);
        }
    });
}

pub fn windows(spec: &PodSpec, errors: &mut Errors) {
    let refuse = |errors: &mut Errors, list: &[(&str, bool)]| {
        for (field, _) in list.iter().filter(|(_, there)| *there) {
            errors.forbidden(field, LINUX_ONLY);
        }
    };
    if let Some(context) = &spec.security_context {
        errors.at("securityContext", |errors| refuse(errors, &pod_fields(context)));
    }
    let own = [
        ("hostUsers", spec.host_users.is_some()),
        ("hostPID", spec.host_pid.on()),
        ("hostIPC", spec.host_ipc.on()),
        ("shareProcessNamespace", spec.share_process_namespace.is_some()),
    ];
    refuse(errors, &own);
    every_container(spec, |path, container| {
        if let Some(context) = &container.security_context {
            errors.at(&format!("{path}.securityContext"), |errors| refuse(errors, &container_fields(context)));
        }
    });
}

fn pod_fields(context: &PodSecurityContext) -> [(&'static str, bool); 11] {
    [
        ("appArmorProfile", context.app_armor_profile.is_some()),
        ("seLinuxOptions", context.se_linux_options.is_some()),
        ("seccompProfile", context.seccomp_profile.is_some()),
        ("fsGroup", context.fs_group.is_some()),
        ("fsGroupChangePolicy", context.fs_group_change_policy.is_some()),
        ("sysctls", !context.sysctls.list().is_empty()),
        ("runAsUser", context.run_as_user.is_some()),
        ("runAsGroup", context.run_as_group.is_some()),
        ("supplementalGroups", context.supplemental_groups.is_some()),
        ("supplementalGroupsPolicy", context.supplemental_groups_policy.is_some()),
        ("seLinuxChangePolicy", context.se_linux_change_policy.is_some()),
    ]
}

fn container_fields(context: &SecurityContext) -> [(&'static str, bool); 10] {
    [
        ("appArmorProfile", context.app_armor_profile.is_some()),
        ("seLinuxOptions", context.se_linux_options.is_some()),
        ("seccompProfile", context.seccomp_profile.is_some()),
        ("capabilities", context.capabilities.is_some()),
        ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
        ("privileged", context.privileged.is_some()),
        ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
        ("procMount", context.proc_mount.is_some()),
        ("runAsUser", context.run_as_user.is_some()),
        ("runAsGroup", context.run_as_group.is_some()),
    ]
}

/// All containers of a Windows pod are host processes, or none.
pub fn host_process(spec: &PodSpec, errors: &mut Errors) {
    let of = |options: Option<&WindowsSecurityContextOptions>| options.and_then(|options| options.host_process);
    let pod = of(spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref()));
    let (mut all, mut processes) = (0, 0);
    every_container(spec, |path, container| {
        all += 1;
        let own = of(container.security_context.as_ref().and_then(|context| context.windows_options.as_ref()));
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let why = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.invalid(&format!("{path}.securityContext.windowsOptions.hostProcess"), own, &why);
        }
        processes += usize::from(own.or(pod).on());
    });
    if processes == 0 {
        return;
    }
    if processes != all {
        errors.invalid("", "", "If pod contains any hostProcess containers then all containers must be HostProcess containers");
    }
    if !spec.host_network.on() {
        errors.invalid("hostNetwork", false, "hostNetwork must be true if pod contains any hostProcess containers");
    }
}

pub fn options(options: Option<&WindowsSecurityContextOptions>, errors: &mut Errors) {
    let Some(options) = options else { return };
    errors.at("windowsOptions", |errors| {
        if let Some(name) = &options.gmsa_credential_spec_name {
            report(errors, "gmsaCredentialSpecName", name, content::dns_subdomain(name));
        }
        match options.gmsa_credential_spec.as_deref() {
            Some("") => errors.invalid("gmsaCredentialSpec", "", "gmsaCredentialSpec cannot be an empty string"),
            Some(spec) if spec.len() > CREDENTIAL_SPEC_MAX_KIB * 1024 => {
                let why = format!("gmsaCredentialSpec size must be under {CREDENTIAL_SPEC_MAX_KIB} KiB");
                errors.invalid("gmsaCredentialSpec", spec, &why);
            }
            _ => {}
        }
        if let Some(name) = &options.run_as_user_name {
            user_name_problems(name).into_iter().for_each(|why| errors.invalid("runAsUserName", name, &why));
        }
    });
}

fn user_name_problems(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('\\').collect();
    let (domain, user) = match parts[..] {
        _ if name.is_empty() => return vec!["runAsUserName cannot be an empty string".into()],
        _ if name.chars().any(|letter| letter.is_ascii_control()) => return vec!["runAsUserName cannot contain control characters".into()],
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return vec!["runAsUserName cannot contain more than one backslash".into()],
    };
    let mut problems = Vec::new();
    if let Some(domain) = domain {
        if domain.len() >= DOMAIN_MAX {
            problems.push(format!("runAsUserName's Domain length must be under {DOMAIN_MAX} characters"));
        }
        let net_bios =
            (1..=15).contains(&domain.len()) && !domain.starts_with('.') && !domain.contains(['/', ':', '*', '?', '"', '<', '>', '|']);
        let dns = |part: &str| {
            let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = part.as_bytes();
            bytes.len() <= 63
                && ends(bytes.first())
                && ends(bytes.last())
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        };
        if !net_bios && !domain.split('.').all(dns) {
            problems.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".into());
        }
    }
    if user.is_empty() {
        problems.push("runAsUserName's User cannot be empty".into());
    } else if user.len() > USER_MAX {
        problems.push(format!("runAsUserName's User length must not be longer than {USER_MAX} characters"));
    }
    if !user.is_empty() && user.bytes().all(|byte| b". ".contains(&byte)) {
        problems.push("runAsUserName's User cannot contain only periods or spaces".into());
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        problems.push(r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#.into());
    }
    problems
}
