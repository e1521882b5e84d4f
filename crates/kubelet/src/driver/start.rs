//! Makes sandboxes and starts containers: everything is resolved here and handed to the runtime.
use super::images::{Ready, Request};
use super::shared::{Cancel, Shared, to_the_end};
use crate::pod::effect::{Kill, Start, Waiting};
use crate::pod::observed::Observed;
use crate::pod::view::PodView;
use crate::spec::env::{self, Objects};
use crate::spec::{container, dns, quantity, sandbox};
use crate::volumes::mounts;
use cri::v1::{
    ContainerConfig, CreateContainerRequest, PodSandboxConfig, RunPodSandboxRequest, StartContainerRequest, UpdateContainerResourcesRequest,
};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// How long a start waits for the first list of services.
const SERVICES_LIMIT: Duration = Duration::from_secs(5);

impl Shared {
    pub fn logs_root(&self) -> String {
        self.settings.pod_logs_dir.to_string_lossy().into_owned()
    }

    pub fn sandbox_config(&self, pod: &Pod, attempt: u32) -> Result<PodSandboxConfig, String> {
        let settings = &self.settings;
        let hostname = dns::node_name(pod, &settings.cluster_domain)?;
        let dns = dns::config(pod, &self.resolver(), &settings.cluster_dns, &settings.cluster_domain);
        Ok(sandbox::config(pod, attempt, &hostname, dns, &self.logs_root(), &self.cgroups.parent(pod)))
    }

    pub async fn create_sandbox(&self, pod: &Pod, attempt: u32) -> Result<String, String> {
        let made = self.run_sandbox(pod, attempt).await;
        if let Err(error) = &made {
            self.event(pod, true, "FailedCreatePodSandBox", &format!("Failed to create pod sandbox: {error}"), None);
        }
        made
    }

    async fn run_sandbox(&self, pod: &Pod, attempt: u32) -> Result<String, String> {
        let config = self.sandbox_config(pod, attempt)?;
        fs::create_dir_all(&config.log_directory).map_err(|error| format!("create pod log directory: {error}"))?;
        let runtime_handler = self.runtime_handler(pod).await?;
        let _slot = self.sandboxes.acquire().await;
        let (runtime, request) = (self.runtime.clone(), RunPodSandboxRequest { config: Some(config), runtime_handler });
        let answer = to_the_end(async move { runtime.run_pod_sandbox(request).await }).await;
        match answer {
            Ok(answer) => Ok(answer.pod_sandbox_id),
            Err(status) => Err(format!("rpc error: code = {:?} desc = {}", status.code(), status.message())),
        }
    }

    async fn runtime_handler(&self, pod: &Pod) -> Result<String, String> {
        let Some(name) = pod.pod_spec().runtime_class_name.as_deref().filter(|name| !name.is_empty()) else { return Ok(String::new()) };
        let found = self.client.find::<k8s_openapi::api::node::v1::RuntimeClass>("", name).await.map_err(|error| error.to_string())?;
        found.map(|class| class.handler.clone()).ok_or_else(|| format!("RuntimeClass.node.k8s.io \"{name}\" not found"))
    }

    /// Starts one container; says its id, or why it waits; `None` when it was cancelled before the container was made.
    pub async fn start(&self, pod: &Pod, observed: &Observed, start: &Start, cancel: &Cancel) -> Option<Result<String, Waiting>> {
        let resolved = match cancel.unless(self.resolve(pod, observed, start)).await? {
            Ok(resolved) => resolved,
            Err(waiting) => return Some(Err(waiting)),
        };
        let (container, config, sandbox) = resolved;
        match self.run(pod, start, config, sandbox).await {
            Ok(id) => Some(self.post_start(pod, &container, observed, id, cancel).await),
            Err(waiting) => Some(Err(waiting)),
        }
    }

    /// Everything that a container needs before it can be made: its image first.
    async fn resolve(
        &self,
        pod: &Pod,
        observed: &Observed,
        start: &Start,
    ) -> Result<(Container, ContainerConfig, PodSandboxConfig), Waiting> {
        let Some((_, container)) = pod.container(&start.name) else {
            return Err(Waiting::new("CreateContainerConfigError", format!("container {} is not in the pod", start.name)));
        };
        let config = |error: String| {
            self.event(pod, true, "Failed", &format!("Error: {error}"), Some(&start.name));
            Waiting::new("CreateContainerConfigError", error)
        };
        let sandbox = self.sandbox_config(pod, start.sandbox_attempt).map_err(config)?;
        let ready = self.container_image(pod, &container, start, &sandbox).await?;
        let images = self.image_volumes(pod, &container, start, &sandbox).await?;
        let made = self.container_config(pod, observed, &container, start, ready, images).await.map_err(config)?;
        Ok((container, made, sandbox))
    }

