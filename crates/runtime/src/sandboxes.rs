//! The verbs of pod sandboxes. A sandbox has no process of its own unless its containers share a process namespace.
use crate::container_spec::mode;
use crate::image::store::random_name;
use crate::keeper::protocol::{Reply, Request, Start};
use crate::namespaces::{self, Wanted};
use crate::network::{PortMapping, SandboxNetwork};
use crate::problem::{Doing, Outcome, Problem};
use crate::record::{self, SandboxRecord};
use crate::runtime::{Runtime, Sandbox, now_ns};
use crate::spec::{Namespaces, PidNamespace, Root, StartSpec};
use cri::v1::{
    ContainerEventType, LinuxPodSandboxStatus, Namespace, NamespaceMode, NamespaceOption, PodIp, PodSandboxConfig, PodSandboxNetworkStatus,
    PodSandboxState, PodSandboxStatus,
};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

/// The sandbox's choices of namespaces.
pub fn options(config: &PodSandboxConfig) -> NamespaceOption {
    let security = config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    security.and_then(|security| security.namespace_options.clone()).unwrap_or_default()
}

fn host_network(config: &PodSandboxConfig) -> bool {
    mode(options(config).network) == NamespaceMode::Node
}

pub fn cgroup_parent(config: &PodSandboxConfig) -> &str {
    config.linux.as_ref().map(|linux| linux.cgroup_parent.as_str()).unwrap_or_default()
}

/// The name inside the pod: its own, or the host's when it shares the host's network.
pub fn host_name(config: &PodSandboxConfig) -> String {
    if host_network(config) || config.hostname.is_empty() {
        return std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    }
    config.hostname.clone()
}

fn wanted(config: &PodSandboxConfig) -> Wanted {
    let options = options(config);
    let network = mode(options.network) != NamespaceMode::Node;
    Wanted {
        network,
        ipc: mode(options.ipc) != NamespaceMode::Node,
        host_name: network.then(|| host_name(config)),
        sysctls: config.linux.as_ref().map(|linux| linux.sysctls.clone()).unwrap_or_default(),
    }
}

impl Runtime {
    pub async fn run_sandbox(&self, config: PodSandboxConfig, handler: String) -> Outcome<String> {
        if !handler.is_empty() && handler != crate::service::NAME {
            return Err(Problem::invalid(format_args!("no runtime for {handler:?} is configured")));
        }
        if config.metadata.is_none() {
            return Err(Problem::invalid("sandbox config must have metadata"));
        }
        if options(&config).userns_options.is_some_and(|user| mode(user.mode) == NamespaceMode::Pod) {
            return Err(Problem::invalid("user namespaces are not supported by this runtime"));
        }
        let id = format!("{}{}", random_name(), random_name());
        let record = SandboxRecord { id: id.clone(), config, runtime_handler: handler, created_at_ns: now_ns(), ..Default::default() };
        let sandbox = Arc::new(Sandbox { record: Mutex::new(record), turn: Default::default() });
        std::fs::create_dir_all(self.sandbox_folder(&id)).doing("make the sandbox's folder")?;
        self.save_sandbox(&sandbox)?;
        if let Err(problem) = self.set_up(&sandbox).await {
            self.tear_down(&sandbox).await.ok();
            std::fs::remove_dir_all(self.sandbox_folder(&id)).ok();
            return Err(problem);
        }
        self.sandboxes.lock().insert(id.clone(), sandbox);
        self.tell(&id, ContainerEventType::ContainerCreatedEvent);
        self.tell(&id, ContainerEventType::ContainerStartedEvent);
        Ok(id)
    }

