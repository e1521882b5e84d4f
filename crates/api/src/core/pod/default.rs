//! What the server fills in where a pod leaves a field out.
use super::{image, volumes};
use crate::access::{ApiResources, Flag, Text, canonical_resources, fill};
use crate::core::resources;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EphemeralContainer, HTTPGetAction, Lifecycle, ObjectFieldSelector, Pod, PodSpec, PodTemplateSpec,
    Probe, ResourceRequirements,
};

/// Defaults of a pod: those of every spec, and some that templates do not get.
pub fn default_pod(pod: &mut Pod) {
    let spec = pod.spec.get_or_insert_default();
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        spec.termination_grace_period_seconds = Some(1);
    }
    spec.enable_service_links.get_or_insert(true);
    let host_network = spec.host_network.on();
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        requests_from_limits(container.resources.get_or_insert_default());
        for port in container.ports.iter_mut().flatten().filter(|port| host_network && port.host_port.unwrap_or(0) == 0) {
            port.host_port = Some(port.container_port);
        }
    }
    default_pod_spec(spec);
    if let Some(status) = &mut pod.status {
        same_addresses(status);
    }
}

/// Defaults of a pod template, in every kind that has one.
pub fn default_pod_template(template: &mut PodTemplateSpec) {
    template.metadata.get_or_insert_default();
    default_pod_spec(template.spec.get_or_insert_default());
}

/// Defaults shared by pods and templates.
pub fn default_pod_spec(spec: &mut PodSpec) {
    if spec.service_account_name.text().is_empty() {
        spec.service_account_name = spec.service_account.take().filter(|name| !name.is_empty());
    }
    spec.service_account.clone_from(&spec.service_account_name);
    fill(&mut spec.dns_policy, "ClusterFirst");
    fill(&mut spec.restart_policy, "Always");
    fill(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_default();
    spec.termination_grace_period_seconds.get_or_insert(30);
    canonical_resources(&mut spec.overhead);
    if let Some(resources) = &mut spec.resources {
        canonical(resources);
    }
    spec.volumes.iter_mut().flatten().for_each(volumes::default_volume);
    spec.init_containers.iter_mut().flatten().chain(&mut spec.containers).for_each(default_container);
    spec.ephemeral_containers.iter_mut().flatten().for_each(default_ephemeral);
}

fn default_container(container: &mut Container) {
    fill(&mut container.image_pull_policy, image::pull_policy(container.image.text()));
    fill(&mut container.termination_message_path, "/dev/termination-log");
    fill(&mut container.termination_message_policy, "File");
    canonical(container.resources.get_or_insert_default());
    container.ports.iter_mut().flatten().for_each(default_port);
    container.env.iter_mut().flatten().for_each(default_env);
    [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe]
        .into_iter()
        .flatten()
        .for_each(default_probe);
    container.lifecycle.iter_mut().for_each(default_lifecycle);
}

fn default_ephemeral(container: &mut EphemeralContainer) {
    fill(&mut container.image_pull_policy, image::pull_policy(container.image.text()));
    fill(&mut container.termination_message_path, "/dev/termination-log");
    fill(&mut container.termination_message_policy, "File");
    canonical(container.resources.get_or_insert_default());
    container.ports.iter_mut().flatten().for_each(default_port);
    container.env.iter_mut().flatten().for_each(default_env);
    [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe]
        .into_iter()
        .flatten()
        .for_each(default_probe);
    container.lifecycle.iter_mut().for_each(default_lifecycle);
}

fn canonical(resources: &mut ResourceRequirements) {
    canonical_resources(&mut resources.limits);
    canonical_resources(&mut resources.requests);
}

fn default_port(port: &mut ContainerPort) {
    fill(&mut port.protocol, "TCP");
}

fn default_env(env: &mut EnvVar) {
    let Some(source) = &mut env.value_from else { return };
    source.field_ref.iter_mut().for_each(default_field_ref);
    if let Some(file) = &mut source.file_key_ref {
        file.optional.get_or_insert(false);
    }
}

pub(super) fn default_field_ref(selector: &mut ObjectFieldSelector) {
    fill(&mut selector.api_version, "v1");
}

fn default_probe(probe: &mut Probe) {
    for (field, value) in [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ] {
        if field.unwrap_or(0) == 0 {
            *field = Some(value);
        }
    }
    probe.http_get.iter_mut().for_each(default_http);
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn default_lifecycle(lifecycle: &mut Lifecycle) {
    let handlers = [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten();
    handlers.filter_map(|handler| handler.http_get.as_mut()).for_each(default_http);
}

fn default_http(action: &mut HTTPGetAction) {
    fill(&mut action.path, "/");
    fill(&mut action.scheme, "HTTP");
}

/// A limit without a request is a request as well.
fn requests_from_limits(resources: &mut ResourceRequirements) {
    let Some(limits) = &resources.limits else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, quantity) in limits {
        requests.entry(name.clone()).or_insert_with(|| quantity.clone());
    }
}

/// `podIP` is the first of `podIPs`; older kubelets set only the former.
fn same_addresses(status: &mut k8s_openapi::api::core::v1::PodStatus) {
    let first = status.pod_ips.iter().flatten().next().map(|first| first.ip.clone());
    let single = status.pod_ip.text().to_string();
    match (single.is_empty(), first) {
        (true, Some(first)) => status.pod_ip = Some(first),
        (false, first) if first.as_ref() != Some(&single) => {
            status.pod_ips = Some(vec![k8s_openapi::api::core::v1::PodIP { ip: single }]);
        }
        _ => {}
    }
}

/// Resources of the pod itself, from those of its containers, once all containers are known.
pub fn default_pod_level(spec: &mut PodSpec) {
    let Some(own) = &spec.resources else { return };
    let empty = |list: &Option<ApiResources>| list.as_ref().is_none_or(ApiResources::is_empty);
    if empty(&own.requests) && empty(&own.limits) {
        return;
    }
    let (mut requests, mut limits) = (own.requests.clone().unwrap_or_default(), own.limits.clone().unwrap_or_default());
    for (name, value) in super::usage::containers_limits(spec) {
        if resources::is_huge_page(&name) && !requests.contains_key(&name) {
            limits.entry(name).or_insert_with(|| (&value).into());
        }
    }
    for (name, value) in super::usage::containers_requests(spec) {
        if resources::is_pod_level(&name) && resources::is_overcommittable(&name) {
            requests.entry(name).or_insert_with(|| (&value).into());
        }
    }
    for (name, quantity) in limits.iter().filter(|(name, _)| resources::is_pod_level(name)) {
        requests.entry(name.clone()).or_insert_with(|| quantity.clone());
    }
    let own = spec.resources.get_or_insert_default();
    own.requests = Some(requests).filter(|list| !list.is_empty());
    own.limits = Some(limits).filter(|list| !list.is_empty());
}
