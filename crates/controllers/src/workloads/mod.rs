//! Controllers that keep pods: each a file of one shape (`CONTROLLER`, `View`, `observe`, `reconcile`).
pub mod cronjob;
pub mod daemonset;
pub mod deployment;
pub mod history;
pub mod job;
pub mod replicas;
pub mod replicaset;
pub mod replicationcontroller;
pub mod statefulset;
