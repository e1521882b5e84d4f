//! The group apps: its kinds with code of their own.
pub mod controllerrevision;
pub mod daemonset;
pub mod deployment;
pub mod replicaset;
pub mod statefulset;
pub(crate) mod template;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[
    &controllerrevision::CONTROLLERREVISION,
    &daemonset::DAEMONSET,
    &deployment::DEPLOYMENT,
    &replicaset::REPLICASET,
    &statefulset::STATEFULSET,
];

#[cfg(test)]
pub static MINIMAL: &[&str] =
    &[controllerrevision::MINIMAL, daemonset::MINIMAL, deployment::MINIMAL, replicaset::MINIMAL, statefulset::MINIMAL];

#[cfg(test)]
mod tests;
