//! The sandbox of a pod in CRI's form.
use crate::pod::view::PodView;
use crate::spec::{labels, resources, security};
use cri::v1::security_profile::ProfileType;
use cri::v1::{
    DnsConfig, Int64Value, LinuxContainerResources, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, PodSandboxConfig,
    PodSandboxMetadata, PortMapping, Protocol, SecurityProfile,
};
use k8s_openapi::api::core::v1::Pod;

/// `<namespace>_<name>_<uid>`, the directory of a pod's logs.
pub fn log_directory(root: &str, pod: &Pod) -> String {
    format!("{root}/{}_{}_{}", pod.pod_namespace(), pod.pod_name(), pod.uid())
}

pub fn config(pod: &Pod, attempt: u32, hostname: &str, dns: DnsConfig, logs_root: &str, cgroup_parent: &str) -> PodSandboxConfig {
    let metadata =
        PodSandboxMetadata { name: pod.pod_name().into(), uid: pod.uid().into(), namespace: pod.pod_namespace().into(), attempt };
    PodSandboxConfig {
        metadata: Some(metadata),
        hostname: if pod.is_host_network() { String::new() } else { hostname.into() },
        log_directory: log_directory(logs_root, pod),
        dns_config: Some(dns),
        port_mappings: port_mappings(pod),
        labels: labels::pod_labels(pod),
        annotations: pod.metadata.annotations.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect(),
        linux: Some(linux(pod, cgroup_parent)),
        windows: None,
    }
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    if pod.is_host_network() {
        return Vec::new();
    }
    let all = pod.every_container().into_iter().flat_map(|(_, container)| container.ports.unwrap_or_default());
    let mapped = all.filter(|port| port.host_port.unwrap_or(0) > 0);
    let one = |port: k8s_openapi::api::core::v1::ContainerPort| PortMapping {
        protocol: match port.protocol.as_deref() {
            Some("UDP") => Protocol::Udp as i32,
            Some("SCTP") => Protocol::Sctp as i32,
            _ => Protocol::Tcp as i32,
        },
        container_port: port.container_port,
        host_port: port.host_port.unwrap_or(0),
        host_ip: port.host_ip.unwrap_or_default(),
    };
    mapped.map(one).collect()
}

fn linux(pod: &Pod, cgroup_parent: &str) -> LinuxPodSandboxConfig {
    let shared = pod.pod_spec().security_context.clone().unwrap_or_default();
    let privileged = |container: &k8s_openapi::api::core::v1::Container| {
        container.security_context.as_ref().and_then(|own| own.privileged).unwrap_or(false)
    };
    let int = |value: i64| Int64Value { value };
    let sysctls = shared.sysctls.iter().flatten().map(|one| (one.name.replace('/', "."), one.value.clone())).collect();
    let set = resources::of_pod(pod);
    LinuxPodSandboxConfig {
        cgroup_parent: cgroup_parent.into(),
        security_context: Some(LinuxSandboxSecurityContext {
            namespace_options: Some(security::namespaces(pod)),
            run_as_user: shared.run_as_user.map(int),
            run_as_group: shared.run_as_group.filter(|_| shared.run_as_user.is_some()).map(int),
            supplemental_groups: security::supplemental_groups(pod),
            supplemental_groups_policy: security::groups_policy(pod),
            privileged: pod.every_container().iter().any(|(_, container)| privileged(container)),
            seccomp: Some(SecurityProfile { profile_type: ProfileType::RuntimeDefault as i32, localhost_ref: String::new() }),
            ..LinuxSandboxSecurityContext::default()
        }),
        sysctls,
        overhead: None,
        resources: Some(LinuxContainerResources {
            cpu_period: set.cpu_period,
            cpu_quota: set.cpu_quota,
            cpu_shares: set.cpu_shares,
            memory_limit_in_bytes: set.memory_limit_bytes,
            ..LinuxContainerResources::default()
        }),
    }
}
