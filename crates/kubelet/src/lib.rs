//! The kubelet: runs the pods of one node through the container runtime interface and tells the API how they are.
//! Deciding is pure (`pod`, `status`, `spec`, `admission`, `eviction`); acting is the driver's, one task per pod. It keeps no
//! state that cannot be found again: a restarted kubelet restarts no container. There are no globals and no fixed paths, so
//! many kubelets run in one process.
pub mod admission;
mod driver;
pub mod eviction;
pub mod hollow;
mod housekeeping;
mod images;
mod kubelet;
mod manifests;
mod node;
pub mod pod;
mod pods;
mod probe_http;
mod runtime_events;
mod server;
pub mod spec;
pub mod status;
mod volumes;

pub use kubelet::{Config, DEFAULT_MAX_PODS, DEFAULT_PORT, Kubelet, VERSION, leave};

#[cfg(test)]
mod testing;
