//! Puts a kubelet together from what it is given, starts it, stops it. Stopping it stops no container.
use crate::driver::cgroups::Cgroups;
use crate::driver::images::Puller;
use crate::driver::shared::{Settings, Shared};
use crate::driver::worker::Message;
use crate::eviction::{self, Candidate, Pressures, Short, Thresholds};
use crate::node::agent::Agent;
use crate::node::object::Own;
use crate::pod::view::PodView;
use crate::pods::Pods;
use crate::volumes::sources::Sources;
use crate::volumes::{Volumes, mountpoint};
use crate::{housekeeping, runtime_events};
use client::events::Recorder;
use client::{Client, Delta, Informer, ListOptions};
use k8s_openapi::api::core::v1::{Node, Pod, Service, Taint};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use stdx::clock::Clock;
use stdx::random::Random;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

/// Images pulled at the same time.
const MAX_PULLS: usize = 4;
/// Probes at the same time.
const MAX_PROBES: usize = 64;
/// Memory kept back from pods: what eviction needs to act in time.
const RESERVED_MEMORY_BYTES: u64 = 100 << 20;
pub const DEFAULT_PORT: u16 = 10250;
pub const DEFAULT_MAX_PODS: i64 = 110;
/// The version that nodes tell.
pub const VERSION: &str = "v1.37.0";

pub struct Config {
    pub node_name: String,
    pub client: Client,
    pub runtime: Arc<dyn cri::Runtime>,
    pub images: Arc<dyn cri::Images>,
    /// The kubelet's own directory (pods, volumes).
    pub root_dir: PathBuf,
    /// Logs of containers.
    pub pod_logs_dir: PathBuf,
    /// Manifests of static pods.
    pub manifest_dir: Option<PathBuf>,
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    /// Of the node; the first is the primary one.
    pub node_ips: Vec<IpAddr>,
    /// Where cgroups are mounted (`/sys/fs/cgroup`); `None`: leave cgroups to the runtime.
    pub cgroup_mount: Option<PathBuf>,
    /// Below which `kubepods` is made; empty: at the top.
    pub cgroup_root: String,
    pub resolv_conf: PathBuf,
    pub hosts_file: PathBuf,
    /// Where the kubelet's own API listens; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Certificates of that API and whom it asks for theirs; needed with `listen`.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub max_pods: i64,
    pub thresholds: Thresholds,
    pub clock: Clock,
    pub random: Random,
}

impl Config {
    /// A configuration with the original's defaults.
    pub fn new(node_name: &str, client: Client, runtime: Arc<dyn cri::Runtime>, images: Arc<dyn cri::Images>, root_dir: PathBuf) -> Config {
        Config {
            node_name: node_name.into(),
            client,
            runtime,
            images,
            pod_logs_dir: root_dir.join("logs"),
            root_dir,
            manifest_dir: None,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".into(),
            node_ips: Vec::new(),
            cgroup_mount: Some("/sys/fs/cgroup".into()),
            cgroup_root: String::new(),
            resolv_conf: "/etc/resolv.conf".into(),
            hosts_file: "/etc/hosts".into(),
            listen: None,
            tls: None,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            max_pods: DEFAULT_MAX_PODS,
            thresholds: Thresholds::default(),
            clock: Clock::system(),
            random: Random::system(),
        }
    }
}

/// A running kubelet.
pub struct Kubelet {
    tasks: Mutex<JoinSet<()>>,
    pods: Arc<Pods>,
    agent: Arc<Agent>,
    address: Option<SocketAddr>,
}

