//! Packet rules of the pod network, in a table of its own: pods leave the cluster under the node's address, and host ports lead
//! to pods. A host port is one map element; publishing one rewrites nothing.
use crate::attach::HostPort;
use crate::{Config, Error};
use ipnet::Ipv4Net;
use netlink::Socket;
use netlink::nft::expr::Expr;
use netlink::nft::{self, Batch, Data, Element, Hook, Type};
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// Address type "local" of the kernel's routing.
const LOCAL: u32 = 2;

pub struct Rules {
    socket: Socket,
    table: String,
    /// What each sandbox has in the maps.
    published: HashMap<String, Vec<(&'static str, Element)>>,
}

impl Rules {
    /// The table from scratch; host ports of pods that are there come back as they are attached again.
    pub fn install(config: &Config) -> Result<Rules, Error> {
        let mut socket = nft::open()?;
        nft::remove_table(&mut socket, &config.table)?;
        let mut batch = Batch::ipv4(&config.table);
        batch.add_table();
        batch.add_map("host-ports", &[Type::Proto, Type::Port], &[Type::Ipv4, Type::Port], 0);
        batch.add_map("host-ports-at", &[Type::Ipv4, Type::Proto, Type::Port], &[Type::Ipv4, Type::Port], 0);
        batch.add_set("own", &[Type::Ipv4, Type::Ipv4]);
        for (name, hook) in [("prerouting", Hook::Prerouting), ("output", Hook::Output)] {
            // Behind the service proxy (-100): a service's port wins over a host port, as in the original.
            batch.add_base_chain(name, "nat", hook, -90);
            for rule in host_port_rules() {
                batch.add_rule(name, &rule);
            }
        }
        batch.add_base_chain("postrouting", "nat", Hook::Postrouting, 100);
        for rule in masquerade_rules(config) {
            batch.add_rule("postrouting", &rule);
        }
        batch.send(&mut socket)?;
        Ok(Rules { socket, table: config.table.clone(), published: HashMap::new() })
    }

    pub fn publish(&mut self, sandbox: &str, address: Ipv4Addr, ports: &[HostPort]) -> Result<(), Error> {
        if ports.is_empty() || self.published.contains_key(sandbox) {
            return Ok(());
        }
        let mut elements: Vec<(&str, Element)> = ports.iter().map(|port| element(port, address)).collect();
        let pair = [address.octets(), address.octets()].concat();
        elements.push(("own", (pair, Data::None)));
        let taken = self
            .published
            .values()
            .flatten()
            .any(|(map, (key, _))| elements.iter().any(|(own, (own_key, _))| own == map && own_key == key));
        if taken {
            return Err(Error::PortTaken(ports.iter().map(|port| port.host_port.to_string()).collect::<Vec<_>>().join(", ")));
        }
        let mut batch = Batch::ipv4(&self.table);
        for (map, element) in &elements {
            batch.add_elements(map, std::slice::from_ref(element));
        }
        batch.send(&mut self.socket)?;
        self.published.insert(sandbox.into(), elements);
        Ok(())
    }

    pub fn withdraw(&mut self, sandbox: &str) -> Result<(), Error> {
        let Some(elements) = self.published.remove(sandbox) else { return Ok(()) };
        let mut batch = Batch::ipv4(&self.table);
        for (map, (key, _)) in elements {
            batch.delete_elements(map, &[(key, Data::None)]);
        }
        Ok(batch.send(&mut self.socket)?)
    }
}

fn element(port: &HostPort, address: Ipv4Addr) -> (&'static str, Element) {
    let [high, low] = port.host_port.to_be_bytes();
    let [to_high, to_low] = port.container_port.to_be_bytes();
    let key = vec![port.protocol, 0, 0, 0, high, low, 0, 0];
    let value = Data::Value([&address.octets()[..], &[to_high, to_low, 0, 0]].concat());
    match port.host_ip.filter(|ip| !ip.is_unspecified()) {
        None => ("host-ports", (key, value)),
        Some(ip) => ("host-ports-at", ([&ip.octets()[..], &key].concat(), value)),
    }
}

fn host_port_rules() -> [Vec<Expr>; 2] {
    let go = |map: &str, key: u32| {
        vec![
            Expr::DestinationType(0),
            Expr::Equal(0, LOCAL.to_ne_bytes().to_vec()),
            Expr::DestinationAddress(0),
            Expr::Protocol(1),
            Expr::DestinationPort(2),
            Expr::Lookup { set: map.into(), key, into: Some(4) },
            Expr::DestinationNat { address: 4, port: 5 },
        ]
    };
    [go("host-ports-at", 0), go("host-ports", 1)]
}

fn masquerade_rules(config: &Config) -> [Vec<Expr>; 3] {
    let within = |net: Ipv4Net| (u32::from_ne_bytes(net.netmask().octets()), net.network().octets().to_vec());
    let (pod_mask, pods) = within(config.pod_cidr);
    let (cluster_mask, cluster) = within(config.cluster_cidr);
    let leaving = vec![
        Expr::SourceAddress(0),
        Expr::Bits(0, 0, pod_mask, 0),
        Expr::Equal(0, pods.clone()),
        Expr::DestinationAddress(0),
        Expr::Bits(0, 1, cluster_mask, 0),
        Expr::Different(1, cluster),
        Expr::Bits(0, 1, u32::from_ne_bytes([0xf0, 0, 0, 0]), 0),
        Expr::Different(1, vec![224, 0, 0, 0]), // multicast stays itself
        Expr::Masquerade,
    ];
    // A pod that calls its own host port (nothing else gives a packet with one address at both ends) must see an answer from where it sent to.
    let own =
        vec![Expr::SourceAddress(0), Expr::DestinationAddress(1), Expr::Lookup { set: "own".into(), key: 0, into: None }, Expr::Masquerade];
    let from_loopback = vec![
        Expr::SourceAddress(0),
        Expr::Bits(0, 0, u32::from_ne_bytes([255, 0, 0, 0]), 0),
        Expr::Equal(0, vec![127, 0, 0, 0]),
        Expr::DestinationAddress(0),
        Expr::Bits(0, 0, pod_mask, 0),
        Expr::Equal(0, pods),
        Expr::Masquerade,
    ];
    [leaving, own, from_loopback]
}
