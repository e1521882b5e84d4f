//! The port to the pod network: whoever wires the runtime passes an implementation in.
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// Joins sandboxes to a network. Calls for one sandbox never overlap.
#[async_trait]
pub trait PodNetwork: Send + Sync + 'static {
    /// Makes the sandbox reachable; its addresses, the primary one first.
    async fn attach(&self, sandbox: &SandboxNetwork) -> Result<Vec<IpAddr>, String>;

    /// Undoes `attach`, also when that had failed half-way or was undone before.
    async fn detach(&self, sandbox: &SandboxNetwork) -> Result<(), String>;

    /// Why sandboxes cannot be attached now, if so.
    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// The node's pod address ranges have become known.
    async fn set_pod_cidr(&self, _cidr: &str) -> Result<(), String> {
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct SandboxNetwork {
    pub id: String,
    /// The network namespace as a file.
    pub namespace_path: PathBuf,
    pub pod_namespace: String,
    pub pod_name: String,
    pub pod_uid: String,
    pub ports: Vec<PortMapping>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortMapping {
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
    pub container_port: u16,
    pub host_port: u16,
    /// Empty: every address of the host.
    pub host_ip: String,
}

/// No network: sandboxes have a loopback link only.
pub struct NoNetwork;

#[async_trait]
impl PodNetwork for NoNetwork {
    async fn attach(&self, _: &SandboxNetwork) -> Result<Vec<IpAddr>, String> {
        Ok(Vec::new())
    }

    async fn detach(&self, _: &SandboxNetwork) -> Result<(), String> {
        Ok(())
    }
}
