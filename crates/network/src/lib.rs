//! The pod network of one node: a bridge, a link pair per pod, addresses out of the node's podCIDR, host ports.
//! A pod has its address as a single one (/32) and reaches everything, its neighbours too, through the bridge's address: so
//! every packet is routed and seen by the service proxy's rules, whether br_netfilter is there or not.
//! It works in the network namespace of the thread that opens it, touches only what it made, and knows no API objects.
mod addresses;
mod attach;
mod rules;
mod sysctl;

use addresses::Addresses;
use ipnet::Ipv4Net;
use netlink::link::Links;
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

pub use attach::HostPort;

#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the bridge; at most 15 letters.
    pub bridge: String,
    /// What this node's pods get their addresses from; the first address is the bridge's.
    pub pod_cidr: Ipv4Net,
    /// Addresses that are reached without masquerading.
    pub cluster_cidr: Ipv4Net,
    /// Service addresses: the node itself needs a route to them, or a machine without a default route could not reach a service.
    pub service_cidr: Ipv4Net,
    /// Of the bridge and of the pods' links; 0: that of the link with the default route, or 1500.
    pub mtu: u32,
    /// Which pod has which address, a file each; outlives the process.
    pub state_dir: PathBuf,
    /// Name of the packet rules' table.
    pub table: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    #[error("{path} cannot be used: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    #[error("all {0} addresses of the node's podCIDR are in use")]
    Exhausted(Ipv4Net),
    #[error("the host port {0} is taken by another pod of this node")]
    PortTaken(String),
}

/// A pod to be connected.
#[derive(Clone, Debug)]
pub struct Pod {
    pub sandbox_id: String,
    /// Its network namespace, as a file.
    pub namespace: PathBuf,
    pub host_ports: Vec<HostPort>,
}

pub struct Network {
    config: Config,
    addresses: Mutex<Addresses>,
    rules: Mutex<rules::Rules>,
    bridge: u32,
    mtu: u32,
}

impl Network {
    /// Makes the bridge and the rules, or takes up what an earlier process left.
    pub fn open(config: Config) -> Result<Network, Error> {
        let addresses = Addresses::load(&config.state_dir, config.pod_cidr)?;
        let mut links = Links::open()?;
        let mtu = if config.mtu == 0 { 1500 } else { config.mtu };
        let bridge = links.bridge(&config.bridge, mtu)?;
        let gateway = gateway(&config);
        links.address(bridge.index, IpAddr::V4(gateway), config.pod_cidr.prefix_len())?;
        let services = (IpAddr::V4(config.service_cidr.network()), config.service_cidr.prefix_len());
        links.route(Some(services), None, bridge.index)?;
        sysctl::set("net/ipv4/ip_forward", "1")?;
        sysctl::set(&format!("net/ipv4/conf/{}/send_redirects", config.bridge), "0")?;
        sysctl::set("net/ipv4/conf/all/send_redirects", "0")?;
        // Host ports are reachable at 127.0.0.1 too.
        sysctl::set(&format!("net/ipv4/conf/{}/route_localnet", config.bridge), "1")?;
        let rules = rules::Rules::install(&config)?;
        Ok(Network { addresses: Mutex::new(addresses), rules: Mutex::new(rules), bridge: bridge.index, mtu, config })
    }

    /// Connects a pod; gives its address. A second call for the same sandbox gives the same address.
    pub fn attach(&self, pod: &Pod) -> Result<Ipv4Addr, Error> {
        let address = self.addresses.lock().take(&pod.sandbox_id)?;
        let connected = attach::connect(pod, address, gateway(&self.config), self.bridge, self.mtu)
            .and_then(|()| self.rules.lock().publish(&pod.sandbox_id, address, &pod.host_ports));
        if let Err(error) = connected {
            self.detach(&pod.sandbox_id)?;
            return Err(error);
        }
        Ok(address)
    }

    /// Takes a pod's link, host ports and address away; fine if they are gone.
    pub fn detach(&self, sandbox_id: &str) -> Result<(), Error> {
        self.rules.lock().withdraw(sandbox_id)?;
        Links::open()?.delete(&attach::link_name(sandbox_id))?;
        self.addresses.lock().give_back(sandbox_id)
    }

    /// The addresses in use, by sandbox.
    pub fn attached(&self) -> Vec<(String, Ipv4Addr)> {
        self.addresses.lock().all()
    }

    /// A route to another node's pods through that node.
    pub fn add_peer(&self, pod_cidr: Ipv4Net, node: Ipv4Addr) -> Result<(), Error> {
        let mut links = Links::open()?;
        let towards = links.addresses()?.into_iter().find(|(_, address, prefix)| match address {
            IpAddr::V4(own) => Ipv4Net::new(*own, *prefix).is_ok_and(|net| net.contains(&node)),
            IpAddr::V6(_) => false,
        });
        let Some((index, _, _)) = towards else { return Ok(()) }; // reached through the default route, if at all
        let to = (IpAddr::V4(pod_cidr.network()), pod_cidr.prefix_len());
        Ok(links.route(Some(to), Some(IpAddr::V4(node)), index)?)
    }

    /// Removes everything that `open` and `attach` made in the kernel.
    pub fn remove(config: &Config) -> Result<(), Error> {
        let addresses = Addresses::load(&config.state_dir, config.pod_cidr)?;
        let mut links = Links::open()?;
        for (sandbox, _) in addresses.all() {
            links.delete(&attach::link_name(&sandbox))?;
        }
        links.delete(&config.bridge)?;
        Ok(netlink::nft::remove_table(&mut netlink::nft::open()?, &config.table)?)
    }
}

fn gateway(config: &Config) -> Ipv4Addr {
    config.pod_cidr.hosts().next().unwrap_or(config.pod_cidr.network())
}

#[cfg(test)]
mod tests;
