//! Which service has which address and port: from the store, and for a moment from requests on their way to it.
use crate::follow::View;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Service;
use machinery::object::Stored;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A request that has not stored its service by then has failed.
const RESERVED_FOR: SignedDuration = SignedDuration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Taken {
    Ip(IpAddr),
    Port(u16),
}

#[derive(Default)]
pub struct Owned {
    /// By the key of the service.
    stored: HashMap<Taken, Arc<str>>,
    reserved: HashMap<Taken, (Arc<str>, Timestamp)>,
}

impl Owned {
    /// Nobody else has it.
    pub fn is_free(&self, what: &Taken, owner: &str, now: Timestamp) -> bool {
        let stored = self.stored.get(what).is_some_and(|own| **own != *owner);
        let reserved = self.reserved.get(what).is_some_and(|(own, until)| **own != *owner && *until > now);
        !stored && !reserved
    }

    /// Nobody has it, not even the asker: so that each of its ports gets another.
    pub fn is_unused(&self, what: &Taken, now: Timestamp) -> bool {
        !self.stored.contains_key(what) && self.reserved.get(what).is_none_or(|(_, until)| *until <= now)
    }

    pub fn reserve(&mut self, what: Taken, owner: &str, now: Timestamp) {
        self.reserved.retain(|_, (_, until)| *until > now);
        self.reserved.insert(what, (owner.into(), now + RESERVED_FOR));
    }

    /// Forgets what a failed request of this owner had reserved.
    pub fn give_back(&mut self, owner: &str) {
        self.reserved.retain(|_, (own, _)| **own != *owner);
    }
}

impl View for Owned {
    fn change(&mut self, old: Option<&Arc<Stored>>, new: Option<&Arc<Stored>>) {
        if let Some(stored) = old {
            for taken in taken_by(stored) {
                if self.stored.get(&taken) == Some(&stored.key) {
                    self.stored.remove(&taken);
                }
            }
        }
        if let Some(stored) = new {
            self.reserved.retain(|_, (own, _)| *own != stored.key);
            self.stored.extend(taken_by(stored).into_iter().map(|taken| (taken, stored.key.clone())));
        }
    }
}

fn taken_by(stored: &Stored) -> Vec<Taken> {
    let Ok(service) = stored.decoded::<Service>() else { return Vec::new() };
    let Some(spec) = &service.spec else { return Vec::new() };
    let single = spec.cluster_ip.iter().filter(|_| spec.cluster_ips.is_none());
    let ips = spec.cluster_ips.iter().flatten().chain(single).filter_map(|ip| ip.parse().ok()).map(Taken::Ip);
    let ports = spec.ports.iter().flatten().filter_map(|port| port.node_port).chain(spec.health_check_node_port);
    ips.chain(ports.filter(|port| *port != 0).filter_map(|port| u16::try_from(port).ok()).map(Taken::Port)).collect()
}
