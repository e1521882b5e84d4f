//! The checks of the level `baseline`: known ways out of a container.
use super::checks::{Finding, Subject, Values, found, named, plural, quoted, setters};
use k8s_openapi::api::core::v1::{LifecycleHandler, Probe, SELinuxOptions};

const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Sysctls that are namespaced and safe, with the minor version from which each is allowed.
const SYSCTLS: [(&str, u32); 14] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
    ("net.ipv4.tcp_slow_start_after_idle", 37),
    ("net.ipv4.tcp_notsent_lowat", 37),
];

pub fn app_armor(subject: &Subject) -> Finding {
    let mut values = Values::new();
    let mut bad = |kind: Option<&str>| {
        let kind = kind.filter(|kind| !matches!(*kind, "RuntimeDefault" | "Localhost"));
        kind.map(|kind| values.insert(kind.to_string())).is_some()
    };
    let pod = subject.spec.security_context.as_ref().and_then(|security| security.app_armor_profile.as_ref());
    let pod_bad = bad(pod.map(|profile| profile.type_.as_str()));
    let containers = subject.which(|container| {
        let profile = container.security.and_then(|security| security.app_armor_profile.as_ref());
        bad(profile.map(|profile| profile.type_.as_str()))
    });
    let mut setters = setters(pod_bad, &containers);
    let allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotations = subject.meta.annotations.iter().flatten();
    let annotations = annotations.filter(|(key, value)| key.starts_with(APP_ARMOR_ANNOTATION) && !allowed(value));
    let annotations: Vec<String> = annotations.map(|(key, value)| format!("{key}={value:?}")).collect();
    if !annotations.is_empty() {
        setters.push(plural("annotation", "annotations", annotations.len()).into());
    }
    if setters.is_empty() {
        return None;
    }
    let values: Vec<String> = values.into_iter().chain(annotations).collect();
    let detail = format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(&values));
    found(plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len()), detail)
}

pub fn capabilities(subject: &Subject) -> Finding {
    let mut values = Values::new();
    let containers = subject.which(|container| {
        let capabilities = container.security.and_then(|security| security.capabilities.as_ref());
        let added = capabilities.into_iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        let bad: Vec<&String> = added.filter(|name| !DEFAULT_CAPABILITIES.contains(&name.as_str())).collect();
        values.extend(bad.iter().map(|name| name.to_string()));
        !bad.is_empty()
    });
    if containers.is_empty() {
        return None;
    }
    let detail = format!("{} must not include {} in securityContext.capabilities.add", named(&containers), quoted(&values));
    found("non-default capabilities", detail)
}

pub fn host_namespaces(subject: &Subject) -> Finding {
    let spec = subject.spec;
    let all = [("hostNetwork=true", spec.host_network), ("hostPID=true", spec.host_pid), ("hostIPC=true", spec.host_ipc)];
    let set: Vec<&str> = all.iter().filter(|(_, value)| *value == Some(true)).map(|(name, _)| *name).collect();
    if set.is_empty() { None } else { found("host namespaces", set.join(", ")) }
}

