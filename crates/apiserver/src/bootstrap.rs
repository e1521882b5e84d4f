//! What is there in every cluster: the system's namespaces, the priority classes and the `kubernetes` service with its endpoints.
//! Made through the server itself, step by step, as often as it is called; what is there already stays.
use crate::server::ApiServer;
use client::{Body, Identity, Service};
use http::{Method, Request};
use machinery::status::{Reason, Status};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;

const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];
const PRIORITIES: &[(&str, i64, &str)] = &[
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
];
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Makes what is missing. The service's address is the first of the service network.
pub async fn bootstrap(server: &Arc<ApiServer>) -> Result<(), Status> {
    for name in NAMESPACES {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(server, "/api/v1/namespaces", namespace).await?;
    }
    for (name, value, description) in PRIORITIES {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
            "description": description,
        });
        create(server, "/apis/scheduling.k8s.io/v1/priorityclasses", class).await?;
    }
    let config = &server.state.config;
    if let Some(ip) = first_address(&config.service_cidr) {
        create(server, "/api/v1/namespaces/default/services", service(&ip, config.secure_port)).await?;
    }
    create(server, "/apis/networking.k8s.io/v1/servicecidrs", service_range(&config.service_cidr)).await?;
    publish(server).await
}

/// The service network as an object, under the name that clients expect.
fn service_range(cidr: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}, "spec": {"cidrs": [cidr]},
    })
}

/// The endpoints behind the `kubernetes` service: this server's address. Called again when it changes.
pub async fn publish(server: &Arc<ApiServer>) -> Result<(), Status> {
    let config = &server.state.config;
    let (address, port) = (&config.advertise_address, config.secure_port);
    let Ok(ip) = address.parse::<IpAddr>() else { return Ok(()) };
    if ip.is_loopback() || ip.is_unspecified() {
        // Nobody reaches that; endpoints must not hold it.
        return Ok(());
    }
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": if ip.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    replace(server, "/api/v1/namespaces/default/endpoints", endpoints).await?;
    replace(server, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await
}

fn service(ip: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "clusterIP": ip, "clusterIPs": [ip], "type": "ClusterIP", "sessionAffinity": "None", "ipFamilyPolicy": "SingleStack",
            "ipFamilies": [if ip.contains(':') { "IPv6" } else { "IPv4" }],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    })
}

/// The address after the network's own.
pub fn first_address(cidr: &str) -> Option<String> {
    let (ip, bits) = cidr.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    Some(match ip.parse().ok()? {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32u32.checked_sub(bits)?).unwrap_or(0);
            std::net::Ipv4Addr::from((u32::from(ip) & mask) + 1).to_string()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128u32.checked_sub(bits)?).unwrap_or(0);
            std::net::Ipv6Addr::from((u128::from(ip) & mask) + 1).to_string()
        }
    })
}

async fn create(server: &Arc<ApiServer>, path: &str, object: Value) -> Result<(), Status> {
    match send(server, Method::POST, path, &object).await {
        Err(status) if status.is(Reason::AlreadyExists) => Ok(()),
        result => result,
    }
}

async fn replace(server: &Arc<ApiServer>, path: &str, object: Value) -> Result<(), Status> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match send(server, Method::PUT, &format!("{path}/{name}"), &object).await {
        Err(status) if status.is(Reason::NotFound) => create(server, path, object).await,
        result => result,
    }
}

async fn send(server: &Arc<ApiServer>, method: Method, path: &str, object: &Value) -> Result<(), Status> {
    let identity = Identity::new("system:apiserver", &["system:masters", "system:authenticated"]);
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json").header("user-agent", "coxswain");
    let mut request = request.body(Body::json(object)).map_err(Status::internal)?;
    request.extensions_mut().insert(identity);
    request.extensions_mut().insert(client::service::InProcess);
    let response = server.call(request).await;
    if response.status().is_success() {
        return Ok(());
    }
    let code = response.status().as_u16();
    let bytes = response.into_body().bytes(MAX_ANSWER_BYTES).await.map_err(Status::internal)?.unwrap_or_default();
    let value: Value = serde_json::from_slice(&bytes).map_err(Status::internal)?;
    Err(Status { code, ..Status::from_value(&value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_a_network() {
        assert_eq!(first_address("10.96.0.0/12").as_deref(), Some("10.96.0.1"));
        assert_eq!(first_address("10.97.3.0/24").as_deref(), Some("10.97.3.1"));
        assert_eq!(first_address("fd00::/108").as_deref(), Some("fd00::1"));
        assert_eq!(first_address("nonsense"), None);
    }
}
