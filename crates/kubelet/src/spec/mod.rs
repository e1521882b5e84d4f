//! From a pod's spec to CRI's messages, pure: names, labels, environment, security, resources, DNS.
pub mod container;
pub mod dns;
pub mod env;
pub mod expand;
pub mod fields;
pub mod labels;
pub mod quantity;
pub mod resources;
pub mod sandbox;
pub mod security;

#[cfg(test)]
mod tests;