pub fn host_path_volumes(subject: &Subject) -> Finding {
    let volumes = subject.spec.volumes.iter().flatten().filter(|volume| volume.host_path.is_some());
    let names: Vec<&str> = volumes.map(|volume| volume.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    found("hostPath volumes", format!("{} {}", plural("volume", "volumes", names.len()), quoted(&names)))
}

pub fn host_ports(subject: &Subject) -> Finding {
    let mut values = Values::new();
    let containers = subject.which(|container| {
        let ports: Vec<i32> = container.ports.iter().filter_map(|port| port.host_port).filter(|port| *port != 0).collect();
        values.extend(ports.iter().map(i32::to_string));
        !ports.is_empty()
    });
    if containers.is_empty() {
        return None;
    }
    let (uses, ports) = (plural("uses", "use", containers.len()), plural("hostPort", "hostPorts", values.len()));
    let list = values.into_iter().collect::<Vec<_>>().join(", ");
    found("hostPort", format!("{} {uses} {ports} {list}", named(&containers)))
}

pub fn host_probes(subject: &Subject) -> Finding {
    let mut values = Values::new();
    let probe_hosts = |probe: &Probe| {
        let http = probe.http_get.as_ref().and_then(|action| action.host.clone());
        [http, probe.tcp_socket.as_ref().and_then(|action| action.host.clone())]
    };
    let handler_hosts = |handler: &LifecycleHandler| {
        let http = handler.http_get.as_ref().and_then(|action| action.host.clone());
        [http, handler.tcp_socket.as_ref().and_then(|action| action.host.clone())]
    };
    let mut containers = subject.which(|container| {
        let probes = container.probes.iter().flatten().flat_map(|probe| probe_hosts(probe));
        let handlers = container.lifecycle.into_iter().flat_map(|lifecycle| [&lifecycle.post_start, &lifecycle.pre_stop]).flatten();
        let hosts: Vec<String> = probes.chain(handlers.flat_map(handler_hosts)).flatten().filter(|host| !host.is_empty()).collect();
        values.extend(hosts.iter().cloned());
        !hosts.is_empty()
    });
    containers.sort();
    containers.dedup();
    if containers.is_empty() {
        return None;
    }
    let what = plural("probe or lifecycle host", "probe or lifecycle hosts", values.len());
    let detail = format!("{} {} {what} {}", named(&containers), plural("uses", "use", containers.len()), quoted(&values));
    found("probe or lifecycle host", detail)
}

pub fn privileged(subject: &Subject) -> Finding {
    let containers = subject.which(|container| container.security.and_then(|security| security.privileged) == Some(true));
    if containers.is_empty() {
        return None;
    }
    found("privileged", format!("{} must not set securityContext.privileged=true", named(&containers)))
}

pub fn proc_mount(subject: &Subject) -> Finding {
    let mut values = Values::new();
    let containers = subject.which(|container| {
        let mount = container.security.and_then(|security| security.proc_mount.as_deref()).filter(|mount| *mount != "Default");
        mount.map(|mount| values.insert(mount.to_string())).is_some()
    });
    if containers.is_empty() {
        return None;
    }
    found("procMount", format!("{} must not set securityContext.procMount to {}", named(&containers), quoted(&values)))
}

pub fn proc_mount_35(subject: &Subject) -> Finding {
    if subject.has_own_users() { None } else { proc_mount(subject) }
}

pub fn se_linux(subject: &Subject) -> Finding {
    se_linux_types(subject, &["", "container_t", "container_init_t", "container_kvm_t"])
}

pub fn se_linux_31(subject: &Subject) -> Finding {
    se_linux_types(subject, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

fn se_linux_types(subject: &Subject, allowed: &[&str]) -> Finding {
    let (mut types, mut user, mut role) = (Values::new(), false, false);
    let mut bad = |options: Option<&SELinuxOptions>| {
        let Some(options) = options else { return false };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let kind = text(&options.type_);
        let (bad_type, bad_user, bad_role) =
            (!allowed.contains(&kind.as_str()), !text(&options.user).is_empty(), !text(&options.role).is_empty());
        if bad_type {
            types.insert(kind);
        }
        user |= bad_user;
        role |= bad_role;
        bad_type || bad_user || bad_role
    };
    let pod = bad(subject.spec.security_context.as_ref().and_then(|security| security.se_linux_options.as_ref()));
    let containers = subject.which(|container| bad(container.security.and_then(|security| security.se_linux_options.as_ref())));
    let setters = setters(pod, &containers);
    if setters.is_empty() {
        return None;
    }
    let mut data = Vec::new();
    if !types.is_empty() {
        data.push(format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    }
    if user {
        data.push("user may not be set".into());
    }
    if role {
        data.push("role may not be set".into());
    }
    let detail = format!("{} set forbidden securityContext.seLinuxOptions: {}", setters.join(" and "), data.join("; "));
    found("seLinuxOptions", detail)
}

/// Before version 1.19 the profile stood in annotations.
pub fn seccomp_annotations(subject: &Subject) -> Finding {
    let allowed = |value: &str| value == "runtime/default" || value == "docker/default" || value.starts_with("localhost/");
    let keys = subject.containers.iter().map(|container| format!("{SECCOMP_CONTAINER_ANNOTATION}{}", container.name));
    let mut bad = Values::new();
    for key in keys.chain([SECCOMP_POD_ANNOTATION.to_string()]) {
        let value = subject.meta.annotations.as_ref().and_then(|all| all.get(&key));
        bad.extend(value.filter(|value| !allowed(value)).map(|value| format!("{key}={value:?}")));
    }
    if bad.is_empty() {
        return None;
    }
    let list = bad.iter().cloned().collect::<Vec<_>>().join(", ");
    found("seccompProfile", format!("forbidden {} {list}", plural("annotation", "annotations", bad.len())))
}

pub fn seccomp(subject: &Subject) -> Finding {
    let mut values = Values::new();
    let mut bad = |kind: Option<&str>| {
        let kind = kind.filter(|kind| !valid_seccomp(kind));
        kind.map(|kind| values.insert(kind.to_string())).is_some()
    };
    let pod = subject.spec.security_context.as_ref().and_then(|security| security.seccomp_profile.as_ref());
    let pod = bad(pod.map(|profile| profile.type_.as_str()));
    let containers = subject.which(|container| {
        let profile = container.security.and_then(|security| security.seccomp_profile.as_ref());
        bad(profile.map(|profile| profile.type_.as_str()))
    });
    let setters = setters(pod, &containers);
    if setters.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.seccompProfile.type to {}", setters.join(" and "), quoted(&values));
    found("seccompProfile", detail)
}

pub fn valid_seccomp(kind: &str) -> bool {
    kind == "Localhost" || kind == "RuntimeDefault"
}

pub fn sysctls(subject: &Subject) -> Finding {
    sysctls_at(subject, 0)
}

pub fn sysctls_27(subject: &Subject) -> Finding {
    sysctls_at(subject, 27)
}

pub fn sysctls_29(subject: &Subject) -> Finding {
    sysctls_at(subject, 29)
}

pub fn sysctls_32(subject: &Subject) -> Finding {
    sysctls_at(subject, 32)
}

pub fn sysctls_37(subject: &Subject) -> Finding {
    sysctls_at(subject, 37)
}

fn sysctls_at(subject: &Subject, minor: u32) -> Finding {
    let all = subject.spec.security_context.iter().flat_map(|security| security.sysctls.iter().flatten());
    let allowed = |name: &str| SYSCTLS.iter().any(|(own, from)| *own == name && *from <= minor);
    let bad: Vec<&str> = all.map(|sysctl| sysctl.name.as_str()).filter(|name| !allowed(name)).collect();
    if bad.is_empty() { None } else { found("forbidden sysctls", bad.join(", ")) }
}

pub fn windows_host_process(subject: &Subject) -> Finding {
    let pod = subject.spec.security_context.as_ref().and_then(|security| security.windows_options.as_ref());
    let pod = pod.and_then(|options| options.host_process) == Some(true);
    let containers = subject.which(|container| {
        let options = container.security.and_then(|security| security.windows_options.as_ref());
        options.and_then(|options| options.host_process) == Some(true)
    });
    let setters = setters(pod, &containers);
    if setters.is_empty() {
        return None;
    }
    found("hostProcess", format!("{} must not set securityContext.windowsOptions.hostProcess=true", setters.join(" and ")))
}
