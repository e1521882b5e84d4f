//! The scheduler.
use ::scheduler::{Config, Scheduler};
use client::{Client, Informers};
use stdx::clock::Clock;
use stdx::random::Random;

pub fn start(client: Client, informers: &Informers, clock: &Clock, random: &Random) -> Scheduler {
    let config = Config { client, clock: clock.clone(), random: random.fork(), name: "default-scheduler".into() };
    Scheduler::start(config, informers)
}
