//! CRI over gRPC: `connect` gives the traits of a runtime behind a unix socket, `serve` offers a runtime's traits to clients.
//! Messages may be 16 MiB long, as the original kubelet allows.
use crate::calls::{image_calls, runtime_calls};
use crate::v1::*;
use crate::{Cri, Images, Result, Runtime, Status, Streaming};
use async_trait::async_trait;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::{Channel, Endpoint, Server};

/// The longest message either end takes.
pub const MESSAGE_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// Connects to a runtime: `unix:///run/x.sock`, or the bare path of a socket.
pub async fn connect(endpoint: &str) -> Result<Arc<dyn Cri>> {
    let address = if endpoint.starts_with('/') { format!("unix://{endpoint}") } else { endpoint.to_owned() };
    let refuse = |error: tonic::transport::Error| Status::unavailable(format!("container runtime at {endpoint}: {}", with_causes(&error)));
    let channel = Endpoint::from_shared(address).map_err(refuse)?.connect().await.map_err(refuse)?;
    Ok(Arc::new(Client(channel)))
}

/// Serves a runtime until `listener` fails or the future is dropped.
pub async fn serve(listener: UnixListener, runtime: Arc<dyn Cri>) -> std::result::Result<(), tonic::transport::Error> {
    let runtimes =
        runtime_service_server::RuntimeServiceServer::new(Served(runtime.clone())).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
    let images = image_service_server::ImageServiceServer::new(Served(runtime)).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
    Server::builder().add_service(runtimes).add_service(images).serve_with_incoming(Incoming(listener)).await
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

struct Incoming(UnixListener);

impl crate::Stream for Incoming {
    type Item = std::io::Result<UnixStream>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_accept(context).map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}

struct Client(Channel);

struct Served(Arc<dyn Cri>);

macro_rules! both_ends {
    ($name:ident $client_module:ident::$client:ident $server_module:ident::$server:ident
     unary { $($call:ident($request:ident) -> $response:ident;)* }
     streaming { $($stream:ident($asked:ident) -> $item:ident, $streamed:ident;)* }) => {
        #[async_trait]
        impl $name for Client {
            $(async fn $call(&self, request: $request) -> Result<$response> {
                let mut client = $client_module::$client::new(self.0.clone()).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
                client.$call(request).await.map(tonic::Response::into_inner)
            })*
            $(async fn $stream(&self, request: $asked) -> Result<Streaming<$item>> {
                let mut client = $client_module::$client::new(self.0.clone()).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
                client.$stream(request).await.map(|response| Box::pin(response.into_inner()) as Streaming<$item>)
            })*
        }

        #[async_trait]
        impl $server_module::$server for Served {
            $(async fn $call(&self, request: tonic::Request<$request>) -> Result<tonic::Response<$response>> {
                self.0.$call(request.into_inner()).await.map(tonic::Response::new)
            })*
            $(type $streamed = Streaming<$item>;

            async fn $stream(&self, request: tonic::Request<$asked>) -> Result<tonic::Response<Self::$streamed>> {
                self.0.$stream(request.into_inner()).await.map(tonic::Response::new)
            })*
        }
    };
}

runtime_calls!(both_ends);
image_calls!(both_ends);

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::codegen::tokio_stream::{StreamExt, iter};

    struct Echo;

    #[async_trait]
    impl Runtime for Echo {
        async fn version(&self, request: VersionRequest) -> Result<VersionResponse> {
            Ok(VersionResponse { version: request.version, runtime_name: "echo".into(), ..Default::default() })
        }

        async fn get_container_events(&self, _: GetEventsRequest) -> Result<Streaming<ContainerEventResponse>> {
            let event = |id: &str| Ok(ContainerEventResponse { container_id: id.into(), ..Default::default() });
            Ok(Box::pin(iter([event("a"), event("b")])))
        }
    }

    impl Images for Echo {}

    #[tokio::test]
    async fn a_socket_looks_like_the_runtime_itself() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("cri.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(serve(listener, Arc::new(Echo)));
        let client = connect(&format!("unix://{}", socket.display())).await.unwrap();
        assert_eq!(client.version(VersionRequest { version: "v1".into() }).await.unwrap().runtime_name, "echo");
        let events: Vec<String> =
            client.get_container_events(GetEventsRequest {}).await.unwrap().map(|event| event.unwrap().container_id).collect().await;
        assert_eq!(events, ["a", "b"]);
        assert_eq!(client.list_images(ListImagesRequest::default()).await.unwrap_err().code(), crate::Code::Unimplemented);
        server.abort();
    }

    #[tokio::test]
    async fn an_absent_runtime_is_named() {
        let error = connect("unix:///nowhere/cri.sock").await.err().unwrap();
        assert!(error.message().starts_with("container runtime at unix:///nowhere/cri.sock: "), "{error}");
    }
}
