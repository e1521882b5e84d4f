//! The components, each started in its file from the settings and a client with its own identity.
pub mod apiserver;
pub mod containers;
pub mod controllers;
pub mod dns;
pub mod health;
pub mod kubelet;
pub mod network;
pub mod proxy;
pub mod scheduler;

use crate::config::{Component, Config};
use crate::failure::Failure;
use client::{Client, Informers};
use std::any::Any;
use std::net::SocketAddr;
use stdx::clock::Clock;
use stdx::random::Random;

/// Something that runs for as long as it is held.
pub type Running = Box<dyn Any + Send>;

/// One component against an API server elsewhere, under the client's identity.
pub async fn start_one(config: &Config, component: Component, client: Client, listen: Option<SocketAddr>) -> Result<Running, Failure> {
    let (clock, random) = (Clock::system(), Random::system());
    let informers = Informers::new(client.clone());
    Ok(match component {
        Component::Apiserver => return Err(Failure("the API server needs no other".into())),
        Component::ControllerManager => {
            let client = client.clone();
            Box::new(controllers::start(config, Box::new(move |_| client.clone()), informers, None, &clock, &random)?)
        }
        Component::Scheduler => Box::new((scheduler::start(client, &informers, &clock, &random), informers)),
        Component::Kubelet => {
            let containers = containers::Containers::open(config).await?;
            Box::new(kubelet::start(config, client, containers, None, &clock, &random).await?)
        }
        Component::Proxy => Box::new((proxy::start(config, &informers), informers)),
        Component::Dns => {
            let listen = listen.unwrap_or(([127, 0, 0, 1], 10053).into());
            Box::new((dns::start(config, listen, &informers).await?, informers))
        }
    })
}
