//! The table in the kernel: fixed chains and maps, a balancing chain per number of endpoints, and what is in the maps now.
use crate::model::{Balancer, Entry, Model, Node};
use ipnet::Ipv4Net;
use netlink::nft::expr::Expr;
use netlink::nft::{self, Batch, Data, EVAL, Hook, TIMEOUT, Type, Verdict};
use netlink::{Error, Socket};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The bit that asks for masquerading, the same as the original's.
const MASQUERADE_MARK: u32 = 0x4000;
/// Address type "local" of the kernel's routing.
const LOCAL: u32 = 2;
/// `ct state` bit of a new connection.
const NEW: u32 = 8;

const ADDRESS: &[Type] = &[Type::Ipv4, Type::Proto, Type::Port];
const PORT: &[Type] = &[Type::Proto, Type::Port];
const TARGET: &[Type] = &[Type::Ipv4, Type::Port];

pub struct Table {
    socket: Socket,
    name: String,
    balancers: BTreeSet<Balancer>,
    /// What is in the maps, with how many services put it there (`own` elements are shared).
    elements: HashMap<(&'static str, Vec<u8>), (Data, usize)>,
}

impl Table {
    /// The table from scratch, replacing what an earlier process left, in one step.
    pub fn install(name: &str, node: &Node) -> Result<Table, Error> {
        let mut socket = nft::open()?;
        let mut batch = Batch::ipv4(name);
        batch.add_table();
        batch.delete_table();
        batch.add_table();
        maps(&mut batch);
        chains(&mut batch, node.cluster_cidr);
        batch.send(&mut socket)?;
        Ok(Table { socket, name: name.into(), balancers: BTreeSet::new(), elements: HashMap::new() })
    }

    /// Replaces what services are in the maps, all in one step: cost grows with the difference.
    pub fn change(&mut self, changes: &[(&Model, &Model)]) -> Result<(), Error> {
        let (counts, data) = difference(changes);
        let name = self.name.clone();
        let mut batch = Batch::ipv4(&name);
        let new: BTreeSet<Balancer> = changes.iter().flat_map(|(_, new)| &new.balancers).copied().collect();
        let chains: Vec<Balancer> = new.difference(&self.balancers).copied().collect();
        for balancer in &chains {
            add_balancer(&mut batch, balancer);
        }
        let (mut gone, mut come) = (BTreeMap::<&str, Vec<_>>::new(), BTreeMap::<&str, Vec<_>>::new());
        let mut after = Vec::new();
        for (place, delta) in counts {
            let (old, count) = self.elements.get(&place).map_or((None, 0), |(data, count)| (Some(data), *count));
            let count = count.checked_add_signed(delta).unwrap_or(0);
            let new = if count == 0 { None } else { data.get(&place).copied().or(old) };
            if old.is_some() && old != new {
                gone.entry(place.0).or_default().push((place.1.clone(), Data::None));
            }
            if let Some(new) = new.filter(|new| old != Some(*new)) {
                come.entry(place.0).or_default().push((place.1.clone(), new.clone()));
            }
            after.push((place, new.cloned(), count));
        }
        gone.iter().for_each(|(map, elements)| batch.delete_elements(map, elements));
        come.iter().for_each(|(map, elements)| batch.add_elements(map, elements));
        batch.send(&mut self.socket)?;
        self.balancers.extend(chains);
        for (place, data, count) in after {
            match data {
                Some(data) => drop(self.elements.insert(place, (data, count))),
                None => drop(self.elements.remove(&place)),
            }
        }
        Ok(())
    }

