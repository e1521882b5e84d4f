//! Controllers of nodes: their health and taints, what taints evict, their part of the pod addresses.
pub mod eviction;
pub mod ipam;
pub mod lifecycle;
pub mod ttl;
