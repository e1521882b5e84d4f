//! One driver carries out the plans of all controllers. It owns ordering, preconditions, retries, timers and events; it
//! never decides what should be.
pub mod caches;
pub mod carry;
pub mod controller;
pub mod discovery;
pub mod metrics;
pub mod plan;
pub mod queue;
pub mod run;

pub use caches::Caches;
pub use controller::{Controller, Moment, Noticed, Source, itself, looks_at, reads, reads_indexed};
pub use plan::{Deletion, Failure, Outcome, Plan, Step, Target, Verb, What};