    async fn set_up(&self, sandbox: &Sandbox) -> Outcome<()> {
        let (id, config) = {
            let record = sandbox.record.lock();
            (record.id.clone(), record.config.clone())
        };
        let folder = self.sandbox_folder(&id);
        write_name_files(&folder, &config)?;
        let (place, namespaces) = (folder.clone(), wanted(&config));
        let made = tokio::task::spawn_blocking(move || namespaces::create(&place, &namespaces)).await;
        made.map_err(Problem::failed)??;
        if !host_network(&config) {
            // Noted first: whatever happens, it will be detached.
            sandbox.record.lock().network_attached = true;
            self.save_sandbox(sandbox)?;
            let addresses = self.config.network.attach(&self.network_of(sandbox)).await;
            let addresses = addresses.map_err(|why| Problem::failed(format_args!("failed to set up sandbox network: {why}")))?;
            sandbox.record.lock().addresses = addresses.iter().map(ToString::to_string).collect();
        }
        if mode(options(&config).pid) == NamespaceMode::Pod {
            let pid = self.start_init(&id, &config).await?;
            sandbox.record.lock().init_pid = pid;
        }
        sandbox.record.lock().ready = true;
        self.save_sandbox(sandbox)
    }

    /// The first process of the pod's process namespace, held by the keeper under the sandbox's id.
    async fn start_init(&self, id: &str, config: &PodSandboxConfig) -> Outcome<i32> {
        let folder = self.sandbox_folder(id);
        let mount_point = folder.join("empty");
        std::fs::create_dir_all(&mount_point).doing("make an empty root")?;
        let cgroup = self.cgroup_name(cgroup_parent(config), id);
        let spec = StartSpec {
            root: Root::Nothing,
            mount_point,
            namespaces: Namespaces { pid: PidNamespace::New, ..self.namespace_paths(id, config) },
            cgroups: self.cgroups.create(&cgroup)?,
            oom_score_adj: -998,
            ..Default::default()
        };
        record::save(&folder.join("spec.json"), &spec)?;
        let start = Start { id: id.to_owned(), folder, program: self.keeper.program().to_owned(), ..Default::default() };
        match self.keeper.ask(&Request::Start(start)).await? {
            Reply::Started(held) => Ok(held.pid),
            Reply::Failed(text) => Err(Problem::Failed(text)),
            other => Err(Problem::failed(format_args!("the keeper answered {other:?}"))),
        }
    }

    pub(crate) fn cgroup_name(&self, parent: &str, id: &str) -> String {
        let parent = if parent.is_empty() { &self.config.cgroup_root } else { parent };
        format!("{}/{id}", parent.trim_end_matches('/'))
    }

    /// What a container of the sandbox joins.
    pub(crate) fn namespace_paths(&self, id: &str, config: &PodSandboxConfig) -> Namespaces {
        let (folder, wanted) = (self.sandbox_folder(id), wanted(config));
        Namespaces {
            network: wanted.network.then(|| namespaces::network(&folder)),
            ipc: wanted.ipc.then(|| namespaces::ipc(&folder)),
            uts: wanted.host_name.is_some().then(|| namespaces::uts(&folder)),
            pid: PidNamespace::New,
        }
    }

    fn network_of(&self, sandbox: &Sandbox) -> SandboxNetwork {
        let record = sandbox.record.lock();
        let metadata = record.config.metadata.clone().unwrap_or_default();
        SandboxNetwork {
            id: record.id.clone(),
            namespace_path: namespaces::network(&self.sandbox_folder(&record.id)),
            pod_namespace: metadata.namespace,
            pod_name: metadata.name,
            pod_uid: metadata.uid,
            ports: record.config.port_mappings.iter().filter_map(port).collect(),
            annotations: record.config.annotations.clone().into_iter().collect(),
        }
    }

    pub async fn stop_sandbox(&self, id: &str) -> Outcome<()> {
        let Ok(sandbox) = self.sandbox(id) else { return Ok(()) };
        let _turn = sandbox.turn.lock().await;
        let id = sandbox.record.lock().id.clone();
        let stops = self.containers_of(&id).into_iter().map(|container| async move { self.stop(&container, 0).await });
        for stopped in futures::future::join_all(stops).await {
            stopped?;
        }
        self.tear_down(&sandbox).await
    }

