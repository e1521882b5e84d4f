//! The node object: how it is registered, and its status, as data. Pure.
use super::machine::Machine;
use crate::eviction::Pressures;
use crate::pod::view::api_time;
use crate::spec::quantity::{self, List};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeRuntimeHandler, NodeRuntimeHandlerFeatures,
    NodeSpec, NodeStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// The most images that a node's status lists.
const MAX_IMAGES: usize = 50;
const MAX_NAMES: usize = 5;

/// What the node tells of itself, besides the machine.
#[derive(Clone, Debug, Default)]
pub struct Own {
    pub name: String,
    pub ips: Vec<String>,
    pub port: u16,
    pub max_pods: i64,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub kubelet_version: String,
    /// Memory kept back from pods, for eviction to have time.
    pub reserved_memory_bytes: u64,
    pub unschedulable: bool,
}

/// What the runtime says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeSays {
    /// `name://version`.
    pub version: String,
    /// Why the runtime or its network are not ready.
    pub not_ready: Vec<String>,
    pub handlers: Vec<(String, bool, bool)>,
    /// Names and size of images.
    pub images: Vec<(Vec<String>, u64)>,
}

pub fn labels(own: &Own, machine: &Machine) -> BTreeMap<String, String> {
    let mut labels = own.labels.clone();
    for prefix in ["kubernetes.io", "beta.kubernetes.io"] {
        labels.insert(format!("{prefix}/os"), "linux".into());
        labels.insert(format!("{prefix}/arch"), machine.architecture.into());
    }
    labels.insert("kubernetes.io/hostname".into(), own.name.clone());
    labels
}

/// A node as it is first created.
pub fn node(own: &Own, machine: &Machine) -> Node {
    let annotations = [("volumes.kubernetes.io/controller-managed-attach-detach".to_string(), "true".to_string())];
    Node {
        metadata: ObjectMeta {
            name: Some(own.name.clone()),
            labels: Some(labels(own, machine)),
            annotations: Some(annotations.into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: (!own.taints.is_empty()).then(|| own.taints.clone()),
            unschedulable: own.unschedulable.then_some(true),
            ..NodeSpec::default()
        }),
        status: None,
    }
}

pub fn capacity(own: &Own, machine: &Machine) -> List {
    List::from([
        ("cpu".to_string(), quantity::cpu(machine.cpus as i64 * 1000)),
        ("memory".to_string(), quantity::kibi(machine.memory_bytes)),
        ("ephemeral-storage".to_string(), quantity::kibi(machine.disk_bytes)),
        ("pods".to_string(), quantity::plain(own.max_pods)),
    ])
}

pub fn allocatable(own: &Own, machine: &Machine) -> List {
    let mut list = capacity(own, machine);
    list.insert("memory".into(), quantity::kibi(machine.memory_bytes.saturating_sub(own.reserved_memory_bytes)));
    // A tenth of the disk is kept for eviction to have time.
    list.insert("ephemeral-storage".into(), quantity::plain((machine.disk_bytes - machine.disk_bytes / 10) as i64));
    list
}

/// The status; transition times are kept where nothing changed from `old`.
pub fn status(own: &Own, machine: &Machine, says: &RuntimeSays, pressures: &Pressures, old: &NodeStatus, now: Timestamp) -> NodeStatus {
    let address = |kind: &str, text: &str| NodeAddress { type_: kind.into(), address: text.into() };
    let mut addresses: Vec<NodeAddress> = own.ips.iter().map(|ip| address("InternalIP", ip)).collect();
    addresses.push(address("Hostname", &own.name));
    let handler = |(name, recursive, userns): &(String, bool, bool)| NodeRuntimeHandler {
        name: Some(name.clone()),
        features: Some(NodeRuntimeHandlerFeatures { recursive_read_only_mounts: Some(*recursive), user_namespaces: Some(*userns) }),
    };
    NodeStatus {
        addresses: Some(addresses),
        capacity: Some(capacity(own, machine)),
        allocatable: Some(allocatable(own, machine)),
        conditions: Some(conditions(says, pressures, old, now)),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: own.port.into() }) }),
        images: Some(images(says)),
        node_info: Some(NodeSystemInfo {
            architecture: machine.architecture.into(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: says.version.clone(),
            kernel_version: machine.kernel.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: own.kubelet_version.clone(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".into(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.machine_id.clone(),
            ..NodeSystemInfo::default()
        }),
        runtime_handlers: (!says.handlers.is_empty()).then(|| says.handlers.iter().map(handler).collect()),
        ..old.clone()
    }
}

fn images(says: &RuntimeSays) -> Vec<ContainerImage> {
    let mut all: Vec<&(Vec<String>, u64)> = says.images.iter().filter(|(names, _)| !names.is_empty()).collect();
    all.sort_by(|a, b| (std::cmp::Reverse(a.1), &a.0).cmp(&(std::cmp::Reverse(b.1), &b.0)));
    let one = |(names, size): &(Vec<String>, u64)| ContainerImage {
        names: Some(names.iter().take(MAX_NAMES).cloned().collect()),
        size_bytes: Some(*size as i64),
    };
    all.into_iter().take(MAX_IMAGES).map(one).collect()
}

fn conditions(says: &RuntimeSays, pressures: &Pressures, old: &NodeStatus, now: Timestamp) -> Vec<NodeCondition> {
    let known = old.conditions.as_deref().unwrap_or_default();
    let make = |kind: &str, status: bool, reason: String, message: String| {
        let status = if status { "True" } else { "False" };
        let same = known.iter().find(|old| old.type_ == kind && old.status == status);
        let since = same.and_then(|same| same.last_transition_time.clone());
        NodeCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason),
            message: Some(message),
            last_heartbeat_time: Some(api_time(now)),
            last_transition_time: Some(since.unwrap_or_else(|| api_time(now))),
        }
    };
    let pressure = |kind: &str, holds: bool, short: &str, shown: &str| {
        let (has, with) = if holds { ("Insufficient", "insufficient") } else { ("Sufficient", "sufficient") };
        make(kind, holds, format!("KubeletHas{has}{short}"), format!("kubelet has {with} {shown} available"))
    };
    let disk = match pressures.disk {
        Some(_) => make("DiskPressure", true, "KubeletHasDiskPressure".into(), "kubelet has disk pressure".into()),
        None => make("DiskPressure", false, "KubeletHasNoDiskPressure".into(), "kubelet has no disk pressure".into()),
    };
    let ready = match says.not_ready.is_empty() {
        true => make("Ready", true, "KubeletReady".into(), "kubelet is posting ready status".into()),
        false => make("Ready", false, "KubeletNotReady".into(), joined(&says.not_ready)),
    };
    let ours = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];
    let others = known.iter().filter(|one| !ours.contains(&one.type_.as_str())).cloned();
    let memory = pressure("MemoryPressure", pressures.memory.is_some(), "Memory", "memory");
    let pids = pressure("PIDPressure", pressures.pids.is_some(), "PID", "PID");
    others.chain([memory, disk, pids, ready]).collect()
}

fn joined(errors: &[String]) -> String {
    if errors.len() == 1 { errors[0].clone() } else { format!("[{}]", errors.join(", ")) }
}

/// Does the status say something new (heartbeats apart)?
pub fn differs(old: &NodeStatus, new: &NodeStatus) -> bool {
    let still = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    still(old) != still(new)
}
