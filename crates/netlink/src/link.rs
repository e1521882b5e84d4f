//! Links, addresses and routes: just what a pod network needs.
use crate::message::{ACK, CREATE, DUMP, EXCL, Message, REPLACE, attributes};
use crate::socket::{Error, Protocol, Socket};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use std::net::IpAddr;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_PROTINFO: u16 = 12;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFF_UP: u32 = 1;
const AF_BRIDGE: u8 = 7;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
const SCOPE_LINK: u8 = 253;

/// `struct ifinfomsg`.
fn ifinfo(family: u8, index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut fixed = vec![family, 0, 0, 0];
    fixed.extend_from_slice(&index.to_ne_bytes());
    fixed.extend_from_slice(&flags.to_ne_bytes());
    fixed.extend_from_slice(&change.to_ne_bytes());
    fixed
}

/// A link as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mtu: u32,
    pub up: bool,
    pub address: Vec<u8>,
}

pub struct Links(Socket);

impl Links {
    /// In the network namespace of the calling thread.
    pub fn open() -> Result<Links, Error> {
        Socket::open(Protocol::Route).map(Links)
    }

    pub fn all(&mut self) -> Result<Vec<Link>, Error> {
        let answers = self.0.dump("listing links", Message::new(RTM_GETLINK, DUMP, &ifinfo(0, 0, 0, 0)))?;
        Ok(answers.iter().filter_map(|payload| link(payload)).collect())
    }

