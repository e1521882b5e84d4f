//! A runtime without containers: sandboxes and containers are entries in memory that "run" until they are stopped or told to
//! end. For simulations of many nodes, and for tests: it can be made to misbehave. It never touches the machine.
use async_trait::async_trait;
use cri::v1::*;
use cri::{Result, Status, Streaming};
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use stdx::clock::Clock;
use tokio::sync::{Notify, broadcast};

/// Events that a slow reader may be behind.
const MAX_EVENTS: usize = 1024;

pub struct Hollow {
    clock: Clock,
    state: Mutex<State>,
    events: broadcast::Sender<ContainerEventResponse>,
    /// Woken when a container ends.
    ended: Notify,
}

#[derive(Default)]
struct State {
    made: u64,
    sandboxes: BTreeMap<String, (PodSandboxConfig, PodSandboxStatus)>,
    containers: BTreeMap<String, Made>,
    images: BTreeMap<String, Image>,
    missing: BTreeSet<String>,
    failures: HashMap<&'static str, VecDeque<Status>>,
    exits: HashMap<String, i32>,
    stubborn: bool,
    calls: Vec<String>,
}

struct Made {
    sandbox_id: String,
    config: ContainerConfig,
    status: ContainerStatus,
}

impl Hollow {
    pub fn new(clock: Clock) -> Arc<Hollow> {
        let events = broadcast::Sender::new(MAX_EVENTS);
        Arc::new(Hollow { clock, state: Mutex::default(), events, ended: Notify::new() })
    }

    /// The next call of that name fails with `status`.
    pub fn fail(&self, call: &'static str, status: Status) {
        self.state.lock().failures.entry(call).or_default().push_back(status);
    }

    /// Images that cannot be pulled.
    pub fn lacks(&self, image: &str) {
        self.state.lock().missing.insert(image.into());
    }

    /// What an executed command ends with, by its first word; 0 unless said.
    pub fn exec_exits(&self, command: &str, code: i32) {
        self.state.lock().exits.insert(command.into(), code);
    }

    /// Containers take their whole grace to stop.
    pub fn stubborn(&self) {
        self.state.lock().stubborn = true;
    }

    /// The running container of that name ends by itself.
    pub fn exit(&self, name: &str, code: i32) -> bool {
        let running = ContainerState::ContainerRunning as i32;
        let found =
            self.find(|made| made.config.metadata.as_ref().is_some_and(|metadata| metadata.name == name) && made.status.state == running);
        match found {
            Some(id) => {
                self.end(&id, code, "");
                true
            }
            None => false,
        }
    }

    /// The configuration with which the newest container of that name was made.
    pub fn config(&self, name: &str) -> Option<ContainerConfig> {
        let state = self.state.lock();
        let named = |made: &&Made| made.config.metadata.as_ref().is_some_and(|metadata| metadata.name == name);
        state.containers.values().filter(named).max_by_key(|made| made.status.created_at).map(|made| made.config.clone())
    }

    /// Everything that was asked for and changed something, in order.
    pub fn calls(&self) -> Vec<String> {
        self.state.lock().calls.clone()
    }

