//! Cluster DNS after the Kubernetes DNS specification: services, headless services with their pods' names, SRV, PTR, external
//! names; everything else is asked of the host's resolvers and kept for a while.
//! `zone` answers from what it is shown and is pure; `server` and `forward` do the talking.
pub mod forward;
pub mod records;
pub mod server;
pub mod zone;

pub use server::{Config, Server};