impl Kubelet {
    /// Starts everything and returns at once; pods come as soon as the API and the runtime answer.
    pub async fn start(mut config: Config) -> std::io::Result<Kubelet> {
        std::fs::create_dir_all(&config.root_dir)?;
        std::fs::create_dir_all(&config.pod_logs_dir)?;
        // As the kernel names mounts, and as a runtime elsewhere finds them.
        config.root_dir = config.root_dir.canonicalize()?;
        config.pod_logs_dir = config.pod_logs_dir.canonicalize()?;
        let listener = match config.listen {
            Some(address) => Some(tokio::net::TcpListener::bind(address).await?),
            None => None,
        };
        let address = listener.as_ref().map(|listener| listener.local_addr()).transpose()?;
        let route: Arc<OnceLock<Weak<Pods>>> = Arc::default();
        let shared = share(&config, route.clone());
        let (node, seen) = watch::channel(None);
        let pods = Arc::new(Pods::new(shared.clone(), seen, config.manifest_dir.clone()));
        let _ = route.set(Arc::downgrade(&pods));
        let agent = Arc::new(Agent {
            own: own(&config, address),
            root: config.root_dir.clone(),
            thresholds: config.thresholds,
            on_short: evict_for(shared.clone(), pods.clone()),
            node,
            look: Arc::new(Notify::new()),
            pressures: Mutex::new(Pressures::default()),
            shared: shared.clone(),
        });
        let mut tasks = JoinSet::new();
        if let (Some(listener), Some(tls)) = (listener, config.tls.clone()) {
            let server = crate::server::Server::new(shared.clone(), pods.clone(), agent.clone());
            tasks.spawn(server.serve(listener, tls));
        }
        tasks.spawn(run(shared, pods.clone(), agent.clone()));
        Ok(Kubelet { tasks: Mutex::new(tasks), pods, agent, address })
    }

    /// Where its API listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Has the node been registered?
    pub fn is_registered(&self) -> bool {
        self.agent.node.borrow().is_some()
    }

    /// Waits until the API knows the node.
    pub async fn registered(&self) {
        let _ = self.agent.node.subscribe().wait_for(Option::is_some).await;
    }

    /// The runtime's network or anything else that the node's readiness depends on may have changed: look now.
    pub fn look(&self) {
        self.agent.look.notify_one();
    }

    /// How many pods have a task.
    pub fn pods(&self) -> usize {
        self.pods.all().len()
    }

    /// Lets go of everything; containers go on.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        self.pods.stop();
    }
}

/// Takes away what a kubelet that has ended left in the kernel: mounts below its directory, and cgroups of its pods.
/// Their containers must have ended. Files stay. `cgroup_mount` and `cgroup_root` as in the configuration.
pub fn leave(root_dir: &Path, cgroup_mount: Option<&Path>, cgroup_root: &str) -> std::io::Result<()> {
    let Ok(root_dir) = root_dir.canonicalize() else { return Ok(()) };
    let pods = std::fs::read_dir(root_dir.join("pods")).into_iter().flatten().flatten();
    let uids: Vec<String> = pods.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    Cgroups::new(cgroup_mount.map(Path::to_path_buf), cgroup_root).leave(&uids);
    mountpoint::unmount_below(&root_dir)
}

fn share(config: &Config, route: Arc<OnceLock<Weak<Pods>>>) -> Arc<Shared> {
    let on_change = Arc::new(move |kind: &'static str, key: &machinery::meta::Key| {
        if let Some(pods) = route.get().and_then(Weak::upgrade) {
            pods.changed(kind, key);
        }
    });
    let client = config.client.clone();
    let sources = Sources::new(client.clone(), on_change);
    let volumes = Volumes::new(config.root_dir.clone(), client.clone(), sources, config.clock.clone(), config.random.fork());
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Arc::new(Shared {
        settings: Settings {
            node_name: config.node_name.clone(),
            root_dir: config.root_dir.clone(),
            pod_logs_dir: config.pod_logs_dir.clone(),
            cluster_dns: config.cluster_dns.clone(),
            cluster_domain: config.cluster_domain.clone(),
            resolv_conf: config.resolv_conf.clone(),
            hosts_file: config.hosts_file.clone(),
        },
        runtime: config.runtime.clone(),
        puller: Puller { images: config.images.clone(), slots: Arc::new(Semaphore::new(MAX_PULLS)) },
        volumes,
        cgroups: Cgroups::new(config.cgroup_mount.clone(), &config.cgroup_root),
        recorder: Recorder::start(client.clone(), config.clock.clone(), "kubelet", &config.node_name),
        services: Informer::<Service>::start(client.clone(), ListOptions::default()),
        client,
        machine: RwLock::default(),
        sandboxes: Semaphore::new((cpus * 2).max(4)),
        probes: Semaphore::new(MAX_PROBES),
        clock: config.clock.clone(),
        random: config.random.fork(),
    })
}

