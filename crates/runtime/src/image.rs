//! Images: names, registries, the content store, layers unpacked for overlay. Everything here works without a container;
//! containers only ask for an image's layers and configuration.
pub mod archive;
pub mod build;
pub mod config;
pub mod digest;
mod http;
mod lookup;
pub mod reference;
pub mod registry;
mod service;
pub mod store;
pub mod unpack;

pub use build::pack_self;
pub use registry::Registries;
pub use store::{Image, Store};
