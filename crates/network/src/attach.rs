//! One pod's link: made with its far end directly in the pod's namespace, then set up from inside.
use crate::{Error, Pod};
use netlink::link::Links;
use netlink::socket::in_namespace;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

/// The link's name inside the pod.
const INSIDE: &str = "eth0";

/// A port of the host that leads to a port of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// IP protocol number: 6, 17 or 132.
    pub protocol: u8,
    /// `None`: every address of the host.
    pub host_ip: Option<Ipv4Addr>,
    pub host_port: u16,
    pub container_port: u16,
}

/// The link's name on the host: 15 letters are all there is.
pub fn link_name(sandbox_id: &str) -> String {
    let mut hasher = DefaultHasher::new();
    sandbox_id.hash(&mut hasher);
    format!("cox{:012x}", hasher.finish() & 0xffff_ffff_ffff)
}

pub fn connect(pod: &Pod, address: Ipv4Addr, gateway: Ipv4Addr, bridge: u32, mtu: u32) -> Result<(), Error> {
    let namespace = File::open(&pod.namespace).map_err(|error| Error::Io { path: pod.namespace.clone(), error })?;
    let name = link_name(&pod.sandbox_id);
    let mut links = Links::open()?;
    links.delete(&name)?; // left over from an attempt that was cut short
    links.veth(&name, bridge, mtu, INSIDE, namespace.as_fd())?;
    // Where br_netfilter is on, the bridge itself sends a translated packet back to the port it came from.
    if let Some(port) = links.find(&name)? {
        links.hairpin(port.index)?;
    }
    in_namespace(&pod.namespace, || configure(address, gateway))?
}

/// Runs inside the pod's namespace.
fn configure(address: Ipv4Addr, gateway: Ipv4Addr) -> Result<(), Error> {
    let mut links = Links::open()?;
    let all = links.all()?;
    let index = |name: &str| all.iter().find(|link| link.name == name).map(|link| link.index);
    if let Some(loopback) = index("lo") {
        links.up(loopback)?;
    }
    if let Some(inside) = index(INSIDE) {
        links.address(inside, IpAddr::V4(address), 32)?;
        links.up(inside)?;
        links.route(Some((IpAddr::V4(gateway), 32)), None, inside)?;
        links.route(None, Some(IpAddr::V4(gateway)), inside)?;
    }
    Ok(())
}
