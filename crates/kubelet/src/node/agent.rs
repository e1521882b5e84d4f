//! Registers the node, keeps its status true and its lease fresh. The status is written when it changed, or every five
//! minutes; the lease every ten seconds: a beat that costs next to nothing.
use super::machine::{self, Machine};
use super::object::{self, Own, RuntimeSays};
use crate::driver::shared::Shared;
use crate::eviction::{Pressures, Short, Thresholds};
use client::{Client, Error};
use cri::v1::{ListImagesRequest, NetworkConfig, RuntimeConfig, StatusRequest, UpdateRuntimeConfigRequest, VersionRequest};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeStatus, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

const LEASE_NAMESPACE: &str = "kube-node-lease";
const LEASE_SECONDS: i32 = 40;
const BEAT: Duration = Duration::from_secs(10);
const UNREADY_BEAT: Duration = Duration::from_millis(500);
const REPORT_SECONDS: i64 = 300;
const FIRST_TRIES: Duration = Duration::from_millis(200);
/// A status write that conflicts is tried again this often at once.
const TRIES: u32 = 5;

/// Called when the node is short of something.
pub type OnShort = Box<dyn Fn(Short) + Send + Sync>;

pub struct Agent {
    pub shared: Arc<Shared>,
    pub own: Own,
    pub root: PathBuf,
    pub thresholds: Thresholds,
    pub on_short: OnShort,
    /// The node as the API has it.
    pub node: watch::Sender<Option<Arc<Node>>>,
    /// Look now: something about the runtime changed.
    pub look: Arc<Notify>,
    pub pressures: Mutex<Pressures>,
}

impl Agent {
    fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Asks machine and runtime, and puts what they say where pods find it.
    pub async fn learn(&self) -> (Machine, RuntimeSays) {
        let machine = machine::look(&self.root);
        let says = self.ask_runtime().await;
        let mut known = self.shared.machine.write();
        known.capacity = object::capacity(&self.own, &machine);
        known.allocatable = object::allocatable(&self.own, &machine);
        known.status.ips = self.own.ips.clone();
        if let Some((name, _)) = says.version.split_once("://") {
            known.status.runtime = name.into();
        }
        drop(known);
        (machine, says)
    }

    async fn ask_runtime(&self) -> RuntimeSays {
        let runtime = &self.shared.runtime;
        let mut says = RuntimeSays::default();
        match runtime.version(VersionRequest { version: "v1".into() }).await {
            Ok(version) => says.version = format!("{}://{}", version.runtime_name, version.runtime_version),
            Err(status) => says.not_ready.push(format!("container runtime is down: {}", status.message())),
        }
        match runtime.status(StatusRequest::default()).await {
            Ok(answer) => {
                for condition in answer.status.unwrap_or_default().conditions.iter().filter(|condition| !condition.status) {
                    let what = if condition.r#type == cri::condition::NETWORK_READY {
                        "container runtime network"
                    } else {
                        "container runtime status check"
                    };
                    let (reason, message) = (&condition.reason, &condition.message);
                    says.not_ready.push(format!("{what} not ready: {}=false reason:{reason} message:{message}", condition.r#type));
                }
                let handler = |handler: &cri::v1::RuntimeHandler| {
                    let features = handler.features.unwrap_or_default();
                    (handler.name.clone(), features.recursive_read_only_mounts, features.user_namespaces)
                };
                says.handlers = answer.runtime_handlers.iter().map(handler).collect();
            }
            Err(status) => says.not_ready.push(format!("container runtime status check may not have completed yet: {}", status.message())),
        }
        if let Ok(answer) = self.shared.puller.images.list_images(ListImagesRequest::default()).await {
            let names = |image: cri::v1::Image| (image.repo_digests.into_iter().chain(image.repo_tags).collect(), image.size);
            says.images = answer.images.into_iter().map(names).collect();
        }
        says
    }

    /// Creates the node, or takes over one that is there.
    pub async fn register(&self) {
        let (machine, says) = self.learn().await;
        let mut first = object::node(&self.own, &machine);
        first.status = Some(object::status(&self.own, &machine, &says, &Pressures::default(), &NodeStatus::default(), self.now()));
        loop {
            match self.try_register(&first).await {
                Ok(node) => {
                    self.know(node);
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, node = self.own.name, "node not registered yet");
                    self.shared.clock.sleep(FIRST_TRIES).await;
                }
            }
        }
    }