    /// Ids of containers and sandboxes that are there.
    pub fn left(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.containers.len(), state.sandboxes.len())
    }

    fn find(&self, which: impl Fn(&Made) -> bool) -> Option<String> {
        self.state.lock().containers.iter().find(|(_, made)| which(made)).map(|(id, _)| id.clone())
    }

    fn now(&self) -> i64 {
        i64::try_from(self.clock.now().as_nanosecond()).unwrap_or(i64::MAX)
    }

    fn called(&self, call: &'static str, about: &str) -> Result<()> {
        let mut state = self.state.lock();
        state.calls.push(format!("{call} {about}").trim_end().to_string());
        match state.failures.get_mut(call).and_then(VecDeque::pop_front) {
            Some(status) => Err(status),
            None => Ok(()),
        }
    }

    fn end(&self, id: &str, code: i32, reason: &str) {
        let now = self.now();
        if let Some(made) = self.state.lock().containers.get_mut(id) {
            let status = &mut made.status;
            if status.state == ContainerState::ContainerExited as i32 {
                return;
            }
            (status.state, status.exit_code, status.finished_at) = (ContainerState::ContainerExited as i32, code, now);
            status.reason = match (reason, code) {
                ("", 0) => "Completed".into(),
                ("", _) => "Error".into(),
                (reason, _) => reason.into(),
            };
        }
        self.ended.notify_waiters();
        self.announce(id, ContainerEventType::ContainerStoppedEvent);
    }

    fn announce(&self, id: &str, kind: ContainerEventType) {
        let state = self.state.lock();
        let sandbox = state.containers.get(id).map(|made| made.sandbox_id.clone()).unwrap_or_else(|| id.to_string());
        let event = ContainerEventResponse {
            container_id: id.into(),
            container_event_type: kind as i32,
            created_at: self.now(),
            pod_sandbox_status: state.sandboxes.get(&sandbox).map(|(_, status)| status.clone()),
            containers_statuses: Vec::new(),
        };
        let _ = self.events.send(event);
    }
}

