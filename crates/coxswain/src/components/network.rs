//! The pod network for the embedded runtime: opened when the node's podCIDR becomes known.
use crate::config::Config;
use ::network::{HostPort, Network, Pod};
use async_trait::async_trait;
use ipnet::Ipv4Net;
use parking_lot::Mutex;
use runtime::{PodNetwork, PortMapping, SandboxNetwork};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

const BRIDGE: &str = "cox0";
const TABLE: &str = "coxswain-network";

pub struct NodeNetwork {
    config: Config,
    open: watch::Sender<Option<Arc<Network>>>,
    /// One opening at a time.
    opening: Mutex<()>,
}

impl NodeNetwork {
    pub fn new(config: &Config) -> NodeNetwork {
        NodeNetwork { config: config.clone(), open: watch::Sender::new(None), opening: Mutex::new(()) }
    }

    fn open(&self, pod_cidr: Ipv4Net) -> Result<(), String> {
        let _one = self.opening.lock();
        if self.open.borrow().is_some() {
            return Ok(());
        }
        let network = Network::open(settings(&self.config, pod_cidr)).map_err(|error| error.to_string())?;
        self.open.send_replace(Some(Arc::new(network)));
        Ok(())
    }

    fn network(&self) -> Result<Arc<Network>, String> {
        self.open.borrow().clone().ok_or_else(|| "the node has no podCIDR yet".into())
    }
}

fn settings(config: &Config, pod_cidr: Ipv4Net) -> ::network::Config {
    ::network::Config {
        bridge: BRIDGE.into(),
        pod_cidr,
        cluster_cidr: config.cluster_cidr,
        service_cidr: config.service_cidr,
        mtu: 0,
        state_dir: config.data_dir.join("network"),
        table: TABLE.into(),
    }
}

/// Takes the bridge, the links and the rules away.
pub fn remove(config: &Config) -> Result<(), String> {
    // Which pods were there stands in the folder; the range does not matter for that.
    Network::remove(&settings(config, config.cluster_cidr)).map_err(|error| error.to_string())?;
    ::proxy::table::Table::remove(super::proxy::TABLE).map_err(|error| error.to_string())
}

#[async_trait]
impl PodNetwork for NodeNetwork {
    async fn attach(&self, sandbox: &SandboxNetwork) -> Result<Vec<IpAddr>, String> {
        let network = self.network()?;
        let pod = pod(sandbox);
        let attached = tokio::task::spawn_blocking(move || network.attach(&pod)).await;
        let address = attached.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(vec![IpAddr::V4(address)])
    }

    async fn detach(&self, sandbox: &SandboxNetwork) -> Result<(), String> {
        let Ok(network) = self.network() else { return Ok(()) };
        let id = sandbox.id.clone();
        let detached = tokio::task::spawn_blocking(move || network.detach(&id)).await;
        detached.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    async fn ready(&self) -> Result<(), String> {
        self.network().map(drop)
    }

    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), String> {
        let first = cidr.split(',').find_map(|part| part.trim().parse::<Ipv4Net>().ok());
        let cidr = first.ok_or_else(|| format!("{cidr:?} holds no IPv4 range"))?;
        self.open(cidr)
    }
}

fn protocol(name: &str) -> u8 {
    match name {
        "udp" => 17,
        "sctp" => 132,
        _ => 6,
    }
}

fn pod(sandbox: &SandboxNetwork) -> Pod {
    let port = |mapping: &PortMapping| HostPort {
        protocol: protocol(mapping.protocol),
        host_ip: mapping.host_ip.parse().ok(),
        host_port: mapping.host_port,
        container_port: mapping.container_port,
    };
    Pod { sandbox_id: sandbox.id.clone(), namespace: sandbox.namespace_path.clone(), host_ports: sandbox.ports.iter().map(port).collect() }
}
