//! The runtime service of CRI on the runtime: each call in a few lines, the work being elsewhere.
use crate::containers;
use crate::problem::Problem;
use crate::record::{ContainerRecord, SandboxRecord};
use crate::runtime::{Runtime, now_ns};
use crate::sandboxes;
use crate::streaming::Asked;
use async_trait::async_trait;
use cri::v1::*;
use cri::{Result, Status, Streaming, condition};
use std::collections::HashMap;
use std::time::Duration;

pub const NAME: &str = "coxswain";

/// How many items one message of a streamed list holds.
const LIST_CHUNK: usize = 100;

fn has_labels(labels: &HashMap<String, String>, selector: &HashMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn id_fits(id: &str, wanted: &str) -> bool {
    wanted.is_empty() || id == wanted || (wanted.len() >= 8 && id.starts_with(wanted))
}

fn sandbox_fits(record: &SandboxRecord, filter: &PodSandboxFilter) -> bool {
    let state = filter.state.as_ref().is_none_or(|wanted| wanted.state == sandboxes::state(record) as i32);
    id_fits(&record.id, &filter.id) && state && has_labels(&record.config.labels, &filter.label_selector)
}

fn container_fits(record: &ContainerRecord, filter: &ContainerFilter) -> bool {
    let state = filter.state.as_ref().is_none_or(|wanted| wanted.state == containers::state(record) as i32);
    let ids = id_fits(&record.id, &filter.id) && id_fits(&record.sandbox, &filter.pod_sandbox_id);
    ids && state && has_labels(&record.config.labels, &filter.label_selector)
}

impl Runtime {
    fn list_sandboxes(&self, filter: Option<PodSandboxFilter>) -> Vec<PodSandbox> {
        let filter = filter.unwrap_or_default();
        let all: Vec<_> = self.sandboxes.lock().values().cloned().collect();
        let shown = |record: &SandboxRecord| PodSandbox {
            id: record.id.clone(),
            metadata: record.config.metadata.clone(),
            state: sandboxes::state(record) as i32,
            created_at: record.created_at_ns,
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
            runtime_handler: record.runtime_handler.clone(),
        };
        all.iter().map(|one| one.record.lock()).filter(|record| sandbox_fits(record, &filter)).map(|record| shown(&record)).collect()
    }

    fn list_all_containers(&self, filter: Option<ContainerFilter>) -> Vec<Container> {
        let filter = filter.unwrap_or_default();
        let all: Vec<_> = self.containers.lock().values().cloned().collect();
        let shown = |record: &ContainerRecord| Container {
            id: record.id.clone(),
            pod_sandbox_id: record.sandbox.clone(),
            metadata: record.config.metadata.clone(),
            image: record.config.image.clone(),
            image_ref: record.image_reference.clone(),
            state: containers::state(record) as i32,
            created_at: record.created_at_ns,
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
            image_id: record.image_id.clone(),
        };
        all.iter().map(|one| one.record.lock()).filter(|record| container_fits(record, &filter)).map(|record| shown(&record)).collect()
    }

    fn all_container_stats(&self, filter: Option<ContainerStatsFilter>) -> Vec<ContainerStats> {
        let filter = filter.unwrap_or_default();
        let filter =
            ContainerFilter { id: filter.id, pod_sandbox_id: filter.pod_sandbox_id, label_selector: filter.label_selector, state: None };
        let all: Vec<_> = self.containers.lock().values().cloned().collect();
        let running = |record: &ContainerRecord| record.is_running() && container_fits(record, &filter);
        all.iter().filter(|one| running(&one.record.lock())).map(|one| self.container_stats(one)).collect()
    }

    fn all_sandbox_stats(&self, filter: Option<PodSandboxStatsFilter>) -> Vec<PodSandboxStats> {
        let filter = filter.unwrap_or_default();
        let filter = PodSandboxFilter { id: filter.id, label_selector: filter.label_selector, state: None };
        let all: Vec<_> = self.sandboxes.lock().values().cloned().collect();
        let ready = |record: &SandboxRecord| record.ready && sandbox_fits(record, &filter);
        all.iter().filter(|one| ready(&one.record.lock())).map(|one| self.sandbox_stats(one)).collect()
    }
}

/// A list in messages of bounded length.
pub(crate) fn chunks<T: Clone + Send + 'static, R: Send + 'static>(
    items: Vec<T>,
    wrap: impl Fn(Vec<T>) -> R + Send + 'static,
) -> Streaming<R> {
    let messages: Vec<Result<R>> = items.chunks(LIST_CHUNK).map(|chunk| Ok(wrap(chunk.to_vec()))).collect();
    Box::pin(futures::stream::iter(messages))
}

#[async_trait]
impl cri::Runtime for Runtime {
    async fn version(&self, _: VersionRequest) -> Result<VersionResponse> {
        Ok(VersionResponse {
            version: "0.1.0".into(),
            runtime_name: NAME.into(),
            runtime_version: env!("CARGO_PKG_VERSION").into(),
            runtime_api_version: "v1".into(),
        })
    }

    async fn run_pod_sandbox(&self, request: RunPodSandboxRequest) -> Result<RunPodSandboxResponse> {
        let config = request.config.ok_or_else(|| Status::invalid_argument("no sandbox config"))?;
        let pod_sandbox_id = self.run_sandbox(config, request.runtime_handler).await?;
        Ok(RunPodSandboxResponse { pod_sandbox_id })
    }

    async fn stop_pod_sandbox(&self, request: StopPodSandboxRequest) -> Result<StopPodSandboxResponse> {
        self.stop_sandbox(&request.pod_sandbox_id).await?;
        Ok(StopPodSandboxResponse {})
    }

    async fn remove_pod_sandbox(&self, request: RemovePodSandboxRequest) -> Result<RemovePodSandboxResponse> {
        self.remove_sandbox(&request.pod_sandbox_id).await?;
        Ok(RemovePodSandboxResponse {})
    }

    async fn pod_sandbox_status(&self, request: PodSandboxStatusRequest) -> Result<PodSandboxStatusResponse> {
        let sandbox = self.sandbox(&request.pod_sandbox_id)?;
        let status = self.sandbox_status(&sandbox);
        let containers_statuses = self.containers_of(&status.id).iter().map(|one| self.container_status(one)).collect();
        Ok(PodSandboxStatusResponse { status: Some(status), containers_statuses, timestamp: now_ns(), ..Default::default() })
    }

    async fn list_pod_sandbox(&self, request: ListPodSandboxRequest) -> Result<ListPodSandboxResponse> {
        Ok(ListPodSandboxResponse { items: self.list_sandboxes(request.filter) })
    }

    async fn create_container(&self, request: CreateContainerRequest) -> Result<CreateContainerResponse> {
        let config = request.config.ok_or_else(|| Status::invalid_argument("no container config"))?;
        let container_id = self.create(&request.pod_sandbox_id, config).await?;
        Ok(CreateContainerResponse { container_id })
    }

    async fn start_container(&self, request: StartContainerRequest) -> Result<StartContainerResponse> {
        self.start(&request.container_id).await?;
        Ok(StartContainerResponse {})
    }

    async fn stop_container(&self, request: StopContainerRequest) -> Result<StopContainerResponse> {
        self.stop_by_id(&request.container_id, request.timeout).await?;
        Ok(StopContainerResponse {})
    }

    async fn remove_container(&self, request: RemoveContainerRequest) -> Result<RemoveContainerResponse> {
        self.remove_container_by_id(&request.container_id).await?;
        Ok(RemoveContainerResponse {})
    }

    async fn list_containers(&self, request: ListContainersRequest) -> Result<ListContainersResponse> {
        Ok(ListContainersResponse { containers: self.list_all_containers(request.filter) })
    }

    async fn container_status(&self, request: ContainerStatusRequest) -> Result<ContainerStatusResponse> {
        let container = self.container(&request.container_id)?;
        Ok(ContainerStatusResponse { status: Some(Runtime::container_status(self, &container)), ..Default::default() })
    }

    async fn update_container_resources(&self, request: UpdateContainerResourcesRequest) -> Result<UpdateContainerResourcesResponse> {
        if let Some(wanted) = &request.linux {
            self.update(&request.container_id, wanted)?;
        }
        Ok(UpdateContainerResourcesResponse {})
    }

    async fn reopen_container_log(&self, request: ReopenContainerLogRequest) -> Result<ReopenContainerLogResponse> {
        self.reopen_log(&request.container_id).await?;
        Ok(ReopenContainerLogResponse {})
    }

    async fn exec_sync(&self, request: ExecSyncRequest) -> Result<ExecSyncResponse> {
        let limit = (request.timeout > 0).then(|| Duration::from_secs(request.timeout as u64));
        match self.exec_and_wait(&request.container_id, &request.cmd, limit).await {
            Ok(Some((stdout, stderr, exit_code))) => Ok(ExecSyncResponse { stdout, stderr, exit_code }),
            Ok(None) => Err(Status::deadline_exceeded(format!("failed to exec in container: timeout {}s exceeded", request.timeout))),
            Err(problem @ Problem::NotFound(_)) => Err(problem.into()),
            Err(problem) => Err(Status::unknown(format!("failed to exec in container: {problem}"))),
        }
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecResponse> {
        if request.tty && request.stderr {
            return Err(Status::invalid_argument("tty and stderr cannot both be true"));
        }
        if !(request.stdin || request.stdout || request.stderr) {
            return Err(Status::invalid_argument("one of stdin, stdout, or stderr must be set"));
        }
        running(self, &request.container_id)?;
        Ok(ExecResponse { url: self.streams.issue(Asked::Exec(request))? })
    }

    async fn attach(&self, request: AttachRequest) -> Result<AttachResponse> {
        if request.tty && request.stderr {
            return Err(Status::invalid_argument("tty and stderr cannot both be true"));
        }
        running(self, &request.container_id)?;
        Ok(AttachResponse { url: self.streams.issue(Asked::Attach(request))? })
    }

    async fn port_forward(&self, request: PortForwardRequest) -> Result<PortForwardResponse> {
        self.sandbox(&request.pod_sandbox_id)?;
        Ok(PortForwardResponse { url: self.streams.issue(Asked::PortForward(request))? })
    }

    async fn container_stats(&self, request: ContainerStatsRequest) -> Result<ContainerStatsResponse> {
        let container = self.container(&request.container_id)?;
        Ok(ContainerStatsResponse { stats: Some(Runtime::container_stats(self, &container)) })
    }

    async fn list_container_stats(&self, request: ListContainerStatsRequest) -> Result<ListContainerStatsResponse> {
        Ok(ListContainerStatsResponse { stats: self.all_container_stats(request.filter) })
    }

    async fn pod_sandbox_stats(&self, request: PodSandboxStatsRequest) -> Result<PodSandboxStatsResponse> {
        let sandbox = self.sandbox(&request.pod_sandbox_id)?;
        Ok(PodSandboxStatsResponse { stats: Some(self.sandbox_stats(&sandbox)) })
    }

    async fn list_pod_sandbox_stats(&self, request: ListPodSandboxStatsRequest) -> Result<ListPodSandboxStatsResponse> {
        Ok(ListPodSandboxStatsResponse { stats: self.all_sandbox_stats(request.filter) })
    }

    async fn update_runtime_config(&self, request: UpdateRuntimeConfigRequest) -> Result<UpdateRuntimeConfigResponse> {
        let cidr = request.runtime_config.and_then(|config| config.network_config).map(|network| network.pod_cidr).unwrap_or_default();
        if !cidr.is_empty() {
            self.config.network.set_pod_cidr(&cidr).await.map_err(Status::unknown)?;
        }
        Ok(UpdateRuntimeConfigResponse {})
    }

    async fn status(&self, _: StatusRequest) -> Result<StatusResponse> {
        let network = self.config.network.ready().await;
        let runtime = self.keeper.ensure().await.map_err(|problem| problem.to_string());
        let condition = |kind: &str, state: std::result::Result<(), String>, reason: &str| RuntimeCondition {
            r#type: kind.into(),
            status: state.is_ok(),
            reason: if state.is_ok() { String::new() } else { reason.into() },
            message: state.err().unwrap_or_default(),
        };
        let conditions = vec![
            condition(condition::RUNTIME_READY, runtime, "KeeperNotReady"),
            condition(condition::NETWORK_READY, network, "NetworkPluginNotReady"),
        ];
        let features = RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: false };
        let handler = |name: &str| RuntimeHandler { name: name.into(), features: Some(features) };
        Ok(StatusResponse {
            status: Some(RuntimeStatus { conditions }),
            runtime_handlers: vec![handler(""), handler(NAME)],
            features: Some(RuntimeFeatures { supplemental_groups_policy: true, mount_options: true, ..Default::default() }),
            ..Default::default()
        })
    }

    async fn list_metric_descriptors(&self, _: ListMetricDescriptorsRequest) -> Result<ListMetricDescriptorsResponse> {
        Ok(ListMetricDescriptorsResponse::default())
    }

    async fn list_pod_sandbox_metrics(&self, _: ListPodSandboxMetricsRequest) -> Result<ListPodSandboxMetricsResponse> {
        Ok(ListPodSandboxMetricsResponse::default())
    }

    async fn runtime_config(&self, _: RuntimeConfigRequest) -> Result<RuntimeConfigResponse> {
        Ok(RuntimeConfigResponse { linux: Some(LinuxRuntimeConfiguration { cgroup_driver: CgroupDriver::Cgroupfs as i32 }) })
    }

    async fn update_pod_sandbox_resources(&self, request: UpdatePodSandboxResourcesRequest) -> Result<UpdatePodSandboxResourcesResponse> {
        // The kubelet has set the pod's group already; there is nothing in a sandbox to follow.
        self.sandbox(&request.pod_sandbox_id)?;
        Ok(UpdatePodSandboxResourcesResponse {})
    }

    async fn stream_pod_sandboxes(&self, request: StreamPodSandboxesRequest) -> Result<Streaming<StreamPodSandboxesResponse>> {
        Ok(chunks(self.list_sandboxes(request.filter), |pod_sandboxes| StreamPodSandboxesResponse { pod_sandboxes }))
    }

    async fn stream_containers(&self, request: StreamContainersRequest) -> Result<Streaming<StreamContainersResponse>> {
        Ok(chunks(self.list_all_containers(request.filter), |containers| StreamContainersResponse { containers }))
    }

    async fn stream_container_stats(&self, request: StreamContainerStatsRequest) -> Result<Streaming<StreamContainerStatsResponse>> {
        Ok(chunks(self.all_container_stats(request.filter), |container_stats| StreamContainerStatsResponse { container_stats }))
    }

    async fn stream_pod_sandbox_stats(&self, request: StreamPodSandboxStatsRequest) -> Result<Streaming<StreamPodSandboxStatsResponse>> {
        Ok(chunks(self.all_sandbox_stats(request.filter), |pod_sandbox_stats| StreamPodSandboxStatsResponse { pod_sandbox_stats }))
    }

    async fn get_container_events(&self, _: GetEventsRequest) -> Result<Streaming<ContainerEventResponse>> {
        Ok(self.events.follow())
    }
}

fn running(runtime: &Runtime, id: &str) -> Result<()> {
    let container = runtime.container(id)?;
    let state = containers::state(&container.record.lock());
    if state != ContainerState::ContainerRunning {
        return Err(Status::unknown(format!("container is in {} state", state.as_str_name())));
    }
    Ok(())
}
