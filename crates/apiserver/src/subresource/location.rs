//! Where pods and nodes are: looked up in the store, with the original's words for what is not there.
use super::kubelet::Connection;
use crate::kinds::Served;
use crate::request::call::Call;
use crate::subresource::forward::unreachable;
use crate::verbs::storage;
use k8s_openapi::api::core::v1::{Node, Pod};
use machinery::object::Resource;
use machinery::status::{Reason, Status};
use std::sync::Arc;

const KUBELET_PORT: u16 = 10250;
/// Which of a node's addresses is dialled.
const PREFERRED: &[&str] = &["InternalIP", "InternalDNS", "Hostname", "ExternalDNS", "ExternalIP"];

/// One object of a kind with a Rust type.
pub async fn find<T: Resource>(call: &Call, served: &Served, namespace: &str, name: &str) -> Result<Option<Arc<T>>, Status> {
    let key = served.kind.names().key(namespace, name);
    let stored = call.state.store().get(&key).await.map_err(storage::failure)?;
    stored.map(|stored| stored.decoded::<T>().map_err(Status::internal)).transpose()
}

pub fn served<'a>(call: &'a Call, group: &str, version: &str, resource: &str) -> Result<&'a Arc<Served>, Status> {
    let found = call.state.config.kinds.find(group, version, resource);
    found.ok_or_else(|| Status::internal(format!("{resource} are not served")))
}

pub async fn pod(call: &Call, name: &str) -> Result<Arc<Pod>, Status> {
    let found = find(call, served(call, "", "v1", "pods")?, call.namespace(), name).await?;
    found.ok_or_else(|| Status::not_found("", "pods", name))
}

pub fn node_name(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// The node's kubelet: address and port.
pub async fn kubelet(call: &Call, node: &str) -> Result<(String, u16), Status> {
    let found = find::<Node>(call, served(call, "", "v1", "nodes")?, "", node).await?;
    let found = found.ok_or_else(|| Status::not_found("", call.resource(), node))?;
    let status = found.status.clone().unwrap_or_default();
    let addresses = status.addresses.unwrap_or_default();
    let address = PREFERRED.iter().find_map(|kind| addresses.iter().find(|address| address.type_ == *kind));
    let address = address.ok_or_else(|| Status::internal(format!("no preferred addresses found; known addresses: []; node {node}")))?;
    let port = status.daemon_endpoints.and_then(|endpoints| endpoints.kubelet_endpoint).map(|endpoint| endpoint.port);
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).unwrap_or(KUBELET_PORT);
    Ok((address.address.clone(), port))
}

/// A connection to a node's kubelet and what to call it in the `Host` header.
pub async fn dial_kubelet(call: &Call, node: &str) -> Result<(Box<dyn Connection>, String), Status> {
    let (host, port) = kubelet(call, node).await?;
    dial_address(call, node, &host, port).await
}

pub async fn dial_address(call: &Call, node: &str, host: &str, port: u16) -> Result<(Box<dyn Connection>, String), Status> {
    let dialer = call.state.config.kubelets.as_ref();
    let dialer = dialer.ok_or_else(|| Status::new(Reason::ServiceUnavailable, "this server has no way to kubelets"))?;
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let connection = dialer.dial(node, host, port).await.map_err(|error| Status::internal(format!("error dialing backend: {error}")))?;
    Ok((connection, shown))
}

/// The container that is meant, if it is not said; or why that cannot be told.
pub fn container(pod: &Pod, asked: &str) -> Result<String, Status> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let Some(spec) = &pod.spec else { return Err(Status::bad_request(format!("a container name must be specified for pod {name}"))) };
    let mut all: Vec<&str> = spec.init_containers.iter().flatten().map(|container| container.name.as_str()).collect();
    all.extend(spec.containers.iter().map(|container| container.name.as_str()));
    all.extend(spec.ephemeral_containers.iter().flatten().map(|container| container.name.as_str()));
    match (asked, spec.containers.as_slice()) {
        ("", [only]) => Ok(only.name.clone()),
        ("", []) => Err(Status::bad_request(format!("a container name must be specified for pod {name}"))),
        ("", _) => {
            let all = all.join(" ");
            Err(Status::bad_request(format!("a container name must be specified for pod {name}, choose one of: [{all}]")))
        }
        (asked, _) if all.contains(&asked) => Ok(asked.into()),
        (asked, _) => Err(Status::bad_request(format!("container {asked} is not valid for pod {name}"))),
    }
}

/// Only addresses of pods and services are dialled, never the machine's own or link-local ones.
pub fn check_address(ip: &str) -> Result<(), Status> {
    let allowed = ip.parse::<std::net::IpAddr>().is_ok_and(|ip| {
        let local = match ip {
            std::net::IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
            std::net::IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        !(local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
    });
    if allowed { Ok(()) } else { Err(Status::bad_request("address not allowed")) }
}

pub async fn dial_plain(host: &str, port: u16) -> Result<Box<dyn Connection>, Status> {
    let stream = super::kubelet::plain(host, port).await.map_err(unreachable)?;
    Ok(Box::new(stream))
}
