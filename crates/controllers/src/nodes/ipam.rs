//! The node IPAM controller: each node gets its part of the pod addresses.
//! Reads nodes; writes their podCIDRs, once; is woken by nodes without one.
use crate::driver::{Caches, Controller, Moment, Plan, reads};
use crate::objects::{is_deleting, name};
use client::Delta;
use k8s_openapi::api::core::v1::Node;
use machinery::meta::Key;
use serde_json::json;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

pub static CONTROLLER: Controller = Controller {
    name: "nodeipam",
    account: "node-controller",
    reads: || vec![reads::<Node>(wake)],
    writes: &["nodes"],
    workers: 1,
    always: false,
    plan: |caches, _, moment| reconcile(&observe(caches), moment),
};

/// All nodes: what one has no other gets.
pub fn observe(caches: &Caches) -> Vec<Arc<Node>> {
    let mut nodes = caches.of::<Node>().all();
    nodes.sort_by_key(|node| node.metadata.name.clone());
    nodes
}

pub fn reconcile(nodes: &[Arc<Node>], moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let ranges: Vec<Range> =
        moment.settings.cluster_cidrs.iter().filter_map(|text| Range::parse(text, moment.settings.node_mask)).collect();
    if ranges.is_empty() {
        return plan;
    }
    let mut taken: HashSet<String> = nodes.iter().flat_map(|node| cidrs(node)).collect();
    for node in nodes.iter().filter(|node| cidrs(node).is_empty() && !is_deleting(&node.metadata)) {
        let own: Option<Vec<String>> = ranges.iter().map(|range| range.free(&taken)).collect();
        match own {
            Some(own) => {
                taken.extend(own.iter().cloned());
                plan.merge(&**node, "", json!({"spec": {"podCIDR": own[0], "podCIDRs": own}}));
            }
            None => {
                let message = format!("Node {} status is now: CIDRNotAvailable", name(&node.metadata));
                plan.normal(&**node, "CIDRNotAvailable", message);
            }
        }
    }
    plan
}

/// A cluster range, cut into parts of one size.
struct Range {
    first: u128,
    v6: bool,
    part_bits: u32,
    parts: u128,
    mask: u8,
}

/// So many parts of one range are looked at.
const MAX_PARTS: u128 = 1 << 16;

impl Range {
    fn parse(text: &str, masks: (u8, u8)) -> Option<Range> {
        let (address, length) = text.trim().split_once('/')?;
        let (address, length): (IpAddr, u32) = (address.parse().ok()?, length.parse().ok()?);
        let (bits, first, v6, mask) = match address {
            IpAddr::V4(address) => (32, u128::from(u32::from(address)), false, masks.0),
            IpAddr::V6(address) => (128, u128::from(address), true, masks.1),
        };
        if length > bits || u32::from(mask) > bits || u32::from(mask) < length {
            return None;
        }
        let host = bits - length;
        let first = if host >= 128 { 0 } else { first >> host << host };
        let parts = 1u128.checked_shl(u32::from(mask) - length).unwrap_or(MAX_PARTS).min(MAX_PARTS);
        Some(Range { first, v6, part_bits: bits - u32::from(mask), parts, mask })
    }

    fn free(&self, taken: &HashSet<String>) -> Option<String> {
        (0..self.parts).map(|number| self.part(number)).find(|part| !taken.contains(part))
    }

    fn part(&self, number: u128) -> String {
        let address = self.first + (number << self.part_bits);
        let address = match self.v6 {
            false => IpAddr::V4(Ipv4Addr::from(address as u32)),
            true => IpAddr::V6(Ipv6Addr::from(address)),
        };
        format!("{address}/{}", self.mask)
    }
}

fn cidrs(node: &Node) -> Vec<String> {
    let Some(spec) = &node.spec else { return Vec::new() };
    match &spec.pod_cidrs {
        Some(own) if !own.is_empty() => own.clone(),
        _ => spec.pod_cidr.iter().filter(|own| !own.is_empty()).cloned().collect(),
    }
}

fn wake(caches: &Caches, delta: &Delta<Node>) -> Vec<Key> {
    let waiting = || caches.of::<Node>().all().iter().any(|node| cidrs(node).is_empty());
    let needed = match delta {
        Delta::Deleted(_) => waiting(),
        Delta::Added(node) | Delta::Updated { new: node, .. } => cidrs(node).is_empty(),
    };
    if needed { vec![Key::default()] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[test]
    fn each_node_gets_its_own_part() {
        let mut world = World::new(&[&CONTROLLER]);
        world.settings.cluster_cidrs = vec!["10.42.0.0/22".into(), "fd00::/56".into()];
        for name in ["a", "b", "c", "d", "e"] {
            world.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}));
        }
        world.fixpoint();
        let cidr = |world: &World, name: &str| world.get("v1", "Node", "", name)["spec"]["podCIDRs"].to_string();
        assert_eq!(cidr(&world, "a"), r#"["10.42.0.0/24","fd00::/64"]"#);
        assert_eq!(cidr(&world, "d"), r#"["10.42.3.0/24","fd00:0:0:3::/64"]"#);
        assert_eq!(cidr(&world, "e"), "null", "the range is used up");
        world.remove("v1", "Node", "", "b");
        world.settle();
        assert_eq!(cidr(&world, "e"), r#"["10.42.1.0/24","fd00:0:0:1::/64"]"#);
    }
}
