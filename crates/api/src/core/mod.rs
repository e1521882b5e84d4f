//! The core group, v1.
pub mod claim;
mod configmap;
mod endpoints;
mod event;
mod limitrange;
mod names;
mod namespace;
mod node;
pub mod pod;
mod podtemplate;
mod quota;
mod replicationcontroller;
pub mod resources;
mod secret;
pub mod service;
mod serviceaccount;
mod volume;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[
    &claim::PERSISTENT_VOLUME_CLAIM,
    &configmap::CONFIG_MAP,
    &endpoints::ENDPOINTS,
    &event::EVENT,
    &limitrange::LIMIT_RANGE,
    &namespace::NAMESPACE,
    &node::NODE,
    &pod::POD,
    &podtemplate::POD_TEMPLATE,
    &quota::RESOURCE_QUOTA,
    &replicationcontroller::REPLICATION_CONTROLLER,
    &secret::SECRET,
    &service::SERVICE,
    &serviceaccount::SERVICE_ACCOUNT,
    &volume::PERSISTENT_VOLUME,
];

/// The least that each kind of this group takes.
#[cfg(test)]
pub const MINIMALS: &[&str] = &[
    claim::MINIMAL,
    configmap::MINIMAL,
    endpoints::MINIMAL,
    event::MINIMAL,
    limitrange::MINIMAL,
    namespace::MINIMAL,
    node::MINIMAL,
    pod::MINIMAL,
    podtemplate::MINIMAL,
    quota::MINIMAL,
    replicationcontroller::MINIMAL,
    secret::MINIMAL,
    service::MINIMAL,
    serviceaccount::MINIMAL,
    volume::MINIMAL,
];

#[cfg(test)]
mod tests;