fn own(config: &Config, address: Option<SocketAddr>) -> Own {
    Own {
        name: config.node_name.clone(),
        ips: config.node_ips.iter().map(ToString::to_string).collect(),
        port: address.map_or(DEFAULT_PORT, |address| address.port()),
        max_pods: config.max_pods,
        labels: config.labels.clone(),
        taints: config.taints.clone(),
        kubelet_version: VERSION.into(),
        reserved_memory_bytes: RESERVED_MEMORY_BYTES,
        unschedulable: false,
    }
}

async fn run(shared: Arc<Shared>, pods: Arc<Pods>, agent: Arc<Agent>) {
    agent.learn().await;
    let field_selector = format!("spec.nodeName={}", shared.settings.node_name);
    let informer = Informer::<Pod>::start(shared.client.clone(), ListOptions { field_selector, ..ListOptions::default() });
    let node = async {
        agent.register().await;
        let own = ListOptions::fields(format!("metadata.name={}", shared.settings.node_name));
        let (watched, knows) = (Informer::<Node>::start(shared.client.clone(), own), Arc::downgrade(&agent));
        watched.subscribe(move |delta| {
            if let (Some(agent), false) = (knows.upgrade(), matches!(delta, Delta::Deleted(_))) {
                agent.know(delta.object().clone());
            }
        });
        shared.recorder.normal(&agent.reference(), "Starting", "Starting kubelet.");
        tokio::join!(agent.clone().tell(), agent.clone().beat());
    };
    let events = runtime_events::follow(shared.runtime.clone(), pods.clone(), shared.clock.clone());
    let keep = housekeeping::keep(shared.clone(), pods.clone());
    tokio::join!(node, pods.clone().run(informer), events, keep);
}

/// Evicts one pod when the node is short of something.
fn evict_for(shared: Arc<Shared>, pods: Arc<Pods>) -> Box<dyn Fn(Short) + Send + Sync> {
    Box::new(move |short| {
        let (shared, pods) = (shared.clone(), pods.clone());
        tokio::spawn(async move {
            let used = housekeeping::memory_by_pod(&*shared.runtime).await;
            let mut candidates = Vec::new();
            for handle in pods.all() {
                let view = handle.view.read();
                if view.ended || view.pod.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                let uid = view.pod.uid();
                let dir = shared.volumes.pod_dir(uid).join("volumes");
                let disk_bytes = if short == Short::Disk { housekeeping::disk_use(&dir) } else { 0 };
                candidates.push(Candidate { pod: view.pod.clone(), memory_bytes: used.get(uid).copied().unwrap_or(0), disk_bytes });
            }
            if let Some((pod, message)) = eviction::choose(short, &candidates) {
                tracing::warn!(pod = pod.shown(), ?short, "evicting");
                pods.tell(pod.uid(), Message::Evict { reason: "Evicted", message, grace_seconds: 1 });
            }
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs the right to mount; says nothing where it is missing.
    #[test]
    fn leaving_unmounts_what_is_below_and_nothing_else() {
        let dir = crate::testing::scratch("leave");
        let (own, other) = (dir.path.join("kubelet/pods/u/volumes/v"), dir.path.join("kubelet-2"));
        std::fs::create_dir_all(&own).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        if mountpoint::tmpfs(&own, Some(4096)).is_err() || mountpoint::tmpfs(&other, Some(4096)).is_err() {
            return;
        }
        leave(&dir.path.join("kubelet"), None, "").unwrap();
        let left = (mountpoint::is_mounted(&own), mountpoint::is_mounted(&other));
        mountpoint::unmount_below(&other).unwrap();
        assert_eq!(left, (false, true));
    }
}
