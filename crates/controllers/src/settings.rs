//! What the cluster's operator decided and controllers need to know.
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Pod addresses of the cluster; nodes get parts of them. Empty: nodes get none from here.
    pub cluster_cidrs: Vec<String>,
    /// Prefix lengths of a node's part, for IPv4 and IPv6.
    pub node_mask: (u8, u8),
    /// The cluster's CA in PEM, published to every namespace as `kube-root-ca.crt`.
    pub root_ca: String,
    /// A node that has not renewed its lease for so long is not ready.
    pub node_grace: Duration,
    /// Finished pods beyond this are collected.
    pub max_finished_pods: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            cluster_cidrs: Vec::new(),
            node_mask: (24, 64),
            root_ca: String::new(),
            node_grace: Duration::from_secs(50),
            max_finished_pods: 12500,
        }
    }
}
