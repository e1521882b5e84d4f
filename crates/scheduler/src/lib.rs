//! The scheduler: gives every pending pod a node, or tells why it has none.
//! `cluster` is the incremental snapshot, `plugins` are the rules, `cycle` decides for one pod, `queue` orders who is next,
//! `preempt` chooses whom to remove; all of these are pure. `driver` feeds them from informers and carries decisions out.
pub mod cluster;
pub mod cycle;
pub mod driver;
pub mod framework;
pub mod plugins;
pub mod pod;
pub mod preempt;
pub mod queue;
pub mod resources;

pub use driver::{Config, Scheduler};
