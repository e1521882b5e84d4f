//! The kinds: a folder per group, a file or folder per kind, one registry line each.
//! What never happens here: I/O, clocks, randomness, tokio; no kind knows who serves it.
pub mod access;
pub mod apps;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod check;
pub mod columns;
pub mod convert;
pub mod coordination;
pub mod core;
pub mod discovery;
pub mod events;
pub mod forms;
mod generic;
pub mod meta;
pub mod networking;
pub mod policy;
pub mod rbac;
pub mod registry;
pub mod reset;
pub mod scheduling;
pub mod storage;

pub use registry::{Entry, Registry, registry};
pub use reset::reset_fields;