fn matches(labels: &HashMap<String, String>, selector: &HashMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn absent(what: &str, id: &str) -> Status {
    Status::not_found(format!("{what} {id} not found"))
}

#[async_trait]
impl cri::Runtime for Hollow {
    async fn version(&self, _: VersionRequest) -> Result<VersionResponse> {
        Ok(VersionResponse {
            version: "0.1.0".into(),
            runtime_name: "hollow".into(),
            runtime_version: "1".into(),
            runtime_api_version: "v1".into(),
        })
    }

    async fn status(&self, _: StatusRequest) -> Result<StatusResponse> {
        let condition = |kind: &str| RuntimeCondition { r#type: kind.into(), status: true, ..RuntimeCondition::default() };
        let conditions = vec![condition(cri::condition::RUNTIME_READY), condition(cri::condition::NETWORK_READY)];
        Ok(StatusResponse { status: Some(RuntimeStatus { conditions }), ..StatusResponse::default() })
    }

    async fn run_pod_sandbox(&self, request: RunPodSandboxRequest) -> Result<RunPodSandboxResponse> {
        let config = request.config.unwrap_or_default();
        let metadata = config.metadata.clone().unwrap_or_default();
        self.called("run_pod_sandbox", &metadata.name)?;
        let id = {
            let mut state = self.state.lock();
            state.made += 1;
            let (id, ip) = (format!("sandbox{}", state.made), format!("10.88.{}.{}", state.made / 250, state.made % 250 + 2));
            let options = config
                .linux
                .as_ref()
                .and_then(|linux| linux.security_context.as_ref())
                .and_then(|context| context.namespace_options.clone());
            let host = options.as_ref().is_some_and(|options| options.network == NamespaceMode::Node as i32);
            let status = PodSandboxStatus {
                id: id.clone(),
                metadata: Some(metadata),
                state: PodSandboxState::SandboxReady as i32,
                created_at: self.now(),
                network: Some(PodSandboxNetworkStatus { ip: if host { String::new() } else { ip }, additional_ips: Vec::new() }),
                linux: Some(LinuxPodSandboxStatus { namespaces: Some(Namespace { options }) }),
                labels: config.labels.clone(),
                annotations: config.annotations.clone(),
                runtime_handler: request.runtime_handler,
            };
            state.sandboxes.insert(id.clone(), (config, status));
            id
        };
        self.announce(&id, ContainerEventType::ContainerStartedEvent);
        Ok(RunPodSandboxResponse { pod_sandbox_id: id })
    }

    async fn stop_pod_sandbox(&self, request: StopPodSandboxRequest) -> Result<StopPodSandboxResponse> {
        let id = request.pod_sandbox_id;
        self.called("stop_pod_sandbox", &id)?;
        let inside: Vec<String> = {
            let state = self.state.lock();
            state.containers.iter().filter(|(_, made)| made.sandbox_id == id).map(|(id, _)| id.clone()).collect()
        };
        inside.iter().for_each(|id| self.end(id, 137, ""));
        if let Some((_, status)) = self.state.lock().sandboxes.get_mut(&id) {
            status.state = PodSandboxState::SandboxNotready as i32;
        }
        self.announce(&id, ContainerEventType::ContainerStoppedEvent);
        Ok(StopPodSandboxResponse {})
    }

    async fn remove_pod_sandbox(&self, request: RemovePodSandboxRequest) -> Result<RemovePodSandboxResponse> {
        self.called("remove_pod_sandbox", &request.pod_sandbox_id)?;
        let mut state = self.state.lock();
        state.sandboxes.remove(&request.pod_sandbox_id);
        state.containers.retain(|_, made| made.sandbox_id != request.pod_sandbox_id);
        Ok(RemovePodSandboxResponse {})
    }

    async fn pod_sandbox_status(&self, request: PodSandboxStatusRequest) -> Result<PodSandboxStatusResponse> {
        let state = self.state.lock();
        let (_, status) = state.sandboxes.get(&request.pod_sandbox_id).ok_or_else(|| absent("sandbox", &request.pod_sandbox_id))?;
        Ok(PodSandboxStatusResponse { status: Some(status.clone()), ..PodSandboxStatusResponse::default() })
    }

    async fn list_pod_sandbox(&self, request: ListPodSandboxRequest) -> Result<ListPodSandboxResponse> {
        let filter = request.filter.unwrap_or_default();
        let state = self.state.lock();
        let one = |(_, status): &(PodSandboxConfig, PodSandboxStatus)| PodSandbox {
            id: status.id.clone(),
            metadata: status.metadata.clone(),
            state: status.state,
            created_at: status.created_at,
            labels: status.labels.clone(),
            annotations: status.annotations.clone(),
            runtime_handler: status.runtime_handler.clone(),
        };
        let chosen = state.sandboxes.values().filter(|(_, status)| matches(&status.labels, &filter.label_selector));
        Ok(ListPodSandboxResponse { items: chosen.map(one).collect() })
    }

    async fn create_container(&self, request: CreateContainerRequest) -> Result<CreateContainerResponse> {
        let config = request.config.unwrap_or_default();
        let metadata = config.metadata.clone().unwrap_or_default();
        self.called("create_container", &metadata.name)?;
        let logs = request.sandbox_config.unwrap_or_default().log_directory;
        let mut state = self.state.lock();
        if state.sandboxes.get(&request.pod_sandbox_id).is_none_or(|(_, status)| status.state != PodSandboxState::SandboxReady as i32) {
            return Err(absent("sandbox", &request.pod_sandbox_id));
        }
        state.made += 1;
        let id = format!("container{}", state.made);
        let image = config.image.clone().unwrap_or_default();
        let status = ContainerStatus {
            id: id.clone(),
            metadata: Some(metadata),
            state: ContainerState::ContainerCreated as i32,
            created_at: self.now(),
            image_ref: image.image.clone(),
            image: Some(image),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            mounts: config.mounts.clone(),
            log_path: format!("{logs}/{}", config.log_path),
            ..ContainerStatus::default()
        };
        state.containers.insert(id.clone(), Made { sandbox_id: request.pod_sandbox_id, config, status });
        Ok(CreateContainerResponse { container_id: id })
    }

    async fn start_container(&self, request: StartContainerRequest) -> Result<StartContainerResponse> {
        let id = request.container_id;
        self.called("start_container", &id)?;
        let now = self.now();
        {
            let mut state = self.state.lock();
            let made = state.containers.get_mut(&id).ok_or_else(|| absent("container", &id))?;
            (made.status.state, made.status.started_at) = (ContainerState::ContainerRunning as i32, now);
        }
        self.announce(&id, ContainerEventType::ContainerStartedEvent);
        Ok(StartContainerResponse {})
    }

    async fn stop_container(&self, request: StopContainerRequest) -> Result<StopContainerResponse> {
        let id = request.container_id;
        let name = self.state.lock().containers.get(&id).and_then(|made| made.config.metadata.clone()).unwrap_or_default().name;
        self.called("stop_container", &format!("{name} {}s", request.timeout))?;
        let stubborn = self.state.lock().stubborn;
        if stubborn {
            self.clock.sleep(std::time::Duration::from_secs(request.timeout.max(0) as u64)).await;
        }
        self.end(&id, if stubborn { 137 } else { 0 }, "");
        Ok(StopContainerResponse {})
    }

    async fn remove_container(&self, request: RemoveContainerRequest) -> Result<RemoveContainerResponse> {
        self.called("remove_container", &request.container_id)?;
        self.state.lock().containers.remove(&request.container_id);
        Ok(RemoveContainerResponse {})
    }

    async fn list_containers(&self, request: ListContainersRequest) -> Result<ListContainersResponse> {
        let filter = request.filter.unwrap_or_default();
        let state = self.state.lock();
        let one = |made: &Made| Container {
            id: made.status.id.clone(),
            pod_sandbox_id: made.sandbox_id.clone(),
            metadata: made.status.metadata.clone(),
            image: made.status.image.clone(),
            image_ref: made.status.image_ref.clone(),
            state: made.status.state,
            created_at: made.status.created_at,
            labels: made.status.labels.clone(),
            annotations: made.status.annotations.clone(),
            image_id: made.status.image_ref.clone(),
        };
        let chosen = state.containers.values().filter(|made| matches(&made.status.labels, &filter.label_selector));
        Ok(ListContainersResponse { containers: chosen.map(one).collect() })
    }

    async fn container_status(&self, request: ContainerStatusRequest) -> Result<ContainerStatusResponse> {
        let state = self.state.lock();
        let made = state.containers.get(&request.container_id).ok_or_else(|| absent("container", &request.container_id))?;
        Ok(ContainerStatusResponse { status: Some(made.status.clone()), ..ContainerStatusResponse::default() })
    }

    async fn exec_sync(&self, request: ExecSyncRequest) -> Result<ExecSyncResponse> {
        let command = request.cmd.first().cloned().unwrap_or_default();
        let code = self.state.lock().exits.get(&command).copied().unwrap_or(0);
        Ok(ExecSyncResponse { exit_code: code, stdout: command.into_bytes(), stderr: Vec::new() })
    }

    async fn get_container_events(&self, _: GetEventsRequest) -> Result<Streaming<ContainerEventResponse>> {
        let receiver = self.events.subscribe();
        let stream = futures::stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(event) => Some((Ok(event), receiver)),
                // A reader that is too far behind begins anew.
                Err(_) => None,
            }
        });
        Ok(stream.boxed())
    }
}