    pub fn find(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let message = Message::new(RTM_GETLINK, 0, &ifinfo(0, 0, 0, 0)).text(IFLA_IFNAME, name);
        match self.0.ask("finding a link", message) {
            Ok(payload) => Ok(link(&payload)),
            Err(error) if error.is(Errno::NODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A bridge that is up; fine if it is there already.
    pub fn bridge(&mut self, name: &str, mtu: u32) -> Result<Link, Error> {
        let message = Message::new(RTM_NEWLINK, ACK | CREATE | EXCL, &ifinfo(0, 0, IFF_UP, IFF_UP)).text(IFLA_IFNAME, name);
        let message = message.u32(IFLA_MTU, mtu).nested(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "bridge"));
        match self.0.acknowledge("a bridge", message) {
            Err(error) if error.is(Errno::EXIST) => {}
            other => other?,
        }
        let found = self.find(name)?.ok_or(Error::Refused { what: "a bridge", error: Errno::NODEV })?;
        self.up(found.index)?;
        Ok(found)
    }

    /// A pair of links: `name` here as a port of the bridge `master`, `peer` made directly in the other namespace.
    pub fn veth(&mut self, name: &str, master: u32, mtu: u32, peer: &str, namespace: BorrowedFd) -> Result<(), Error> {
        let fd = namespace.as_raw_fd() as u32;
        let other = |data: Message| {
            // The peer attribute begins with an ifinfomsg of its own, which `nested` has no notion of.
            let fixed = Message::new(0, 0, &[]).text(IFLA_IFNAME, peer).u32(IFLA_MTU, mtu).u32(IFLA_NET_NS_FD, fd).finish(0);
            data.attribute(VETH_INFO_PEER | 0x8000, &[&ifinfo(0, 0, 0, 0)[..], &fixed[crate::message::HEAD_BYTES..]].concat())
        };
        let message = Message::new(RTM_NEWLINK, ACK | CREATE | EXCL, &ifinfo(0, 0, IFF_UP, IFF_UP))
            .text(IFLA_IFNAME, name)
            .u32(IFLA_MTU, mtu)
            .u32(IFLA_MASTER, master)
            .nested(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, other));
        self.0.acknowledge("a veth pair", message)
    }

    /// Lets a bridge port send back what came from it, so that a pod reaches itself through a service.
    pub fn hairpin(&mut self, index: u32) -> Result<(), Error> {
        let message = Message::new(RTM_SETLINK, ACK, &ifinfo(AF_BRIDGE, index, 0, 0));
        self.0.acknowledge("hairpin mode", message.nested(IFLA_PROTINFO, |port| port.u8(IFLA_BRPORT_MODE, 1)))
    }

    pub fn up(&mut self, index: u32) -> Result<(), Error> {
        self.0.acknowledge("setting a link up", Message::new(RTM_NEWLINK, ACK, &ifinfo(0, index, IFF_UP, IFF_UP)))
    }

    /// Fine if it is gone already.
    pub fn delete(&mut self, name: &str) -> Result<(), Error> {
        match self.0.acknowledge("removing a link", Message::new(RTM_DELLINK, ACK, &ifinfo(0, 0, 0, 0)).text(IFLA_IFNAME, name)) {
            Err(error) if error.is(Errno::NODEV) => Ok(()),
            other => other,
        }
    }

    /// Fine if the link has the address already.
    pub fn address(&mut self, index: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
        let mut fixed = vec![family(address), prefix, 0, 0];
        fixed.extend_from_slice(&index.to_ne_bytes());
        let bytes = octets(address);
        let message = Message::new(RTM_NEWADDR, ACK | CREATE | REPLACE, &fixed);
        self.0.acknowledge("an address", message.attribute(IFA_LOCAL, &bytes).attribute(IFA_ADDRESS, &bytes))
    }

    /// Addresses of all links, with the index of their link and their prefix.
    pub fn addresses(&mut self) -> Result<Vec<(u32, IpAddr, u8)>, Error> {
        let answers = self.0.dump("listing addresses", Message::new(RTM_GETADDR, DUMP, &[0; 8]))?;
        Ok(answers.iter().filter_map(|payload| address(payload)).collect())
    }

    /// A route to `to` through a gateway or, without one, directly over the link.
    pub fn route(&mut self, to: Option<(IpAddr, u8)>, gateway: Option<IpAddr>, index: u32) -> Result<(), Error> {
        let family = to.map(|(to, _)| to).or(gateway).map_or(2, family);
        let scope = if gateway.is_some() { 0 } else { SCOPE_LINK };
        let prefix = to.map_or(0, |(_, prefix)| prefix);
        let fixed = [family, prefix, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0];
        let mut message = Message::new(RTM_NEWROUTE, ACK | CREATE | REPLACE, &fixed).u32(RTA_OIF, index);
        if let Some((to, _)) = to {
            message = message.attribute(RTA_DST, &octets(to));
        }
        if let Some(gateway) = gateway {
            message = message.attribute(RTA_GATEWAY, &octets(gateway));
        }
        self.0.acknowledge("a route", message)
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn link(payload: &[u8]) -> Option<Link> {
    let index = u32::from_ne_bytes(payload.get(4..8)?.try_into().ok()?);
    let flags = u32::from_ne_bytes(payload.get(8..12)?.try_into().ok()?);
    let mut link = Link { index, name: String::new(), mtu: 0, up: flags & IFF_UP != 0, address: Vec::new() };
    for (kind, value) in attributes(payload.get(16..)?) {
        match kind {
            IFLA_IFNAME => link.name = String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned(),
            IFLA_MTU => link.mtu = u32::from_ne_bytes(value.try_into().ok()?),
            IFLA_ADDRESS => link.address = value.to_vec(),
            _ => {}
        }
    }
    Some(link)
}

fn address(payload: &[u8]) -> Option<(u32, IpAddr, u8)> {
    let prefix = *payload.get(1)?;
    let index = u32::from_ne_bytes(payload.get(4..8)?.try_into().ok()?);
    let attributes = attributes(payload.get(8..)?);
    let value = [IFA_LOCAL, IFA_ADDRESS].iter().find_map(|kind| attributes.iter().find(|(own, _)| own == kind))?.1;
    let address = match value.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(value).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(value).ok()?),
        _ => return None,
    };
    Some((index, address, prefix))
}
