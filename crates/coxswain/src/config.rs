//! What an operator can set: a YAML file, then flags over it. Unknown keys and impossible values are refused by name.
use crate::failure::{Doing, Failure};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// The parts of a node that `up` can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    Apiserver,
    ControllerManager,
    Scheduler,
    Kubelet,
    Proxy,
    Dns,
}

impl Component {
    pub const ALL: [Component; 6] =
        [Component::Apiserver, Component::ControllerManager, Component::Scheduler, Component::Kubelet, Component::Proxy, Component::Dns];
}

/// Keys of the file are these names in camelCase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    pub data_dir: PathBuf,
    pub node_name: String,
    /// Where the API server listens.
    pub bind_address: IpAddr,
    pub port: u16,
    /// What others reach this node by; empty: the address of the default route's link.
    pub node_ip: Option<Ipv4Addr>,
    pub kubelet_port: u16,
    pub cluster_cidr: Ipv4Net,
    pub service_cidr: Ipv4Net,
    pub cluster_domain: String,
    /// `unix:///…`; empty: the embedded runtime.
    pub container_runtime_endpoint: String,
    pub components: Vec<Component>,
    /// Registry host to the URL that is asked instead (`registry.k8s.io: http://127.0.0.1:5055`).
    pub registry_mirrors: BTreeMap<String, String>,
    pub max_pods: i64,
    pub log_level: String,
    /// The API server of components that run without one here.
    pub kubeconfig: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: "/var/lib/coxswain".into(),
            node_name: host_name(),
            bind_address: Ipv4Addr::UNSPECIFIED.into(),
            port: 6443,
            node_ip: None,
            kubelet_port: 10250,
            cluster_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16),
            service_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16),
            cluster_domain: "cluster.local".into(),
            container_runtime_endpoint: String::new(),
            components: Component::ALL.to_vec(),
            registry_mirrors: BTreeMap::new(),
            max_pods: 110,
            log_level: "info".into(),
            kubeconfig: None,
        }
    }
}

impl Config {
    pub fn read(path: &Path) -> Result<Config, Failure> {
        let text = std::fs::read_to_string(path).doing(path.display())?;
        serde_saphyr::from_str(&text).doing(path.display())
    }

    /// What cannot work is refused before anything is touched.
    pub fn check(&self) -> Result<(), Failure> {
        let refuse =
            |key: &str, value: &dyn std::fmt::Display, right: &str| Err(Failure(format!("{key}: {value} cannot be used: {right}")));
        if !self.data_dir.is_absolute() {
            return refuse("dataDir", &self.data_dir.display(), "it must be an absolute path");
        }
        if self.cluster_cidr.contains(&self.service_cidr) || self.service_cidr.contains(&self.cluster_cidr) {
            return refuse("serviceCidr", &self.service_cidr, &format!("it overlaps clusterCidr {}", self.cluster_cidr));
        }
        if self.cluster_cidr.prefix_len() > 24 {
            return refuse("clusterCidr", &self.cluster_cidr, "every node takes a /24 out of it");
        }
        if self.service_cidr.prefix_len() > 28 {
            return refuse("serviceCidr", &self.service_cidr, "the tenth address is DNS's: it must be a /28 or larger");
        }
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        for (key, name) in [("nodeName", &self.node_name), ("clusterDomain", &self.cluster_domain)] {
            if !name.split('.').all(is_label) {
                return refuse(key, name, "it must be lower case letters, digits, '-' and '.'");
            }
        }
        Ok(())
    }

    pub fn runs(&self, component: Component) -> bool {
        self.components.contains(&component)
    }

    /// The `kubernetes` service's address.
    pub fn api_service_ip(&self) -> Ipv4Addr {
        nth(self.service_cidr, 1)
    }

    pub fn dns_service_ip(&self) -> Ipv4Addr {
        nth(self.service_cidr, 10)
    }

    pub fn node_ip(&self) -> Ipv4Addr {
        self.node_ip.or_else(default_route_ip).unwrap_or(Ipv4Addr::LOCALHOST)
    }

    pub fn run_dir(&self) -> PathBuf {
        self.data_dir.join("run")
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.data_dir.join("admin.kubeconfig")
    }
}

fn nth(cidr: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(cidr.network()) + n)
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    if clean.is_empty() { "node".into() } else { clean }
}

/// The address that packets to the outside would carry. Nothing is sent.
fn default_route_ip() -> Option<Ipv4Addr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        match serde_saphyr::from_str::<Config>(text) {
            Ok(config) => config.check().map_or_else(|failure| failure.0, |()| String::new()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        assert_eq!(refusal("port: 7443\ncomponents: [apiserver]"), "");
        assert!(refusal("prot: 7443").contains("prot"), "{}", refusal("prot: 7443"));
        assert!(refusal("clusterCidr: 10.96.0.0/12").contains("overlaps clusterCidr"));
        assert!(refusal("nodeName: Node_1").contains("nodeName: Node_1"));
        assert!(refusal("dataDir: here").contains("absolute"));
    }

    #[test]
    fn service_addresses_are_the_usual_ones() {
        let config = Config::default();
        assert_eq!((config.api_service_ip().to_string(), config.dns_service_ip().to_string()), ("10.96.0.1".into(), "10.96.0.10".into()));
    }
}