    async fn container_image(&self, pod: &Pod, container: &Container, start: &Start, sandbox: &PodSandboxConfig) -> Result<Ready, Waiting> {
        let request = Request {
            pod,
            container: &start.name,
            image: container.image.as_deref().unwrap_or_default(),
            policy: container.image_pull_policy.as_deref().unwrap_or("IfNotPresent"),
            sandbox: sandbox.clone(),
            pull_after: start.pull_after.as_ref(),
        };
        let result = self.image(request).await;
        if let Err(waiting) = &result {
            self.event(pod, true, "Failed", &format!("Error: {}", waiting.reason), Some(&start.name));
        }
        result
    }

    /// Images that are mounted as volumes, by volume name.
    async fn image_volumes(
        &self,
        pod: &Pod,
        container: &Container,
        start: &Start,
        sandbox: &PodSandboxConfig,
    ) -> Result<HashMap<String, String>, Waiting> {
        let mut found = HashMap::new();
        for volume in pod.pod_spec().volumes.iter().flatten() {
            let Some(source) = &volume.image else { continue };
            if !container.volume_mounts.iter().flatten().any(|mount| mount.name == volume.name) {
                continue;
            }
            let request = Request {
                pod,
                container: &start.name,
                image: source.reference.as_deref().unwrap_or_default(),
                policy: source.pull_policy.as_deref().unwrap_or("IfNotPresent"),
                sandbox: sandbox.clone(),
                pull_after: start.pull_after.as_ref(),
            };
            found.insert(volume.name.clone(), self.image(request).await?.image_ref);
        }
        Ok(found)
    }

    async fn container_config(
        &self,
        pod: &Pod,
        observed: &Observed,
        container: &Container,
        start: &Start,
        image: Ready,
        images: HashMap<String, String>,
    ) -> Result<ContainerConfig, String> {
        let restart_count = start.restart_count.unwrap_or_else(|| self.logged_restarts(pod, &start.name));
        let ips = observed.sandboxes.first().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
        let facts = self.facts(pod, &ips);
        let objects = self.env_objects(pod, container).await?;
        let env = env::env(pod, container, &facts, &objects)?;
        let (hostname, domain) = dns::names(pod, &self.settings.cluster_domain)?;
        let node_hosts = pod.is_host_network().then(|| fs::read_to_string(&self.settings.hosts_file).unwrap_or_default());
        let hosts = dns::hosts(pod, &facts.pod_ips, &hostname, &domain, node_hosts.as_deref());
        let token = format!("{:08x}", self.random.u64(0..=u64::from(u32::MAX)));
        let mounts = mounts::Start { pod, container, env: &env, hosts: Some(hosts), images: &images, token };
        let mounts = self.volumes.container_mounts(&mounts).await?;
        let dir = format!("{}/{}", sandbox::log_directory(&self.logs_root(), pod), container.name);
        fs::create_dir_all(&dir)
            .map_err(|error| format!("create container log directory for container {} failed: {error}", container.name))?;
        let inputs = container::Inputs {
            restart_count,
            image_ref: image.image_ref,
            image_user: image.user,
            env,
            mounts,
            target: self.target(pod, observed, &start.name)?,
            seccomp_root: self.settings.root_dir.join("seccomp").to_string_lossy().into_owned(),
            memory_capacity: quantity::value_of(Some(&self.machine.read().capacity), "memory"),
            cgroup_v2: self.cgroups.v2,
        };
        container::config(pod, container, inputs)
    }

    /// The container whose processes an ephemeral container is to see.
    fn target(&self, pod: &Pod, observed: &Observed, name: &str) -> Result<Option<String>, String> {
        let ephemeral = pod.ephemeral().iter().find(|ephemeral| ephemeral.name == name);
        let Some(target) = ephemeral.and_then(|own| own.target_container_name.as_deref()).filter(|target| !target.is_empty()) else {
            return Ok(None);
        };
        let seen = observed.latest(target).ok_or_else(|| format!("unable to find target container {target}"))?;
        Ok(Some(seen.id.clone()))
    }

