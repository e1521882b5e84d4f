//! The controllers.
use crate::config::Config;
use crate::failure::Failure;
use ::controllers::{Config as ControllersConfig, Handle, Settings, Signer};
use client::{Client, Identity, Informers};
use jiff::SignedDuration;
use pki::Directory;
use std::sync::Arc;
use stdx::clock::Clock;
use stdx::random::Random;

/// Certificates that the cluster signs on request end after so long at the latest.
const CERTIFICATES_VALID: SignedDuration = SignedDuration::from_hours(24 * 365);

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
    let signer = pki.and_then(|pki| Signer::of(pki.ca(), CERTIFICATES_VALID).ok());
    Ok(::controllers::start(ControllersConfig { clients, informers, clock: clock.clone(), settings, signer, which: Vec::new() }))
}
