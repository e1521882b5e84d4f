//! The rules, a file each. The order is that of the original; it decides which of several reasons a node is told to have.
use crate::framework::DynPlugin;

mod balanced_allocation;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod pod_topology_spread;
mod taint_toleration;
mod volume_binding;

pub use node_affinity::matches as matches_node_selector;
pub use taint_toleration::tolerates_all;

pub static PLUGINS: &[&dyn DynPlugin] = &[
    &&node_unschedulable::NODE_UNSCHEDULABLE,
    &&node_name::NODE_NAME,
    &&taint_toleration::TAINT_TOLERATION,
    &&node_affinity::NODE_AFFINITY,
    &&node_ports::NODE_PORTS,
    &&node_resources_fit::NODE_RESOURCES_FIT,
    &&volume_binding::VOLUME_BINDING,
    &&pod_topology_spread::POD_TOPOLOGY_SPREAD,
    &&inter_pod_affinity::INTER_POD_AFFINITY,
    &&balanced_allocation::BALANCED_ALLOCATION,
    &&image_locality::IMAGE_LOCALITY,
];

#[cfg(test)]
mod tests;
