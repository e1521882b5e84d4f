//! The verbs of containers: create, start, stop, remove, update, and their status.
use crate::container_spec as spec_of;
use crate::image::Image;
use crate::image::store::{Store, random_name};
use crate::keeper::protocol::{Exit, Reply, Request, Start};
use crate::namespaces;
use crate::problem::{Doing, Outcome, Problem};
use crate::record::{self, ContainerRecord};
use crate::runtime::{Container, Runtime, Sandbox, now_ns};
use crate::sandboxes::{cgroup_parent, host_name, options};
use crate::spec::{Mount, PidNamespace, Root, Source, StartSpec};
use cri::v1::{
    ContainerConfig, ContainerEventType, ContainerResources, ContainerState, ContainerStatus, ContainerUser, LinuxContainerResources,
    LinuxContainerUser, NamespaceMode,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The most processes a container may have unless its pod's group says less.
const PROCESS_LIMIT: u64 = 32_768;
/// How long the kernel may take to end what was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

impl Runtime {
    pub async fn create(&self, sandbox_id: &str, config: ContainerConfig) -> Outcome<String> {
        let sandbox = self.sandbox(sandbox_id)?;
        let sandbox_id = sandbox.record.lock().id.clone();
        if !sandbox.record.lock().ready {
            return Err(Problem::failed(format_args!("sandbox {sandbox_id:?} is not ready")));
        }
        let wanted = config.image.as_ref().map(|image| image.image.clone()).unwrap_or_default();
        let image = self.images.find(&wanted).ok_or_else(|| Problem::not_found(format_args!("image {wanted:?}: not found")))?;
        let id = format!("{}{}", random_name(), random_name());
        let record = self.new_record(&id, &sandbox, &config, &image)?;
        let spec = self.start_spec(&sandbox, &record, &image)?;
        let (folder, data) = (self.container_folder(&id), self.container_data(&id));
        let made = self.lay_out(&folder, &data, &spec, &record).await;
        if let Err(problem) = made {
            std::fs::remove_dir_all(&folder).ok();
            std::fs::remove_dir_all(&data).ok();
            return Err(problem);
        }
        self.containers.lock().insert(id.clone(), Arc::new(Container::new(record)));
        self.tell(&id, ContainerEventType::ContainerCreatedEvent);
        Ok(id)
    }

    fn new_record(&self, id: &str, sandbox: &Sandbox, config: &ContainerConfig, image: &Image) -> Outcome<ContainerRecord> {
        let sandbox = sandbox.record.lock();
        let log_path = match (sandbox.config.log_directory.as_str(), config.log_path.as_str()) {
            ("", _) | (_, "") => String::new(),
            (folder, name) => Path::new(folder).join(name).display().to_string(),
        };
        let asked =
            signal_number(cri::v1::Signal::try_from(config.stop_signal).unwrap_or_default().as_str_name().trim_start_matches("SIGNAL_"));
        let of_image = signal_number(&image.configuration.config.stop_signal);
        Ok(ContainerRecord {
            id: id.to_owned(),
            sandbox: sandbox.id.clone(),
            config: config.clone(),
            resources: config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default(),
            image_id: image.id.clone(),
            image_reference: image.digests.first().cloned().unwrap_or_else(|| image.id.clone()),
            diff_ids: image.diff_ids.clone(),
            log_path,
            cgroup: self.cgroup_name(cgroup_parent(&sandbox.config), id),
            stop_signal: asked.or(of_image).unwrap_or(libc::SIGTERM),
            created_at_ns: now_ns(),
            ..Default::default()
        })
    }

    /// Everything the helper will need, decided now, so that a container that cannot be is refused before it exists.
    fn start_spec(&self, sandbox: &Sandbox, record: &ContainerRecord, image: &Image) -> Outcome<StartSpec> {
        let config = &record.config;
        let security = spec_of::security(config);
        spec_of::check_apparmor(&security)?;
        let pod = sandbox.record.lock().clone();
        let data = self.container_data(&record.id);
        let root = if self.config.copy_layers {
            Root::Folder(data.join("root"))
        } else {
            let lower = image.diff_ids.iter().rev().map(|id| Store::layer_name(id)).collect::<Outcome<Vec<_>>>()?;
            Root::Overlay { layers: self.images.layers_folder(), lower, upper: data.join("upper"), work: data.join("work") }
        };
        let mut namespaces = self.namespace_paths(&pod.id, &pod.config);
        namespaces.pid = self.pid_namespace(config, &pod)?;
        Ok(StartSpec {
            root,
            mount_point: data.join("mount"),
            read_only_root: security.readonly_rootfs,
            namespaces,
            cgroups: Vec::new(),
            mounts: self.mounts(config, &pod, image, &data)?,
            devices: spec_of::devices(config)?.into_iter().map(|(device, _)| device).collect(),
            masked_paths: if security.privileged { Vec::new() } else { security.masked_paths.clone() },
            read_only_paths: if security.privileged { Vec::new() } else { security.readonly_paths.clone() },
            privileged: security.privileged,
            oom_score_adj: record.resources.oom_score_adj,
            process: spec_of::process(config, &image.configuration.config, &host_name(&pod.config), self.host_capabilities)?,
        })
    }

    fn pid_namespace(&self, config: &ContainerConfig, pod: &record::SandboxRecord) -> Outcome<PidNamespace> {
        let own = spec_of::security(config).namespace_options.unwrap_or_else(|| options(&pod.config));
        let of_process = |pid: i32| PidNamespace::Join(format!("/proc/{pid}/ns/pid").into());
        Ok(match spec_of::mode(own.pid) {
            NamespaceMode::Container => PidNamespace::New,
            NamespaceMode::Node => PidNamespace::Host,
            NamespaceMode::Pod if pod.init_pid != 0 => of_process(pod.init_pid),
            NamespaceMode::Pod => PidNamespace::New,
            NamespaceMode::Target => {
                let target = self.container(&own.target_id)?;
                let target = target.record.lock();
                if target.sandbox != pod.id || !target.is_running() {
                    return Err(Problem::failed(format_args!("target container {:?} is not running in this pod", own.target_id)));
                }
                of_process(target.pid)
            }
        })
    }

    fn mounts(&self, config: &ContainerConfig, pod: &record::SandboxRecord, image: &Image, data: &Path) -> Outcome<Vec<Mount>> {
        let folder = self.sandbox_folder(&pod.id);
        let read_only = spec_of::security(config).readonly_rootfs;
        let taken = |path: &str| config.mounts.iter().any(|mount| mount.container_path.trim_end_matches('/') == path);
        let mut mounts = Vec::new();
        let bind = |source: &Path, destination: &str, read_only: bool| Mount {
            source: Source::Host(source.to_owned()),
            destination: destination.to_owned(),
            read_only,
            ..Default::default()
        };
        for (name, destination) in [("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")] {
            if !taken(destination) {
                mounts.push(bind(&folder.join(name), destination, read_only));
            }
        }
        if !taken("/dev/shm") {
            let own = namespaces::shared_memory(&folder);
            let source = if spec_of::mode(options(&pod.config).ipc) == NamespaceMode::Node { Path::new("/dev/shm") } else { own.as_path() };
            mounts.push(bind(source, "/dev/shm", false));
        }
        // Where the image says that data goes there is a place to write even on a read-only root.
        for (number, path) in image.configuration.config.volumes.keys().enumerate().filter(|(_, path)| read_only && !taken(path)) {
            mounts.push(bind(&data.join("volumes").join(number.to_string()), &spec_of::absolute(path), false));
        }
        mounts.extend(spec_of::host_mounts(config)?);
        for mount in &config.mounts {
            if let Some(image) = &mount.image {
                mounts.push(self.image_mount(mount, &image.image)?);
            }
        }
        Ok(mounts)
    }

    fn image_mount(&self, mount: &cri::v1::Mount, name: &str) -> Outcome<Mount> {
        let image = self.images.find(name).ok_or_else(|| Problem::not_found(format_args!("image {name:?}: not found")))?;
        let lower = image.diff_ids.iter().rev().map(|id| Store::layer_name(id)).collect::<Outcome<Vec<_>>>()?;
        Ok(Mount {
            source: Source::Layers { layers: self.images.layers_folder(), lower, path: mount.image_sub_path.clone() },
            destination: spec_of::absolute(&mount.container_path),
            read_only: true,
            no_exec: true,
            no_suid: true,
            no_dev: true,
            ..Default::default()
        })
    }

    async fn lay_out(&self, folder: &Path, data: &Path, spec: &StartSpec, record: &ContainerRecord) -> Outcome<()> {
        std::fs::create_dir_all(folder).doing("make the container's folder")?;
        std::fs::create_dir_all(data.join("mount")).doing("make the container's mount point")?;
        for mount in &spec.mounts {
            if let Source::Host(path) = &mount.source
                && !path.exists()
            {
                std::fs::create_dir_all(path).doing(format_args!("failed to generate container mount: make {}", path.display()))?;
            }
        }
        match &spec.root {
            Root::Overlay { upper, work, .. } => {
                std::fs::create_dir_all(upper).and_then(|()| std::fs::create_dir_all(work)).doing("make the writable layer")?;
            }
            Root::Folder(path) => {
                let layers: Vec<_> = record.diff_ids.iter().filter_map(|id| Store::layer_name(id).ok()).collect();
                let layers: Vec<_> = layers.iter().map(|name| self.images.layers_folder().join(name)).collect();
                let path = path.clone();
                let copied = tokio::task::spawn_blocking(move || crate::copy::flatten(&layers, &path)).await;
                copied.map_err(Problem::failed)??;
            }
            Root::Nothing => {}
        }
        record::save(&folder.join("spec.json"), spec)?;
        record::save(&folder.join("container.json"), record)
    }

    pub async fn start(&self, id: &str) -> Outcome<()> {
        let container = self.container(id)?;
        let _turn = container.turn.lock().await;
        let record = container.record.lock().clone();
        if record.started_at_ns != 0 || record.exit.is_some() {
            return Err(Problem::failed(format_args!("container {id:?} is not in created state")));
        }
        let sandbox = self.sandbox(&record.sandbox)?;
        if !sandbox.record.lock().ready {
            return Err(Problem::failed(format_args!("sandbox {:?} of container {id:?} is not ready", record.sandbox)));
        }
        match self.try_start(&record).await {
            Ok(held) => {
                {
                    let mut record = container.record.lock();
                    record.pid = held.pid;
                    // An exit may have been heard of already; it has told the start as well.
                    record.started_at_ns = held.started_at_ns;
                    record.identity = Some(held.identity);
                }
                self.save_container(&container)?;
                self.tell(&record.id, ContainerEventType::ContainerStartedEvent);
                Ok(())
            }
            Err(problem) => {
                let (text, now) = (problem.to_string(), now_ns());
                let exit =
                    Exit { id: record.id.clone(), code: 128, finished_at_ns: now, failure: Some(text.clone()), ..Default::default() };
                self.note_exit(&container, exit).await;
                Err(Problem::failed(format_args!("failed to start container {id:?}: {text}")))
            }
        }
    }

    async fn try_start(&self, record: &ContainerRecord) -> Outcome<crate::keeper::protocol::Held> {
        let folder = self.container_folder(&record.id);
        let mut spec: StartSpec = record::load(&folder.join("spec.json"))?;
        spec.cgroups = self.cgroups.create(&record.cgroup)?;
        self.cgroups.limit(&record.cgroup, &record.resources)?;
        self.cgroups.limit_processes(&record.cgroup, PROCESS_LIMIT)?;
        if !spec.privileged {
            self.cgroups.allow_devices(&record.cgroup, &spec_of::devices(&record.config)?)?;
        }
        record::save(&folder.join("spec.json"), &spec)?;
        if let Some(parent) = Path::new(&record.log_path).parent().filter(|_| !record.log_path.is_empty()) {
            std::fs::create_dir_all(parent).doing("make the log's folder")?;
        }
        let start = Start {
            id: record.id.clone(),
            folder,
            program: self.keeper.program().to_owned(),
            log: (!record.log_path.is_empty()).then(|| record.log_path.clone().into()),
            terminal: record.config.tty,
            stdin: record.config.stdin,
            stdin_once: record.config.stdin_once,
            oom_file: self.cgroups.oom_file(&record.cgroup),
        };
        match self.keeper.ask(&Request::Start(start)).await? {
            Reply::Started(held) => Ok(held),
            Reply::Failed(text) => Err(Problem::Failed(text)),
            other => Err(Problem::failed(format_args!("the keeper answered {other:?}"))),
        }
    }

    pub async fn stop_by_id(&self, id: &str, timeout_seconds: i64) -> Outcome<()> {
        match self.container(id) {
            Ok(container) => self.stop(&container, timeout_seconds).await,
            Err(_) => Ok(()),
        }
    }

    pub(crate) async fn stop(&self, container: &Container, timeout_seconds: i64) -> Outcome<()> {
        let record = container.record.lock().clone();
        if !record.is_running() {
            return Ok(());
        }
        if timeout_seconds > 0 {
            self.keeper.signal(&record.id, record.stop_signal).await?;
            let grace = Duration::from_secs(timeout_seconds as u64);
            if tokio::time::timeout(grace, container.wait()).await.is_ok() {
                return Ok(());
            }
        }
        self.keeper.signal(&record.id, libc::SIGKILL).await?;
        // In a shared process namespace the others of the container live on otherwise.
        self.cgroups.kill(&record.cgroup);
        let ended = tokio::time::timeout(KILL_PATIENCE, container.wait()).await;
        ended.map_err(|_| Problem::failed(format_args!("container {:?} does not end", record.id)))
    }

    pub async fn remove_container_by_id(&self, id: &str) -> Outcome<()> {
        let Ok(container) = self.container(id) else { return Ok(()) };
        self.stop(&container, 0).await?;
        let _turn = container.turn.lock().await;
        let record = container.record.lock().clone();
        self.let_go(&record.id).await?;
        self.cgroups.remove(&record.cgroup).await;
        let (data, folder) = (self.container_data(&record.id), self.container_folder(&record.id));
        let removed = tokio::task::spawn_blocking(move || remove_tree(&data).and_then(|()| remove_tree(&folder))).await;
        removed.map_err(Problem::failed)?.doing("remove the container's files")?;
        self.tell(&record.id, ContainerEventType::ContainerDeletedEvent);
        self.containers.lock().remove(&record.id);
        self.sweep_layers(&record);
        Ok(())
    }

    /// The last container of an image that has been removed takes its layers along.
    fn sweep_layers(&self, record: &ContainerRecord) {
        if self.images.find(&record.image_id).is_none() {
            let (images, in_use) = (self.images.clone(), self.layers_in_use());
            tokio::task::spawn_blocking(move || {
                images.sweep(&in_use).inspect_err(|problem| tracing::warn!(%problem, "layers were not swept"))
            });
        }
    }

    /// Makes the keeper forget a container, ending what it may have started without our knowing.
    pub(crate) async fn let_go(&self, id: &str) -> Outcome<()> {
        const PAUSE: Duration = Duration::from_millis(2);
        let began = tokio::time::Instant::now();
        loop {
            match self.keeper.forget(id).await {
                Err(problem) if began.elapsed() > KILL_PATIENCE => return Err(problem),
                Err(_) => self.keeper.signal(id, libc::SIGKILL).await.ok(),
                Ok(()) => return Ok(()),
            };
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub fn update(&self, id: &str, wanted: &LinuxContainerResources) -> Outcome<()> {
        let container = self.container(id)?;
        let cgroup = {
            let record = container.record.lock();
            if record.exit.is_some() {
                return Err(Problem::failed(format_args!("container {id:?} is not running")));
            }
            record.cgroup.clone()
        };
        if container.record.lock().is_running() {
            self.cgroups.limit(&cgroup, wanted)?;
        }
        merge(&mut container.record.lock().resources, wanted);
        self.save_container(&container)
    }

    pub async fn reopen_log(&self, id: &str) -> Outcome<()> {
        let container = self.container(id)?;
        let record = container.record.lock().clone();
        if !record.is_running() {
            return Err(Problem::failed(format_args!("container {id:?} is not running")));
        }
        self.keeper.reopen_log(&record.id).await
    }

    pub fn container_status(&self, container: &Container) -> ContainerStatus {
        let record = container.record.lock();
        let exit = record.exit.clone().unwrap_or_default();
        let user = record.identity.as_ref().map(|ids| LinuxContainerUser {
            uid: i64::from(ids.uid),
            gid: i64::from(ids.gid),
            supplemental_groups: ids.groups.iter().map(|group| i64::from(*group)).collect(),
        });
        ContainerStatus {
            id: record.id.clone(),
            metadata: record.config.metadata.clone(),
            state: state(&record) as i32,
            created_at: record.created_at_ns,
            started_at: record.started_at_ns,
            finished_at: exit.finished_at_ns,
            exit_code: exit.code,
            image: record.config.image.clone(),
            image_ref: record.image_reference.clone(),
            reason: reason(&record).to_owned(),
            message: exit.failure.unwrap_or_default(),
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
            mounts: record.config.mounts.clone(),
            log_path: record.log_path.clone(),
            resources: Some(ContainerResources { linux: Some(record.resources.clone()), windows: None }),
            image_id: record.image_id.clone(),
            user: user.map(|user| ContainerUser { linux: Some(user) }),
            stop_signal: signal_of(record.stop_signal) as i32,
        }
    }
}

pub fn state(record: &ContainerRecord) -> ContainerState {
    match (&record.exit, record.started_at_ns) {
        (Some(_), _) => ContainerState::ContainerExited,
        (None, 0) => ContainerState::ContainerCreated,
        (None, _) => ContainerState::ContainerRunning,
    }
}

fn reason(record: &ContainerRecord) -> &'static str {
    match &record.exit {
        None => "",
        Some(_) if record.lost => "Unknown",
        Some(exit) if exit.failure.is_some() => "StartError",
        Some(exit) if exit.oom_killed => "OOMKilled",
        Some(exit) if exit.code == 0 => "Completed",
        Some(_) => "Error",
    }
}

fn remove_tree(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What an update does not mention stays.
fn merge(known: &mut LinuxContainerResources, wanted: &LinuxContainerResources) {
    let number = |known: &mut i64, wanted: i64| *known = if wanted == 0 { *known } else { wanted };
    number(&mut known.cpu_period, wanted.cpu_period);
    number(&mut known.cpu_quota, wanted.cpu_quota);
    number(&mut known.cpu_shares, wanted.cpu_shares);
    number(&mut known.memory_limit_in_bytes, wanted.memory_limit_in_bytes);
    number(&mut known.memory_swap_limit_in_bytes, wanted.memory_swap_limit_in_bytes);
    number(&mut known.oom_score_adj, wanted.oom_score_adj);
    for (known, wanted) in [(&mut known.cpuset_cpus, &wanted.cpuset_cpus), (&mut known.cpuset_mems, &wanted.cpuset_mems)] {
        if !wanted.is_empty() {
            known.clone_from(wanted);
        }
    }
    known.unified.extend(wanted.unified.clone());
}

#[rustfmt::skip]
const SIGNALS: [(&str, i32); 31] = [
    ("SIGHUP", 1), ("SIGINT", 2), ("SIGQUIT", 3), ("SIGILL", 4), ("SIGTRAP", 5), ("SIGABRT", 6), ("SIGBUS", 7), ("SIGFPE", 8),
    ("SIGKILL", 9), ("SIGUSR1", 10), ("SIGSEGV", 11), ("SIGUSR2", 12), ("SIGPIPE", 13), ("SIGALRM", 14), ("SIGTERM", 15),
    ("SIGSTKFLT", 16), ("SIGCHLD", 17), ("SIGCONT", 18), ("SIGSTOP", 19), ("SIGTSTP", 20), ("SIGTTIN", 21), ("SIGTTOU", 22),
    ("SIGURG", 23), ("SIGXCPU", 24), ("SIGXFSZ", 25), ("SIGVTALRM", 26), ("SIGPROF", 27), ("SIGWINCH", 28), ("SIGIO", 29),
    ("SIGPWR", 30), ("SIGSYS", 31),
];

/// A signal by name (with or without SIG), by number, or as `SIGRTMIN+3`.
fn signal_number(text: &str) -> Option<i32> {
    let text = text.to_ascii_uppercase();
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    let real_time = |prefix: &str| {
        name.strip_prefix(prefix)
            .map(|rest| rest.trim_start_matches("PLUS").trim_start_matches("MINUS").parse::<i32>().unwrap_or_default().abs())
    };
    if let Some(more) = real_time("RTMIN") {
        return Some((34 + more).min(64));
    }
    if let Some(less) = real_time("RTMAX") {
        return Some((64 - less).max(34));
    }
    SIGNALS.iter().find(|(known, _)| known[3..] == *name).map(|(_, number)| *number)
}

fn signal_of(number: i32) -> cri::v1::Signal {
    let name = match SIGNALS.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None if number == 34 => "SIGRTMIN".into(),
        None if number == 64 => "SIGRTMAX".into(),
        None if number <= 49 => format!("SIGRTMINPLUS{}", number - 34),
        None => format!("SIGRTMAXMINUS{}", 64 - number),
    };
    cri::v1::Signal::from_str_name(&format!("SIGNAL_{name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        assert_eq!(
            ["SIGTERM", "quit", "9", "SIGRTMIN+3", "SIGRTMINPLUS3", ""].map(signal_number),
            [Some(15), Some(3), Some(9), Some(37), Some(37), None]
        );
        for (name, number) in SIGNALS {
            assert_eq!(signal_of(number).as_str_name(), format!("SIGNAL_{name}"));
        }
    }
}
