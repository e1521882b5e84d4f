//! Stale UDP connections: a flow that was tracked before its service had endpoints, or to an endpoint that is gone, would keep
//! going there. What leads to a service's entry but not to one of its endpoints is forgotten, so that its next packet chooses anew.
use crate::model::Model;
use netlink::conntrack::{Connection, Connections};
use std::net::{IpAddr, Ipv4Addr};

const UDP: u8 = 17;

/// Forgets connections to the entries that changed.
pub fn clean(changes: &[(&Model, &Model)]) -> Result<usize, netlink::Error> {
    let changed: Vec<&Model> = changes.iter().filter(|(old, new)| old.udp != new.udp).flat_map(|(old, new)| [*old, *new]).collect();
    if changed.is_empty() {
        return Ok(0);
    }
    let current: Vec<&Model> = changes.iter().map(|(_, new)| *new).collect();
    let mut connections = Connections::open()?;
    let stale: Vec<Connection> = connections.all()?.into_iter().filter(|connection| is_stale(connection, &changed, &current)).collect();
    for connection in &stale {
        connections.forget(connection)?;
    }
    Ok(stale.len())
}

fn is_stale(connection: &Connection, changed: &[&Model], current: &[&Model]) -> bool {
    let IpAddr::V4(to) = connection.to else { return false };
    if connection.protocol != UDP {
        return false;
    }
    let entries = [(Some(to), connection.to_port), (None, connection.to_port)];
    let is_entry = |models: &[&Model], entry: &(Option<Ipv4Addr>, u16)| models.iter().any(|model| model.udp.contains_key(entry));
    let Some(entry) = entries.iter().find(|entry| is_entry(changed, entry)) else { return false };
    let IpAddr::V4(answers) = connection.answered_by else { return false };
    let translated = (answers, connection.answered_port) != (to, connection.to_port);
    let lives =
        current.iter().filter_map(|model| model.udp.get(entry)).flatten().any(|target| *target == (answers, connection.answered_port));
    // A node port's entry also fits traffic of others to the same port: only what was translated is ours, or goes to nobody.
    !lives && (translated || entry.0.is_some())
}
