//! The runtime's state in the daemon: sandboxes and containers by id, read from disk at the start and brought in line with what
//! the keeper says. The verbs are in `sandboxes` and `containers`; this file opens, follows exits, and takes everything down.
use crate::cgroup::Cgroups;
use crate::events::Events;
use crate::image::{Registries, Store};
use crate::keeper::protocol::{Exit, Held};
use crate::keeper_client::{KeeperClient, next_exit};
use crate::network::{NoNetwork, PodNetwork};
use crate::problem::{Doing, Outcome, Problem};
use crate::record::{self, ContainerRecord, SandboxRecord};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub struct Config {
    /// Images and the containers' writable files.
    pub data_dir: PathBuf,
    /// Records, namespaces, the keeper's socket; may be on a tmpfs.
    pub state_dir: PathBuf,
    /// The parent of a container's cgroup when its sandbox names none.
    pub cgroup_root: String,
    pub network: Arc<dyn PodNetwork>,
    pub registries: Registries,
    /// The program to run as keeper and helper: one that hands its arguments to `keeper_main` and `helper_main`.
    pub program: PathBuf,
    /// Copy layers instead of mounting an overlay.
    pub copy_layers: bool,
}

impl Config {
    pub fn new(data_dir: impl Into<PathBuf>, state_dir: impl Into<PathBuf>) -> Config {
        Config {
            data_dir: data_dir.into(),
            state_dir: state_dir.into(),
            cgroup_root: "/coxswain".into(),
            network: Arc::new(NoNetwork),
            registries: Registries::default(),
            program: std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into()),
            copy_layers: false,
        }
    }
}

pub struct Sandbox {
    pub record: Mutex<SandboxRecord>,
    /// Verbs on one sandbox wait for each other.
    pub turn: tokio::sync::Mutex<()>,
}

pub struct Container {
    pub record: Mutex<ContainerRecord>,
    pub turn: tokio::sync::Mutex<()>,
    /// True once it has ended.
    pub ended: watch::Sender<bool>,
    /// The last CPU reading: when, and how much.
    pub last_cpu: Mutex<Option<(i64, u64)>>,
    /// Bytes and inodes of the writable layer, and when they were counted.
    pub last_disk: Mutex<Option<(i64, u64, u64)>>,
}

impl Container {
    pub fn new(record: ContainerRecord) -> Container {
        let ended = watch::Sender::new(record.exit.is_some());
        Container {
            record: Mutex::new(record),
            turn: Default::default(),
            ended,
            last_cpu: Default::default(),
            last_disk: Default::default(),
        }
    }

    pub async fn wait(&self) {
        // The sender lives as long as the container.
        self.ended.subscribe().wait_for(|ended| *ended).await.ok();
    }
}

