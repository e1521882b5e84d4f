//! Carries out what the pod life cycle decides, through CRI, the file system and the API. One task per pod.
mod act;
pub mod cgroups;
mod grpc;
mod hook;
pub mod images;
mod kill;
pub mod observe;
pub mod prober;
mod publish;
pub mod shared;
mod start;
pub mod worker;