    async fn try_register(&self, first: &Node) -> Result<Arc<Node>, Error> {
        match self.client().create("", first).await {
            Err(error) if error.is_already_exists() => {}
            result => return result,
        }
        let there = self.client().get::<Node>("", &self.own.name).await?;
        let mut wanted = (*there).clone();
        let labels = wanted.metadata.labels.get_or_insert_default();
        labels.extend(first.metadata.labels.clone().unwrap_or_default());
        if wanted == *there { Ok(there) } else { self.client().update(&wanted).await }
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Tells the status until the kubelet ends.
    pub async fn tell(self: Arc<Self>) {
        let (mut written_at, mut given) = (None::<Timestamp>, String::new());
        loop {
            let (machine, says) = self.learn().await;
            self.watch_pressure();
            self.give_pod_cidr(&mut given).await;
            let due = written_at.is_none_or(|at| self.now() >= at + SignedDuration::from_secs(REPORT_SECONDS));
            match self.write(&machine, &says, due).await {
                Ok(true) => written_at = Some(self.now()),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, node = self.own.name, "node status not written"),
            }
            // What keeps the node from being ready usually lasts moments.
            let pause = if says.not_ready.is_empty() { BEAT } else { UNREADY_BEAT };
            tokio::select! {
                () = self.shared.clock.sleep(pause) => {}
                () = self.look.notified() => {}
            }
        }
    }

    /// Hands the node's share of the pod network to the runtime, once it is known.
    async fn give_pod_cidr(&self, given: &mut String) {
        let node = self.node.borrow().clone();
        let spec = node.and_then(|node| node.spec.clone()).unwrap_or_default();
        let cidrs = spec.pod_cidrs.filter(|cidrs| !cidrs.is_empty()).map(|cidrs| cidrs.join(","));
        let Some(pod_cidr) = cidrs.or(spec.pod_cidr).filter(|cidr| !cidr.is_empty() && cidr != given) else { return };
        let network_config = Some(NetworkConfig { pod_cidr: pod_cidr.clone() });
        let request = UpdateRuntimeConfigRequest { runtime_config: Some(RuntimeConfig { network_config }) };
        match self.shared.runtime.update_runtime_config(request).await {
            Err(error) if error.code() != cri::Code::Unimplemented => tracing::warn!(%error, "the runtime does not take the pod CIDR"),
            _ => {
                *given = pod_cidr;
                self.look.notify_one();
            }
        }
    }

    fn watch_pressure(&self) {
        let signals = machine::signals(&self.root);
        let (next, short) = self.pressures.lock().observe(&signals, &self.thresholds, self.now());
        *self.pressures.lock() = next;
        if let Some(short) = short {
            (self.on_short)(short);
        }
    }

