//! The kubelet: runs the pods of one node through the container runtime interface and tells the API how they are.
//! Deciding is pure (`pod`, `status`, `spec`, `admission`, `eviction`); acting is the driver's, one task per pod. It keeps no
//! state that cannot be found again: a restarted kubelet restarts no container. There are no globals and no fixed paths, so
//! many kubelets run in one process.
mod driver;
mod images;
pub mod pod;
mod probe_http;
pub mod spec;
pub mod status;
mod volumes;

#[cfg(test)]
mod testing;
