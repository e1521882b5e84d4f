//! Controllers that keep pods: each a file of one shape (`CONTROLLER`, `View`, `observe`, `reconcile`).
pub mod deployment;
pub mod job;
pub mod replicas;
pub mod replicaset;
pub mod replicationcontroller;
