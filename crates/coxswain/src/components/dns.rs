//! Cluster DNS, and the objects by which pods find it.
use crate::config::Config;
use crate::failure::{Doing, Failure};
use ::dns::forward::Forwarder;
use ::dns::{Config as DnsConfig, Server};
use client::{Client, Informers};
use http::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

pub async fn start(config: &Config, listen: SocketAddr, informers: &Informers) -> Result<Server, Failure> {
    let own = [listen.ip(), config.dns_service_ip().into()];
    let forwarder = Forwarder::from_resolv_conf(Path::new("/etc/resolv.conf"), &own);
    Server::start(DnsConfig { listen, domain: config.cluster_domain.clone(), forwarder }, informers).await.doing("DNS")
}

/// The `kube-dns` service at its usual address, leading to where the server listens, and the roles that let it read.
pub async fn publish(config: &Config, admin: &Client, listen: SocketAddr) -> Result<(), Failure> {
    let ports = |port: u16| json!([{"name": "dns", "port": port, "protocol": "UDP"}, {"name": "dns-tcp", "port": port, "protocol": "TCP"}]);
    let meta = |name: &str, labels: Value| json!({"name": name, "namespace": "kube-system", "labels": labels});
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": meta("kube-dns", json!({"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"})),
        "spec": {"clusterIP": config.dns_service_ip().to_string(), "ports": ports(53)}});
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": meta("kube-dns", json!({"kubernetes.io/service-name": "kube-dns", "endpointslice.kubernetes.io/managed-by": "coxswain"})),
        "endpoints": [{"addresses": [listen.ip().to_string()], "conditions": {"ready": true}, "nodeName": config.node_name}],
        "ports": ports(listen.port())});
    let rule = |groups: &str, resources: &[&str]| json!({"apiGroups": [groups], "resources": resources, "verbs": ["get", "list", "watch"]});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:coredns"},
        "rules": [rule("", &["endpoints", "services", "pods", "namespaces"]), rule("discovery.k8s.io", &["endpointslices"])]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "system:coredns"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"kind": "ServiceAccount", "name": "kube-dns", "namespace": "kube-system"}]});
    for (path, object) in [
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", role),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding),
        ("/api/v1/namespaces/kube-system/services", service),
        ("/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", slice),
    ] {
        apply(admin, path, &object).await?;
    }
    Ok(())
}

/// Makes the object or brings it to what it should be; what is right already is not written.
async fn apply(client: &Client, path: &str, object: &Value) -> Result<(), Failure> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let path = format!("{path}/{name}?fieldManager=coxswain&force=true");
    let body = client::Body::json(object);
    let applied = client.raw(Method::PATCH, &path, Some(("application/apply-patch+yaml", body))).await;
    applied.map(drop).doing(format!("making {name}"))
}