#[async_trait]
impl cri::Images for Hollow {
    async fn list_images(&self, _: ListImagesRequest) -> Result<ListImagesResponse> {
        Ok(ListImagesResponse { images: self.state.lock().images.values().cloned().collect() })
    }

    async fn image_status(&self, request: ImageStatusRequest) -> Result<ImageStatusResponse> {
        let name = request.image.unwrap_or_default().image;
        let image = self.state.lock().images.values().find(|image| image.id == name || image.repo_tags.contains(&name)).cloned();
        Ok(ImageStatusResponse { image, ..ImageStatusResponse::default() })
    }

    async fn pull_image(&self, request: PullImageRequest) -> Result<PullImageResponse> {
        let name = request.image.unwrap_or_default().image;
        self.called("pull_image", &name)?;
        let mut state = self.state.lock();
        if state.missing.contains(&name) {
            return Err(Status::not_found(format!("failed to pull and unpack image \"{name}\": not found")));
        }
        let id = format!("sha256:{name}");
        let image = Image { id: id.clone(), repo_tags: vec![name.clone()], size: 1000, ..Image::default() };
        state.images.insert(name, image);
        Ok(PullImageResponse { image_ref: id })
    }

    async fn remove_image(&self, request: RemoveImageRequest) -> Result<RemoveImageResponse> {
        let name = request.image.unwrap_or_default().image;
        self.state.lock().images.retain(|tag, image| *tag != name && image.id != name);
        Ok(RemoveImageResponse {})
    }
}
