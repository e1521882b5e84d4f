//! The controllers.
use crate::config::Config;
use crate::failure::Failure;
use ::controllers::{Config as ControllersConfig, Handle, Settings};
use client::{Client, Identity, Informers};
use pki::Directory;
use std::sync::Arc;
use stdx::clock::Clock;
use stdx::random::Random;

pub type Clients = Box<dyn Fn(&Identity) -> Client + Send + Sync>;

pub fn start(
    config: &Config,
    clients: Clients,
    informers: Arc<Informers>,
    pki: Option<&Directory>,
    clock: &Clock,
    _random: &Random,
) -> Result<Handle, Failure> {
    let settings = Settings {
        cluster_cidrs: vec![config.cluster_cidr.to_string()],
        root_ca: pki.map(|pki| pki.ca().cert().to_string()).unwrap_or_default(),
        ..Settings::default()
    };
    Ok(::controllers::start(ControllersConfig { clients, informers, clock: clock.clone(), settings, which: Vec::new() }))
}
