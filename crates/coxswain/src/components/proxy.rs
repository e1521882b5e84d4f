//! The service proxy.
use crate::config::Config;
use ::proxy::model::Node;
use ::proxy::{Config as ProxyConfig, Proxy};
use client::Informers;

/// Its table of packet rules.
pub const TABLE: &str = "coxswain-proxy";

pub fn start(config: &Config, informers: &Informers) -> Proxy {
    let node = Node { name: config.node_name.clone(), cluster_cidr: config.cluster_cidr };
    Proxy::start(ProxyConfig { node, table: TABLE.into() }, informers)
}
