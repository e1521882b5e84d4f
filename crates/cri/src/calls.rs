//! The two services as traits. One table per service names every call; the trait, the client and the server are made from it.
//! A call that an implementation leaves out answers `Unimplemented`, as gRPC does.
use crate::v1::*;
use crate::{Result, Status, Streaming};
use async_trait::async_trait;

/// Every call of the runtime service, handed to the macro `$then`.
macro_rules! runtime_calls {
    ($then:ident) => {
        $then! {
            Runtime runtime_service_client::RuntimeServiceClient runtime_service_server::RuntimeService
            unary {
                version(VersionRequest) -> VersionResponse;
                run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse;
                stop_pod_sandbox(StopPodSandboxRequest) -> StopPodSandboxResponse;
                remove_pod_sandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse;
                pod_sandbox_status(PodSandboxStatusRequest) -> PodSandboxStatusResponse;
                list_pod_sandbox(ListPodSandboxRequest) -> ListPodSandboxResponse;
                create_container(CreateContainerRequest) -> CreateContainerResponse;
                start_container(StartContainerRequest) -> StartContainerResponse;
                stop_container(StopContainerRequest) -> StopContainerResponse;
                remove_container(RemoveContainerRequest) -> RemoveContainerResponse;
                list_containers(ListContainersRequest) -> ListContainersResponse;
                container_status(ContainerStatusRequest) -> ContainerStatusResponse;
                update_container_resources(UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse;
                reopen_container_log(ReopenContainerLogRequest) -> ReopenContainerLogResponse;
                exec_sync(ExecSyncRequest) -> ExecSyncResponse;
                exec(ExecRequest) -> ExecResponse;
                attach(AttachRequest) -> AttachResponse;
                port_forward(PortForwardRequest) -> PortForwardResponse;
                container_stats(ContainerStatsRequest) -> ContainerStatsResponse;
                list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse;
                pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse;
                list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse;
                update_runtime_config(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse;
                status(StatusRequest) -> StatusResponse;
                checkpoint_container(CheckpointContainerRequest) -> CheckpointContainerResponse;
                checkpoint_pod(CheckpointPodRequest) -> CheckpointPodResponse;
                restore_pod(RestorePodRequest) -> RestorePodResponse;
                list_metric_descriptors(ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse;
                list_pod_sandbox_metrics(ListPodSandboxMetricsRequest) -> ListPodSandboxMetricsResponse;
                runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse;
                update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest) -> UpdatePodSandboxResourcesResponse;
            }
            streaming {
                stream_pod_sandboxes(StreamPodSandboxesRequest) -> StreamPodSandboxesResponse, StreamPodSandboxesStream;
                stream_containers(StreamContainersRequest) -> StreamContainersResponse, StreamContainersStream;
                stream_container_stats(StreamContainerStatsRequest) -> StreamContainerStatsResponse, StreamContainerStatsStream;
                stream_pod_sandbox_stats(StreamPodSandboxStatsRequest) -> StreamPodSandboxStatsResponse, StreamPodSandboxStatsStream;
                stream_pod_sandbox_metrics(StreamPodSandboxMetricsRequest) -> StreamPodSandboxMetricsResponse, StreamPodSandboxMetricsStream;
                get_container_events(GetEventsRequest) -> ContainerEventResponse, GetContainerEventsStream;
            }
        }
    };
}

/// Every call of the image service, handed to the macro `$then`.
macro_rules! image_calls {
    ($then:ident) => {
        $then! {
            Images image_service_client::ImageServiceClient image_service_server::ImageService
            unary {
                list_images(ListImagesRequest) -> ListImagesResponse;
                image_status(ImageStatusRequest) -> ImageStatusResponse;
                pull_image(PullImageRequest) -> PullImageResponse;
                remove_image(RemoveImageRequest) -> RemoveImageResponse;
                image_fs_info(ImageFsInfoRequest) -> ImageFsInfoResponse;
            }
            streaming {
                stream_images(StreamImagesRequest) -> StreamImagesResponse, StreamImagesStream;
            }
        }
    };
}

pub(crate) use {image_calls, runtime_calls};

macro_rules! service_trait {
    ($name:ident $client:ident::$_client:ident $server:ident::$_server:ident
     unary { $($call:ident($request:ident) -> $response:ident;)* }
     streaming { $($stream:ident($asked:ident) -> $item:ident, $_stream:ident;)* }) => {
        #[async_trait]
        pub trait $name: Send + Sync + 'static {
            $(async fn $call(&self, _request: $request) -> Result<$response> {
                Err(Status::unimplemented(concat!("unknown method ", stringify!($call))))
            })*
            $(async fn $stream(&self, _request: $asked) -> Result<Streaming<$item>> {
                Err(Status::unimplemented(concat!("unknown method ", stringify!($stream))))
            })*
        }
    };
}

runtime_calls!(service_trait);
image_calls!(service_trait);
