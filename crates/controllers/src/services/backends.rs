//! Which pods stand behind a service, and on which ports.
use crate::driver::Caches;
use crate::objects::selectors::Selector;
use crate::objects::{labels, name, namespace, pods};
use client::Delta;
use k8s_openapi::api::core::v1::{Container, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::meta::Key;
use std::sync::Arc;

pub const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// The selector, unless somebody else keeps this service's endpoints.
pub fn selector(service: &Service) -> Option<Selector> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref()?;
    (spec.type_.as_deref() != Some("ExternalName")).then(|| Selector::equal(selector))
}

pub fn pods_of(caches: &Caches, service: &Service) -> Vec<Arc<Pod>> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let mut pods = caches.of::<Pod>().by_index("namespace", namespace(&service.metadata));
    // a selector without requirements selects everything here, as services always did
    pods.retain(|pod| selector.meets(labels(&pod.metadata)));
    pods
}

/// Services whose endpoints a change of a pod may change.
pub fn wake_by_pod(caches: &Caches, delta: &Delta<Pod>) -> Vec<Key> {
    if let Delta::Updated { old, new } = delta
        && !matters(old, new)
    {
        return Vec::new();
    }
    let old = match delta {
        Delta::Updated { old, .. } => Some(old),
        _ => None,
    };
    let new = delta.object();
    let touches = |service: &Service| {
        selector(service)
            .is_some_and(|selector| selector.meets(labels(&new.metadata)) || old.is_some_and(|old| selector.meets(labels(&old.metadata))))
    };
    let services = caches.of::<Service>().by_index("namespace", namespace(&new.metadata));
    services.iter().filter(|service| touches(service)).map(|service| Key::of(&service.metadata)).collect()
}

/// Whether services see a difference.
fn matters(old: &Pod, new: &Pod) -> bool {
    let name = |pod: &Pod| pod.spec.as_ref().map(|spec| (spec.hostname.clone(), spec.subdomain.clone(), spec.node_name.clone()));
    let state = |pod: &Pod| (pods::is_ready(pod), pods::is_finished(pod), pod.metadata.deletion_timestamp.clone());
    addresses(old) != addresses(new) || state(old) != state(new) || name(old) != name(new) || old.metadata.labels != new.metadata.labels
}

pub fn addresses(pod: &Pod) -> Vec<&str> {
    let Some(status) = &pod.status else { return Vec::new() };
    let all: Vec<&str> = status.pod_ips.iter().flatten().map(|address| address.ip.as_str()).collect();
    if all.is_empty() { status.pod_ip.as_deref().filter(|ip| !ip.is_empty()).into_iter().collect() } else { all }
}

/// The service's port in a pod; a named one may be missing there.
pub fn port_of(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let named = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = |protocol: &Option<String>| protocol.clone().unwrap_or_else(|| "TCP".into());
    let in_container = |container: &Container| {
        let mut ports = container.ports.iter().flatten();
        let found = ports.find(|own| own.name.as_ref() == Some(named) && protocol(&own.protocol) == protocol(&port.protocol));
        found.map(|own| own.container_port)
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers.iter().chain(sidecars).find_map(in_container)
}

pub fn is_headless(service: &Service) -> bool {
    matches!(service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()), None | Some("" | "None"))
}

pub fn publishes_unready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true)
}

/// The name under which DNS knows the pod, where the service is its subdomain.
pub fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let named = spec.subdomain.as_deref() == Some(name(&service.metadata));
    spec.hostname.clone().filter(|hostname| named && !hostname.is_empty())
}