    pub fn remove(name: &str) -> Result<(), Error> {
        nft::remove_table(&mut nft::open()?, name)
    }
}

type Place = (&'static str, Vec<u8>);

/// By how much each element's number of users changes, and what the new ones hold.
fn difference<'a>(changes: &[(&'a Model, &'a Model)]) -> (BTreeMap<Place, isize>, HashMap<Place, &'a Data>) {
    let (mut counts, mut data) = (BTreeMap::<Place, isize>::new(), HashMap::new());
    for (old, new) in changes {
        for place in old.elements.keys() {
            *counts.entry(place.clone()).or_default() -= 1;
        }
        for (place, value) in &new.elements {
            *counts.entry(place.clone()).or_default() += 1;
            data.insert(place.clone(), value);
        }
    }
    (counts, data)
}

fn maps(batch: &mut Batch) {
    batch.add_verdict_map("services", ADDRESS);
    batch.add_verdict_map("node-ports", PORT);
    for (prefix, key) in [("", ADDRESS), ("port-", PORT)] {
        batch.add_map(&format!("{prefix}endpoints"), &[key, &[Type::Number]].concat(), TARGET, 0);
        batch.add_map(&format!("{prefix}affinity"), &[&[Type::Ipv4], key].concat(), TARGET, TIMEOUT | EVAL);
        batch.add_set(&format!("{prefix}live"), &[key, TARGET].concat());
        for set in ["reject", "drop", "masquerade"] {
            batch.add_set(&format!("{prefix}{set}"), key);
        }
    }
    batch.add_set("masquerade-from-outside", ADDRESS);
    batch.add_set("own", &[Type::Ipv4, Type::Ipv4]);
}

/// `ip daddr . protocol . port` from register `at` on.
fn address_key(at: u32) -> Vec<Expr> {
    vec![Expr::DestinationAddress(at), Expr::Protocol(at + 1), Expr::DestinationPort(at + 2)]
}

fn port_key(at: u32) -> Vec<Expr> {
    vec![Expr::Protocol(at), Expr::DestinationPort(at + 1)]
}

/// Goes on for addresses of this machine, loopback ones left out.
fn to_this_machine() -> Vec<Expr> {
    let loopback = u32::from_ne_bytes([255, 0, 0, 0]);
    vec![
        Expr::DestinationType(0),
        Expr::Equal(0, LOCAL.to_ne_bytes().to_vec()),
        Expr::DestinationAddress(0),
        Expr::Bits(0, 0, loopback, 0),
        Expr::Different(0, vec![127, 0, 0, 0]),
    ]
}

fn within(set: &str) -> Vec<Expr> {
    vec![Expr::Lookup { set: set.into(), key: 0, into: None }]
}

fn mark() -> Vec<Expr> {
    vec![Expr::Mark(0), Expr::Bits(0, 0, u32::MAX, MASQUERADE_MARK), Expr::SetMark(0)]
}

fn chains(batch: &mut Batch, cluster: Ipv4Net) {
    batch.add_chain("dispatch");
    batch.add_chain("refuse");
    for (name, hook) in [("prerouting", Hook::Prerouting), ("output", Hook::Output)] {
        batch.add_base_chain(&format!("nat-{name}"), "nat", hook, -100);
        batch.add_rule(&format!("nat-{name}"), &[Expr::Do(Verdict::Jump("dispatch".into()))]);
    }
    for (name, hook) in [("input", Hook::Input), ("forward", Hook::Forward), ("output", Hook::Output)] {
        batch.add_base_chain(&format!("filter-{name}"), "filter", hook, -110);
        let new = vec![
            Expr::ConnectionState(0),
            Expr::Bits(0, 0, NEW, 0),
            Expr::Different(0, vec![0; 4]),
            Expr::Do(Verdict::Jump("refuse".into())),
        ];
        batch.add_rule(&format!("filter-{name}"), &new);
    }
    batch.add_base_chain("nat-postrouting", "nat", Hook::Postrouting, 95);
    for rule in dispatch_rules(cluster) {
        batch.add_rule("dispatch", &rule);
    }
    for rule in refuse_rules() {
        batch.add_rule("refuse", &rule);
    }
    for rule in masquerade_rules() {
        batch.add_rule("nat-postrouting", &rule);
    }
}

fn dispatch_rules(cluster: Ipv4Net) -> Vec<Vec<Expr>> {
    let mask = u32::from_ne_bytes(cluster.netmask().octets());
    let from_outside = vec![Expr::SourceAddress(0), Expr::Bits(0, 0, mask, 0), Expr::Different(0, cluster.network().octets().to_vec())];
    let verdict = |map: &str| vec![Expr::LookupVerdict { map: map.into(), key: 0 }];
    vec![
        [address_key(0), within("masquerade"), mark()].concat(),
        [from_outside, address_key(0), within("masquerade-from-outside"), mark()].concat(),
        [address_key(0), verdict("services")].concat(),
        [to_this_machine(), port_key(0), within("port-masquerade"), mark()].concat(),
        [to_this_machine(), port_key(0), verdict("node-ports")].concat(),
    ]
}

fn refuse_rules() -> Vec<Vec<Expr>> {
    let reject = || vec![Expr::RejectUnreachable];
    let drop = || vec![Expr::Do(Verdict::Drop)];
    vec![
        [address_key(0), within("reject"), reject()].concat(),
        [address_key(0), within("drop"), drop()].concat(),
        [to_this_machine(), port_key(0), within("port-reject"), reject()].concat(),
        [to_this_machine(), port_key(0), within("port-drop"), drop()].concat(),
    ]
}

fn masquerade_rules() -> Vec<Vec<Expr>> {
    vec![
        vec![Expr::Mark(0), Expr::Bits(0, 0, MASQUERADE_MARK, 0), Expr::Different(0, vec![0; 4]), Expr::Masquerade],
        // A packet with one address at both ends is a pod that came back to itself through a service.
        [vec![Expr::SourceAddress(0), Expr::DestinationAddress(1)], within("own"), vec![Expr::Masquerade]].concat(),
    ]
}

fn add_balancer(batch: &mut Batch, balancer: &Balancer) {
    let chain = balancer.chain();
    batch.add_chain(&chain);
    type Key = fn(u32) -> Vec<Expr>;
    let (key, parts, prefix): (Key, u32, &str) = match balancer.on {
        Entry::Address => (address_key, 3, ""),
        Entry::NodePort => (port_key, 2, "port-"),
    };
    let nat = |at: u32| vec![Expr::DestinationNat { address: at, port: at + 1 }];
    let pick = vec![
        Expr::Random { into: parts, modulus: balancer.endpoints },
        Expr::Lookup { set: format!("{prefix}endpoints"), key: 0, into: Some(4) },
    ];
    let Some(seconds) = balancer.affinity_s else {
        return batch.add_rule(&chain, &[key(0), pick, nat(4)].concat());
    };
    let remember = |key: u32, data: u32| {
        let timeout_ms = u64::from(seconds) * 1000;
        vec![Expr::Remember { map: format!("{prefix}affinity"), key, data, timeout_ms }]
    };
    // source | key … | target …: the remembered target stands right behind the key, as `live` has it.
    let remembered = vec![
        Expr::Lookup { set: format!("{prefix}affinity"), key: 0, into: Some(1 + parts) },
        Expr::Lookup { set: format!("{prefix}live"), key: 1, into: None },
    ];
    let source = |at: u32| vec![Expr::SourceAddress(at)];
    batch.add_rule(&chain, &[source(0), key(1), remembered, remember(0, 1 + parts), nat(1 + parts)].concat());
    batch.add_rule(&chain, &[key(0), pick, source(8), key(9), remember(8, 4), nat(4)].concat());
}

#[cfg(test)]
mod tests;
