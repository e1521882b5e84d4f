//! The way to kubelets.
use async_trait::async_trait;

/// Opens connections to nodes.
#[async_trait]
pub trait KubeletDialer: Send + Sync + 'static {}