/// The embedded runtime; `cri::Runtime` and `cri::Images` are implemented on it.
pub struct Runtime {
    pub(crate) config: Config,
    pub(crate) keeper: KeeperClient,
    pub(crate) cgroups: Cgroups,
    pub(crate) images: Arc<Store>,
    pub(crate) sandboxes: Mutex<BTreeMap<String, Arc<Sandbox>>>,
    pub(crate) containers: Mutex<BTreeMap<String, Arc<Container>>>,
    pub(crate) events: Events,
    pub(crate) host_capabilities: u64,
    pub(crate) streams: crate::streaming::Tickets,
    pub(crate) pulls: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// What images occupy, and the times of their folders when it was counted.
    pub(crate) image_disk: Mutex<Option<crate::stats::Counted>>,
    pub(crate) tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Runtime {
    /// Opens the runtime: starts or finds the keeper, and takes up whatever runs.
    pub async fn open(mut config: Config) -> Outcome<Arc<Runtime>> {
        for folder in [config.state_dir.join("sandboxes"), config.state_dir.join("containers"), config.data_dir.join("containers")] {
            std::fs::create_dir_all(&folder).doing(format_args!("make {}", folder.display()))?;
        }
        if !config.copy_layers
            && let Err(problem) = crate::namespaces::try_overlay(&config.data_dir)
        {
            tracing::warn!(%problem, "overlay cannot be used here: every container gets a copy of its image");
            config.copy_layers = true;
        }
        let keeper = KeeperClient::open(&config.state_dir, &config.program).await?;
        let images = Arc::new(Store::open(&config.data_dir.join("images"))?);
        let runtime = Arc::new(Runtime {
            keeper,
            cgroups: Cgroups::detect(),
            images,
            sandboxes: Default::default(),
            containers: Default::default(),
            events: Events::new(),
            host_capabilities: crate::sys::credentials::bounding_set(),
            streams: Default::default(),
            pulls: Default::default(),
            image_disk: Default::default(),
            tasks: Default::default(),
            config,
        });
        runtime.load()?;
        // Subscribed first, listed second: an exit in between is told twice, never missed.
        let lines = runtime.keeper.subscribe().await?;
        runtime.reconcile().await?;
        let follower = tokio::spawn(follow(Arc::downgrade(&runtime), lines));
        let (store, in_use) = (runtime.images.clone(), runtime.layers_in_use());
        tokio::task::spawn_blocking(move || store.sweep(&in_use).inspect_err(|problem| tracing::warn!(%problem, "images were not swept")));
        let server = crate::streaming::server::start(&runtime).await?;
        runtime.tasks.lock().extend([follower, server]);
        Ok(runtime)
    }

    pub fn images(&self) -> &Arc<Store> {
        &self.images
    }

    pub(crate) fn sandbox_folder(&self, id: &str) -> PathBuf {
        self.config.state_dir.join("sandboxes").join(id)
    }

    pub(crate) fn container_folder(&self, id: &str) -> PathBuf {
        self.config.state_dir.join("containers").join(id)
    }

    pub(crate) fn container_data(&self, id: &str) -> PathBuf {
        self.config.data_dir.join("containers").join(id)
    }

    pub(crate) fn save_sandbox(&self, sandbox: &Sandbox) -> Outcome<()> {
        let record = sandbox.record.lock();
        record::save(&self.sandbox_folder(&record.id).join("sandbox.json"), &*record)
    }

    pub(crate) fn save_container(&self, container: &Container) -> Outcome<()> {
        let record = container.record.lock();
        record::save(&self.container_folder(&record.id).join("container.json"), &*record)
    }

    /// The sandbox with this id, or the only one whose id begins so.
    pub fn sandbox(&self, id: &str) -> Outcome<Arc<Sandbox>> {
        find(&self.sandboxes.lock(), id).ok_or_else(|| Problem::not_found(format_args!("sandbox {id:?}: not found")))
    }

    pub fn container(&self, id: &str) -> Outcome<Arc<Container>> {
        find(&self.containers.lock(), id).ok_or_else(|| Problem::not_found(format_args!("container {id:?}: not found")))
    }

    pub(crate) fn containers_of(&self, sandbox: &str) -> Vec<Arc<Container>> {
        self.containers.lock().values().filter(|one| one.record.lock().sandbox == sandbox).cloned().collect()
    }

    /// The layers that containers stand on, by diff id.
    pub fn layers_in_use(&self) -> BTreeSet<String> {
        self.containers.lock().values().flat_map(|one| one.record.lock().diff_ids.clone()).collect()
    }

    fn load(&self) -> Outcome<()> {
        for id in folders(&self.config.state_dir.join("sandboxes"))? {
            match record::load::<SandboxRecord>(&self.sandbox_folder(&id).join("sandbox.json")) {
                Ok(record) => {
                    let sandbox = Sandbox { record: Mutex::new(record), turn: Default::default() };
                    self.sandboxes.lock().insert(id, Arc::new(sandbox));
                }
                Err(problem) if is_old(&self.sandbox_folder(&id)) => {
                    tracing::warn!(sandbox = id, %problem, "removing what is left of a sandbox");
                    crate::namespaces::remove(&self.sandbox_folder(&id));
                    std::fs::remove_dir_all(self.sandbox_folder(&id)).ok();
                }
                Err(_) => {}
            }
        }
        for id in folders(&self.config.state_dir.join("containers"))? {
            match record::load::<ContainerRecord>(&self.container_folder(&id).join("container.json")) {
                Ok(record) => drop(self.containers.lock().insert(id, Arc::new(Container::new(record)))),
                Err(problem) if is_old(&self.container_folder(&id)) => {
                    tracing::warn!(container = id, %problem, "removing what is left of a container");
                    std::fs::remove_dir_all(self.container_folder(&id)).ok();
                }
                Err(_) => {}
            }
        }
        for id in folders(&self.config.data_dir.join("containers"))? {
            if !self.containers.lock().contains_key(&id) && is_old(&self.container_data(&id)) {
                std::fs::remove_dir_all(self.container_data(&id)).ok();
            }
        }
        Ok(())
    }

    /// Brings the records in line with the keeper: it knows what runs, and what it has written down counts.
    async fn reconcile(&self) -> Outcome<()> {
        let held: HashMap<String, Held> = self.keeper.list().await?.into_iter().map(|held| (held.id.clone(), held)).collect();
        let containers: Vec<_> = self.containers.lock().values().cloned().collect();
        for container in containers {
            let (id, ended) = {
                let record = container.record.lock();
                (record.id.clone(), record.exit.is_some())
            };
            if ended {
                continue;
            }
            let written = record::load::<Exit>(&self.container_folder(&id).join("exit.json")).ok();
            if let Some(known) = held.get(&id) {
                self.take_up(&container, known)?;
            }
            let exit = written.or_else(|| held.get(&id).and_then(|known| known.exit.clone()));
            match exit {
                Some(exit) => self.note_exit(&container, exit).await,
                None if !held.contains_key(&id) && container.record.lock().is_running() => self.note_lost(&container).await,
                None => {}
            }
        }
        self.check_sandboxes(&held)
    }

    fn take_up(&self, container: &Container, held: &Held) -> Outcome<()> {
        {
            let mut record = container.record.lock();
            record.pid = held.pid;
            record.started_at_ns = held.started_at_ns;
            record.identity = Some(held.identity.clone());
        }
        self.save_container(container)
    }

    fn check_sandboxes(&self, held: &HashMap<String, Held>) -> Outcome<()> {
        let sandboxes: Vec<_> = self.sandboxes.lock().values().cloned().collect();
        for sandbox in sandboxes {
            let whole = {
                let record = sandbox.record.lock();
                let init = record.init_pid == 0 || held.get(&record.id).is_some_and(|known| known.exit.is_none());
                // After a reboot the files are there, the namespaces are not.
                let network = crate::namespaces::network(&self.sandbox_folder(&record.id));
                let namespace = !network.exists() || is_namespace(&network);
                init && namespace
            };
            if !whole && sandbox.record.lock().ready {
                sandbox.record.lock().ready = false;
                self.save_sandbox(&sandbox)?;
            }
        }
        Ok(())
    }

    /// The keeper died with this container's output in its hands: it cannot go on, and nobody knows how it would have ended.
    async fn note_lost(&self, container: &Container) {
        let (id, pid, started_at_ns, cgroup) = {
            let mut record = container.record.lock();
            record.lost = true;
            (record.id.clone(), record.pid, record.started_at_ns, record.cgroup.clone())
        };
        self.cgroups.kill(&cgroup);
        let finished_at_ns = now_ns();
        self.note_exit(container, Exit { id, pid, code: 255, started_at_ns, finished_at_ns, ..Default::default() }).await;
    }

    /// A container has ended: written down, its cgroup removed, everybody told.
    pub(crate) async fn note_exit(&self, container: &Container, exit: Exit) {
        let (id, cgroup) = {
            let mut record = container.record.lock();
            if record.exit.is_some() {
                return;
            }
            if record.started_at_ns == 0 {
                record.started_at_ns = exit.started_at_ns;
            }
            record.exit = Some(exit);
            (record.id.clone(), record.cgroup.clone())
        };
        if let Err(problem) = self.save_container(container) {
            tracing::error!(container = id, %problem, "the exit could not be saved");
        }
        container.ended.send_replace(true);
        self.tell(&id, cri::v1::ContainerEventType::ContainerStoppedEvent);
        self.cgroups.kill(&cgroup);
        self.cgroups.remove(&cgroup).await;
    }

    async fn hear(&self, exit: Exit) {
        if let Ok(container) = self.container(&exit.id) {
            return self.note_exit(&container, exit).await;
        }
        // The first process of a shared process namespace: the sandbox is not whole any more.
        if let Ok(sandbox) = self.sandbox(&exit.id) {
            sandbox.record.lock().ready = false;
            self.save_sandbox(&sandbox).ok();
        }
    }

    /// Stops and removes every sandbox and container and ends the keeper. Images stay.
    pub async fn shutdown_all(&self) -> Outcome<()> {
        let sandboxes: Vec<String> = self.sandboxes.lock().keys().cloned().collect();
        let removals = sandboxes.iter().map(|id| self.remove_sandbox(id));
        let removed = futures::future::join_all(removals).await;
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        self.cgroups.remove(&self.config.cgroup_root).await;
        // Whatever went wrong with one, the others and the keeper have been ended.
        let quit = self.keeper.quit().await;
        removed.into_iter().collect::<Outcome<()>>().and(quit)
    }

    /// `shutdown_all`, and every file of the runtime goes as well.
    pub async fn purge(&self) -> Outcome<()> {
        self.shutdown_all().await?;
        for folder in [&self.config.state_dir, &self.config.data_dir] {
            match std::fs::remove_dir_all(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).doing(format_args!("remove {}", folder.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn find<T>(all: &BTreeMap<String, Arc<T>>, id: &str) -> Option<Arc<T>> {
    if let Some(found) = all.get(id) {
        return Some(found.clone());
    }
    let mut fits = all.range(id.to_owned()..).take_while(|(known, _)| !id.is_empty() && known.starts_with(id));
    match (fits.next(), fits.next()) {
        (Some((_, found)), None) => Some(found.clone()),
        _ => None,
    }
}

fn folders(path: &Path) -> Outcome<Vec<String>> {
    let entries = std::fs::read_dir(path).doing(format_args!("read {}", path.display()))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// A folder without its record is a remnant, unless another process is making it this very moment.
fn is_old(path: &Path) -> bool {
    const MAKING: Duration = Duration::from_secs(60);
    let changed = std::fs::metadata(path).and_then(|data| data.modified()).ok();
    changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age > MAKING)
}

/// The layers that the containers recorded in `state_dir` stand on, by diff id; without opening the runtime.
pub fn layers_in_use(state_dir: &Path) -> Outcome<BTreeSet<String>> {
    let place = state_dir.join("containers");
    if !place.exists() {
        return Ok(BTreeSet::new());
    }
    let records =
        folders(&place)?.into_iter().filter_map(|id| record::load::<ContainerRecord>(&place.join(id).join("container.json")).ok());
    Ok(records.flat_map(|record| record.diff_ids).collect())
}

/// Whether a namespace is bound at `path`: its file lies on another device than its folder.
fn is_namespace(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).map(|data| data.dev()).ok();
    path.parent().is_some_and(|parent| device(path) != device(parent))
}

pub(crate) fn now_ns() -> i64 {
    jiff::Timestamp::now().as_nanosecond() as i64
}

/// Hears of exits for as long as the runtime lives; a keeper that died is replaced, and what it held is lost.
async fn follow(runtime: std::sync::Weak<Runtime>, mut lines: crate::keeper_client::Lines) {
    const PAUSE: Duration = Duration::from_millis(200);
    loop {
        match next_exit(&mut lines).await {
            Ok(Some(exit)) => {
                let Some(runtime) = runtime.upgrade() else { return };
                // Removing a cgroup may take a while: others' exits do not wait for it.
                tokio::spawn(async move { runtime.hear(exit).await });
            }
            Ok(None) | Err(_) => {
                let Some(runtime) = runtime.upgrade() else { return };
                tracing::error!("the keeper is gone; starting another");
                match resume(&runtime).await {
                    Ok(resumed) => lines = resumed,
                    Err(problem) => {
                        tracing::error!(%problem, "no keeper");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }
}

async fn resume(runtime: &Runtime) -> Outcome<crate::keeper_client::Lines> {
    runtime.keeper.ensure().await?;
    let lines = runtime.keeper.subscribe().await?;
    runtime.reconcile().await?;
    Ok(lines)
}

impl Drop for Runtime {
    fn drop(&mut self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}
