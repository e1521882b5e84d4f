//! What all pods of a kubelet share: the ports, the node's facts, volumes, images, the recorder.
use super::cgroups::Cgroups;
use super::images::Puller;
use crate::pod::view::PodView;
use crate::spec::dns::Resolver;
use crate::spec::fields::Facts;
use crate::spec::quantity::List;
use crate::status::NodeFacts;
use crate::volumes::Volumes;
use client::events::{Recorder, reference};
use client::{Client, Informer};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use parking_lot::RwLock;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use stdx::clock::Clock;
use stdx::random::Random;
use tokio::sync::Semaphore;

/// Settings that do not change while the kubelet runs.
pub struct Settings {
    pub node_name: String,
    pub root_dir: PathBuf,
    pub pod_logs_dir: PathBuf,
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    pub resolv_conf: PathBuf,
    pub hosts_file: PathBuf,
}

/// What the node's own task finds out.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub status: NodeFacts,
    pub capacity: List,
    pub allocatable: List,
}

pub struct Shared {
    pub settings: Settings,
    pub client: Client,
    pub runtime: Arc<dyn cri::Runtime>,
    pub puller: Puller,
    pub volumes: Volumes,
    pub cgroups: Cgroups,
    pub recorder: Recorder,
    pub services: Arc<Informer<Service>>,
    pub machine: RwLock<Machine>,
    /// Sandboxes made at the same time.
    pub sandboxes: Semaphore,
    /// Probes at the same time.
    pub probes: Semaphore,
    pub clock: Clock,
    pub random: Random,
}

impl Shared {
    pub fn node_facts(&self) -> NodeFacts {
        self.machine.read().status.clone()
    }

    pub fn facts(&self, pod: &Pod, pod_ips: &[String]) -> Facts {
        let machine = self.machine.read();
        let host_ips = machine.status.ips.clone();
        let pod_ips = if pod.is_host_network() { host_ips.clone() } else { pod_ips.to_vec() };
        Facts { host_ips, pod_ips, allocatable: machine.allocatable.clone() }
    }

    pub fn resolver(&self) -> Resolver {
        Resolver::parse(&std::fs::read_to_string(&self.settings.resolv_conf).unwrap_or_default())
    }

    /// Tells the user about a pod, or about one of its containers.
    pub fn event(&self, pod: &Pod, warning: bool, reason: &str, message: &str, container: Option<&str>) {
        let about = ObjectReference { field_path: container.and_then(|name| field_path(pod, name)), ..reference(pod) };
        match warning {
            true => self.recorder.warning(&about, reason, message),
            false => self.recorder.normal(&about, reason, message),
        }
    }
}

fn field_path(pod: &Pod, name: &str) -> Option<String> {
    use crate::pod::view::Role;
    let field = match pod.container(name)?.0 {
        Role::Init | Role::Sidecar => "initContainers",
        Role::App => "containers",
        Role::Ephemeral => "ephemeralContainers",
    };
    Some(format!("spec.{field}{{{name}}}"))
}

/// Runs a call to its end even when nobody waits for it any more: half-made containers are worse than late ones.
pub async fn to_the_end<T: Send + 'static>(call: impl Future<Output = cri::Result<T>> + Send + 'static) -> cri::Result<T> {
    tokio::spawn(call).await.unwrap_or_else(|error| Err(cri::Status::internal(error.to_string())))
}

/// Tells work that it need not go on. Calls that make things are not cut short by it, only waiting is.
#[derive(Clone)]
pub struct Cancel(pub tokio::sync::watch::Receiver<bool>);

impl Cancel {
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// What `work` gives, unless it is no longer wanted.
    pub async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut cancel = self.0.clone();
        tokio::select! {
            result = work => Some(result),
            Ok(_) = cancel.wait_for(|set| *set) => None,
        }
    }
}