    async fn tear_down(&self, sandbox: &Sandbox) -> Outcome<()> {
        let (id, init, attached, parent) = {
            let record = sandbox.record.lock();
            (record.id.clone(), record.init_pid != 0, record.network_attached, cgroup_parent(&record.config).to_owned())
        };
        if init || self.sandbox_folder(&id).join("spec.json").exists() {
            self.end_init(&id, &parent).await?;
        }
        if attached {
            let detached = self.config.network.detach(&self.network_of(sandbox)).await;
            detached.map_err(|why| Problem::failed(format_args!("failed to tear down sandbox network: {why}")))?;
        }
        namespaces::remove(&self.sandbox_folder(&id));
        let was_ready = {
            let mut record = sandbox.record.lock();
            record.network_attached = false;
            record.init_pid = 0;
            std::mem::replace(&mut record.ready, false)
        };
        self.save_sandbox(sandbox)?;
        if was_ready {
            self.tell(&id, ContainerEventType::ContainerStoppedEvent);
        }
        Ok(())
    }

    async fn end_init(&self, id: &str, parent: &str) -> Outcome<()> {
        self.let_go(id).await?;
        let cgroup = self.cgroup_name(parent, id);
        self.cgroups.remove(&cgroup).await;
        Ok(())
    }

    pub async fn remove_sandbox(&self, id: &str) -> Outcome<()> {
        let Ok(sandbox) = self.sandbox(id) else { return Ok(()) };
        let id = sandbox.record.lock().id.clone();
        self.stop_sandbox(&id).await?;
        for container in self.containers_of(&id) {
            let container = container.record.lock().id.clone();
            self.remove_container_by_id(&container).await?;
        }
        let folder = self.sandbox_folder(&id);
        namespaces::remove(&folder);
        std::fs::remove_dir_all(&folder).doing("remove the sandbox's folder")?;
        self.tell(&id, ContainerEventType::ContainerDeletedEvent);
        self.sandboxes.lock().remove(&id);
        Ok(())
    }

    pub fn sandbox_status(&self, sandbox: &Sandbox) -> PodSandboxStatus {
        let record = sandbox.record.lock();
        let mut addresses = record.addresses.iter();
        let network = PodSandboxNetworkStatus {
            ip: addresses.next().cloned().unwrap_or_default(),
            additional_ips: addresses.map(|ip| PodIp { ip: ip.clone() }).collect(),
        };
        PodSandboxStatus {
            id: record.id.clone(),
            metadata: record.config.metadata.clone(),
            state: state(&record) as i32,
            created_at: record.created_at_ns,
            network: Some(network),
            linux: Some(LinuxPodSandboxStatus { namespaces: Some(Namespace { options: Some(options(&record.config)) }) }),
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
            runtime_handler: record.runtime_handler.clone(),
        }
    }
}

pub fn state(record: &SandboxRecord) -> PodSandboxState {
    if record.ready { PodSandboxState::SandboxReady } else { PodSandboxState::SandboxNotready }
}

fn port(mapping: &cri::v1::PortMapping) -> Option<PortMapping> {
    let protocol = match cri::v1::Protocol::try_from(mapping.protocol).unwrap_or_default() {
        cri::v1::Protocol::Tcp => "tcp",
        cri::v1::Protocol::Udp => "udp",
        cri::v1::Protocol::Sctp => "sctp",
    };
    let host_port = u16::try_from(mapping.host_port).ok().filter(|port| *port != 0)?;
    Some(PortMapping { protocol, host_port, container_port: u16::try_from(mapping.container_port).ok()?, host_ip: mapping.host_ip.clone() })
}

fn write_name_files(folder: &Path, config: &PodSandboxConfig) -> Outcome<()> {
    std::fs::write(folder.join("hostname"), format!("{}\n", host_name(config))).doing("write the host name")?;
    let resolv = match &config.dns_config {
        Some(dns) => resolv_conf(dns),
        None => std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
    };
    std::fs::write(folder.join("resolv.conf"), resolv).doing("write resolv.conf")
}

fn resolv_conf(dns: &cri::v1::DnsConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text += &format!("search {}\n", dns.searches.join(" "));
    }
    for server in &dns.servers {
        text += &format!("nameserver {server}\n");
    }
    if !dns.options.is_empty() {
        text += &format!("options {}\n", dns.options.join(" "));
    }
    text
}
