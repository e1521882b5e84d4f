//! The port to the API server: one erased service, in process or remote, a typed client on top, and shared informers.
//! Components reach state only through this crate, each with its own identity.
pub mod body;
pub mod error;
pub mod events;
pub mod identity;
pub mod informer;
pub mod metadata;
pub mod remote;
pub mod service;
pub mod typed;
pub mod watcher;

pub use body::Body;
pub use error::Error;
pub use events::Recorder;
pub use identity::Identity;
pub use informer::{Cache, Delta, Informer, Informers};
pub use metadata::{Meta, MetaChange};
pub use service::Service;
pub use typed::{Client, DeleteOptions, ListOptions, Patch};
