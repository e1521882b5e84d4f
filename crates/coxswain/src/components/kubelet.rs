//! The kubelet, with the container runtime under it and the pod network told about the node's podCIDR.
use super::containers::Containers;
use crate::config::Config;
use crate::failure::{Doing, Failure};
use ::kubelet::{Config as KubeletConfig, Kubelet};
use client::{Client, Informer, ListOptions};
use k8s_openapi::api::core::v1::Node;
use pki::Directory;
use pki::directory::KUBELET_SERVER;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::net::IpAddr;
use std::sync::Arc;
use stdx::clock::Clock;
use stdx::random::Random;

/// The kubelet with what it stands on; all of it ends together, containers do not.
pub struct Running {
    pub kubelet: Kubelet,
    /// The runtime under it.
    _containers: Containers,
    pub node: Arc<Informer<Node>>,
}

pub async fn start(
    config: &Config,
    client: Client,
    containers: Containers,
    pki: Option<&Directory>,
    clock: &Clock,
    random: &Random,
) -> Result<Running, Failure> {
    let node = Informer::<Node>::start(client.clone(), ListOptions::fields(format!("metadata.name={}", config.node_name)));
    if let Some(network) = containers.network.clone() {
        node.subscribe(move |delta| {
            let cidr = delta.object().spec.as_ref().and_then(|spec| spec.pod_cidr.clone());
            let network = network.clone();
            if let Some(cidr) = cidr {
                tokio::spawn(async move {
                    if let Err(error) = runtime::PodNetwork::set_pod_cidr(&*network, &cidr).await {
                        tracing::error!(cidr, %error, "the pod network cannot be set up");
                    }
                });
            }
        });
    }
    let tls = pki.map(server_tls).transpose()?.map(Arc::new);
    let kubelet = KubeletConfig {
        cluster_dns: vec![config.dns_service_ip().to_string()],
        cluster_domain: config.cluster_domain.clone(),
        node_ips: vec![IpAddr::V4(config.node_ip())],
        manifest_dir: Some(config.data_dir.join("manifests")),
        pod_logs_dir: config.data_dir.join("logs"),
        listen: tls.is_some().then(|| ([0, 0, 0, 0], config.kubelet_port).into()),
        tls,
        max_pods: config.max_pods,
        clock: clock.clone(),
        random: random.fork(),
        ..KubeletConfig::new(
            &config.node_name,
            client,
            containers.runtime.clone(),
            containers.runtime.clone(),
            config.data_dir.join("kubelet"),
        )
    };
    let kubelet = Kubelet::start(kubelet).await.doing("the kubelet")?;
    Ok(Running { kubelet, _containers: containers, node })
}

/// HTTP/1.1 only: the streams of exec and port-forward are upgrades.
fn server_tls(pki: &Directory) -> Result<rustls::ServerConfig, Failure> {
    let pair = pki.pair(KUBELET_SERVER).ok_or_else(|| Failure("the kubelet has no serving certificate".into()))?;
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(pki.ca().cert().as_bytes()) {
        roots.add(ca.doing("the cluster's authority")?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).allow_unauthenticated().build()?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pair.cert.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.to_pem().as_bytes()).doing("the kubelet's key")?;
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut tls = builder.with_client_cert_verifier(verifier).with_single_cert(chain.doing("the kubelet's certificate")?, key)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}
