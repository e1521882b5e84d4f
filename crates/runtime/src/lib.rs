//! The container runtime: sandboxes, containers and images behind the container runtime interface.
//! The daemon's part (everything but `helper` and `keeper`) may be killed and replaced at any time: what runs is held by the keeper,
//! what is known lies on disk. Nothing here knows of pods as the API describes them, and nothing mounts anything in the host's
//! view but the namespaces and the shared memory of sandboxes.
pub mod capabilities;
pub mod cgroup;
mod container_spec;
mod containers;
mod copy;
mod events;
pub mod exec;
pub mod helper;
pub mod image;
pub mod keeper;
mod keeper_client;
mod namespaces;
mod network;
pub mod problem;
mod record;
mod runtime;
mod sandboxes;
pub mod seccomp;
mod service;
pub mod spec;
mod stats;
pub mod streaming;
mod sys;

pub use helper::{HELPER, helper_main};
pub use image::{Registries, pack_self};
pub use keeper::{KEEPER, keeper_main};
pub use network::{NoNetwork, PodNetwork, PortMapping, SandboxNetwork};
pub use problem::{Outcome, Problem};
pub use runtime::{Config, Runtime, layers_in_use};
