//! The container runtime interface, version 1: its messages, one trait per service, and both ends of gRPC.
//! Whoever speaks CRI does it through `Runtime` and `Images`, so an embedded runtime and a socket look alike.
//! This crate never decides anything and never touches a container.
mod calls;
pub mod grpc;
#[allow(clippy::all, clippy::pedantic, missing_docs)]
#[rustfmt::skip]
pub mod v1;

pub use calls::{Images, Runtime};
pub use tonic::codegen::tokio_stream::Stream;
pub use tonic::{Code, Status};

pub type Result<T> = std::result::Result<T, Status>;

/// What a streaming call answers with.
pub type Streaming<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// Both services of one runtime.
pub trait Cri: Runtime + Images {}

impl<T: Runtime + Images + ?Sized> Cri for T {}

/// Condition types of `Status`.
pub mod condition {
    pub const RUNTIME_READY: &str = "RuntimeReady";
    pub const NETWORK_READY: &str = "NetworkReady";
}
