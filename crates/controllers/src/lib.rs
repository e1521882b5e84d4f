//! The controllers: pure functions from what is observed to a plan, and one driver that carries plans out.
//! What never happens outside `driver`, `start` (and the two that look beyond the caches, the garbage collector and the
//! namespace controller): tokio, I/O, ambient clock or randomness.
pub mod accounts;
pub mod budgets;
pub mod cleanup;
pub mod driver;
pub mod nodes;
pub mod objects;
pub mod services;
pub mod settings;
mod start;
pub mod storage;
pub mod workloads;

pub use accounts::certificates::Signer;
pub use settings::Settings;
pub use start::{Config, Handle, identity, start};

use driver::Controller;

/// All controllers that plan from the caches alone.
pub fn all() -> Vec<&'static Controller> {
    vec![
        &workloads::replicaset::CONTROLLER,
        &workloads::replicationcontroller::CONTROLLER,
        &workloads::deployment::CONTROLLER,
        &workloads::job::CONTROLLER,
        &workloads::daemonset::CONTROLLER,
        &workloads::statefulset::CONTROLLER,
        &workloads::cronjob::CONTROLLER,
        &cleanup::finished::CONTROLLER,
        &services::endpointslice::CONTROLLER,
        &services::endpoints::CONTROLLER,
        &services::mirroring::CONTROLLER,
        &accounts::serviceaccount::CONTROLLER,
        &accounts::rootca::CONTROLLER,
        &accounts::aggregation::CONTROLLER,
        &accounts::bootstrap::CLEANER,
        &accounts::bootstrap::SIGNER,
        &accounts::certificates::CLEANER,
        &budgets::disruption::CONTROLLER,
        &budgets::quota::CONTROLLER,
        &storage::binder::CONTROLLER,
        &storage::protection::CLAIMS,
        &storage::protection::VOLUMES,
        &nodes::lifecycle::CONTROLLER,
        &nodes::eviction::CONTROLLER,
        &nodes::ipam::CONTROLLER,
        &nodes::ttl::CONTROLLER,
        &cleanup::pods::CONTROLLER,
    ]
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