    /// Logs that are left tell how often a container ran that the runtime has forgotten.
    fn logged_restarts(&self, pod: &Pod, name: &str) -> u32 {
        let dir = format!("{}/{name}", sandbox::log_directory(&self.logs_root(), pod));
        let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let counts = names.filter_map(|name| name.split_once(".log").and_then(|(count, _)| count.parse::<u32>().ok()));
        counts.map(|count| count + 1).max().unwrap_or(0)
    }

    async fn env_objects(&self, pod: &Pod, container: &Container) -> Result<Objects, String> {
        let namespace = pod.pod_namespace();
        let (maps, secrets) = env::needs(container);
        if !pod.is_static() && tokio::time::timeout(SERVICES_LIMIT, self.services.synced()).await.is_err() {
            return Err("services have not yet been read at least once, cannot construct envvars".into());
        }
        let mut objects = Objects { services: self.services.cache.all(), ..Objects::default() };
        for name in maps {
            let found = self.client.find::<ConfigMap>(namespace, &name).await.map_err(|error| error.to_string())?;
            objects.config_maps.extend(found.map(|map| (name, map)));
        }
        for name in secrets {
            let found = self.client.find::<Secret>(namespace, &name).await.map_err(|error| error.to_string())?;
            objects.secrets.extend(found.map(|secret| (name, secret)));
        }
        Ok(objects)
    }

    async fn run(&self, pod: &Pod, start: &Start, config: ContainerConfig, sandbox: PodSandboxConfig) -> Result<String, Waiting> {
        let name = start.name.as_str();
        let failed = |reason: &str, status: cri::Status| {
            self.event(pod, true, "Failed", &format!("Error: {}", status.message()), Some(name));
            Waiting::new(reason, status.message())
        };
        let request =
            CreateContainerRequest { pod_sandbox_id: start.sandbox_id.clone(), config: Some(config), sandbox_config: Some(sandbox) };
        let runtime = self.runtime.clone();
        let id = to_the_end(async move { runtime.create_container(request).await })
            .await
            .map_err(|status| failed("CreateContainerError", status))?
            .container_id;
        self.event(pod, false, "Created", "Container created", Some(name));
        let (runtime, request) = (self.runtime.clone(), StartContainerRequest { container_id: id.clone() });
        to_the_end(async move { runtime.start_container(request).await }).await.map_err(|status| failed("RunContainerError", status))?;
        self.event(pod, false, "Started", "Container started", Some(name));
        Ok(id)
    }

    /// Runs the postStart hook, if there is one; a container whose hook fails is killed.
    async fn post_start(
        &self,
        pod: &Pod,
        container: &Container,
        observed: &Observed,
        id: String,
        cancel: &Cancel,
    ) -> Result<String, Waiting> {
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(hook) = hook else { return Ok(id) };
        let name = &container.name;
        let host = pod.is_host_network().then(|| self.node_facts().ips.first().cloned()).flatten();
        let own = || observed.sandboxes.first().and_then(|sandbox| sandbox.ips.first()).cloned();
        let ip = host.or_else(own).unwrap_or_default();
        let Some(Err(error)) = cancel.unless(self.run_hook(pod, container, &id, &ip, hook)).await else { return Ok(id) };
        self.event(pod, true, "FailedPostStartHook", "PostStartHook failed", Some(name));
        let kill = Kill { id, name: name.clone(), message: "FailedPostStartHook".into(), grace_seconds: pod.grace_seconds() };
        let _ = self.kill_alone(pod, &ip, &kill).await;
        Err(Waiting::new("PostStartHookError", error))
    }

    /// Brings a running container's cgroup to what the spec says.
    pub async fn resize(&self, pod: &Pod, id: &str, name: &str) -> Result<(), String> {
        let Some((_, container)) = pod.container(name) else { return Ok(()) };
        self.cgroups.make(pod);
        let capacity = quantity::value_of(Some(&self.machine.read().capacity), "memory");
        let linux = Some(container::linux_resources(pod, &container, capacity, self.cgroups.v2));
        let request = UpdateContainerResourcesRequest { container_id: id.into(), linux, ..UpdateContainerResourcesRequest::default() };
        match self.runtime.update_container_resources(request).await {
            Ok(_) => {
                self.event(pod, false, "ResizeCompleted", "Pod resize completed", None);
                Ok(())
            }
            Err(status) => {
                self.event(pod, true, "ResizeError", &format!("Pod resize error: {}", status.message()), None);
                Err(status.message().into())
            }
        }
    }
}