    async fn write(&self, machine: &Machine, says: &RuntimeSays, due: bool) -> Result<bool, Error> {
        let mut known = self.node.borrow().clone();
        for _ in 0..TRIES {
            let node = match known.take() {
                Some(node) => node,
                None => match self.client().get::<Node>("", &self.own.name).await {
                    Err(error) if error.is_not_found() => {
                        self.register().await;
                        continue;
                    }
                    result => result?,
                },
            };
            let old = node.status.clone().unwrap_or_default();
            let pressures = *self.pressures.lock();
            let status = object::status(&self.own, machine, says, &pressures, &old, self.now());
            if !due && !object::differs(&old, &status) {
                return Ok(false);
            }
            let mut wanted = (*node).clone();
            wanted.status = Some(status);
            match self.client().update_status(&wanted).await {
                Err(error) if error.is_conflict() || error.is_not_found() => {}
                result => {
                    let written = result?;
                    self.tell_change(&old, wanted.status.as_ref().unwrap_or(&old));
                    self.know(written);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The node as the API has it now. A status that is not ours any more is looked at again.
    pub fn know(&self, node: Arc<Node>) {
        let version =
            |node: &Arc<Node>| node.metadata.resource_version.as_ref().and_then(|version| version.parse::<u64>().ok()).unwrap_or(0);
        let newer = self.node.send_if_modified(|known| {
            let newer = known.as_ref().is_none_or(|known| version(known) < version(&node) || known.metadata.uid != node.metadata.uid);
            if newer {
                *known = Some(node.clone());
            }
            newer
        });
        if newer {
            self.look.notify_one();
        }
    }

    fn tell_change(&self, old: &NodeStatus, new: &NodeStatus) {
        for condition in new.conditions.iter().flatten() {
            let was = old.conditions.iter().flatten().find(|old| old.type_ == condition.type_);
            if was.is_none_or(|was| was.status == condition.status) {
                continue;
            }
            let reason = match (condition.type_.as_str(), condition.status.as_str()) {
                ("Ready", "True") => "NodeReady".to_string(),
                ("Ready", _) => "NodeNotReady".to_string(),
                _ => condition.reason.clone().unwrap_or_default().replacen("Kubelet", "Node", 1),
            };
            let message = format!("Node {} status is now: {reason}", self.own.name);
            self.shared.recorder.normal(&self.reference(), &reason, message);
        }
    }

    /// The node as events about it carry it: by name, since it exists before its object.
    pub fn reference(&self) -> ObjectReference {
        let name = Some(self.own.name.clone());
        ObjectReference { kind: Some("Node".into()), uid: name.clone(), name, ..ObjectReference::default() }
    }

    /// Keeps the lease fresh until the kubelet ends.
    pub async fn beat(self: Arc<Self>) {
        let mut held: Option<Arc<Lease>> = None;
        loop {
            match self.renew(held.take()).await {
                Ok(lease) => held = Some(lease),
                Err(error) => tracing::debug!(%error, node = self.own.name, "node lease not renewed"),
            }
            let pause = if held.is_some() { BEAT } else { FIRST_TRIES };
            self.shared.clock.sleep(pause).await;
        }
    }

    async fn renew(&self, held: Option<Arc<Lease>>) -> Result<Arc<Lease>, Error> {
        let name = &self.own.name;
        let lease = match held {
            Some(lease) => Some(lease),
            None => self.client().find::<Lease>(LEASE_NAMESPACE, name).await?,
        };
        match lease {
            Some(lease) => {
                let mut next = (*lease).clone();
                self.fill(&mut next);
                self.client().update(&next).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(name.clone()), namespace: Some(LEASE_NAMESPACE.into()), ..ObjectMeta::default() };
                let mut lease = Lease { metadata, spec: None };
                self.fill(&mut lease);
                self.client().create(LEASE_NAMESPACE, &lease).await
            }
        }
    }

    fn fill(&self, lease: &mut Lease) {
        let micro = Timestamp::from_microsecond(self.now().as_microsecond()).unwrap_or_default();
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.own.name.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(MicroTime(micro)),
            ..LeaseSpec::default()
        });
        let uid = self.node.borrow().as_ref().and_then(|node| node.metadata.uid.clone());
        if let Some(uid) = uid.filter(|_| lease.metadata.owner_references.as_ref().is_none_or(Vec::is_empty)) {
            lease.metadata.owner_references = Some(vec![OwnerReference {
                api_version: "v1".into(),
                kind: "Node".into(),
                name: self.own.name.clone(),
                uid,
                ..OwnerReference::default()
            }]);
        }
    }
}
