//! The container runtime: sandboxes, containers and images behind the container runtime interface.
//! The daemon's part (everything but `helper` and `keeper`) may be killed and replaced at any time: what runs is held by the keeper,
//! what is known lies on disk. Nothing here knows of pods as the API describes them, and nothing mounts anything in the host's
//! view but the namespaces and the shared memory of sandboxes.
pub mod capabilities;
pub mod helper;
pub mod image;
pub mod keeper;
pub mod problem;
pub mod seccomp;
pub mod spec;
mod sys;
