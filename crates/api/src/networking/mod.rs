//! The group networking.k8s.io: its kinds with code of their own.
pub(crate) mod addresses;
pub mod ingress;
pub mod ingressclass;
pub mod networkpolicy;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&ingressclass::INGRESSCLASS, &ingress::INGRESS, &networkpolicy::NETWORKPOLICY];

#[cfg(test)]
pub static MINIMAL: &[&str] = &[ingressclass::MINIMAL, ingress::MINIMAL, networkpolicy::MINIMAL];

#[cfg(test)]
mod tests;
