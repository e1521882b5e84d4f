//! The kubelet's own HTTPS API: pods, logs, streams into containers, statistics. Every request is authenticated and authorized
//! by the API server's word before anything else is looked at.
mod access;
pub mod log_lines;
mod logs;
mod stats;
mod streams;

use crate::driver::shared::Shared;
use crate::node::agent::Agent;
use crate::pod::view::PodView;
use crate::pods::{Handle, Pods};
use access::Access;
use bytes::Bytes;
use client::Body;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Connections at the same time.
const MAX_CONNECTIONS: usize = 512;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const HEADER_LIMIT: Duration = Duration::from_secs(30);

pub struct Server {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pods: Arc<Pods>,
    agent: Arc<Agent>,
    access: Access,
}

pub(crate) type Answer = Response<Body>;

/// Why a request is not carried out.
#[derive(Debug)]
pub(crate) struct Refused(StatusCode, String);

impl Refused {
    fn answer(self) -> Answer {
        text(self.0, self.1)
    }
}

impl Server {
    pub fn new(shared: Arc<Shared>, pods: Arc<Pods>, agent: Arc<Agent>) -> Arc<Server> {
        let access = Access::new(shared.client.clone(), shared.clock.clone(), &shared.settings.node_name);
        Arc::new(Server { shared, pods, agent, access })
    }

    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Arc<rustls::ServerConfig>) {
        let (acceptor, slots) = (TlsAcceptor::from(tls), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = listener.accept().await else {
                self.shared.clock.sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
            let (server, acceptor) = (self.clone(), acceptor.clone());
            connections.spawn(async move {
                server.connection(stream, acceptor).await;
                drop(slot);
            });
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, acceptor: TlsAcceptor) {
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await else { return };
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let identity = certificate.and_then(|der| pki::Certificate::from_der(der).ok()).map(|certificate| certificate.subject);
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, identity) = (self.clone(), identity.clone());
            async move { Ok::<_, Infallible>(server.answer(request, identity).await) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>, subject: Option<pki::Subject>) -> Answer {
        match self.access.check(&request, subject).await {
            Ok(()) => self.route(request).await,
            Err(refused) => refused.answer(),
        }
    }

    async fn route(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_string();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let reads = request.method() == Method::GET;
        match parts.as_slice() {
            ["exec", ..] | ["attach", ..] | ["portForward", ..] | ["run", ..] => self.stream(request).await,
            _ if !reads => text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
            ["containerLogs", namespace, pod, container] => self.container_logs(namespace, pod, container, request.uri().query()).await,
            ["healthz"] | ["healthz", "ping" | "syncloop" | "log"] => text(StatusCode::OK, "ok"),
            ["pods"] | ["allocatedPods"] => self.list_pods(|_| true),
            ["runningpods"] => self.list_pods(|handle| handle.view.read().observed.running().next().is_some()),
            ["stats", "summary"] => json_answer(&self.summary().await),
            ["metrics"] => metrics(self.own_metrics()),
            ["metrics", "resource"] => metrics(self.resource_metrics().await),
            ["metrics", "cadvisor"] => metrics(self.cadvisor_metrics().await),
            ["metrics", "probes"] => metrics(String::new()),
            ["configz"] => json_answer(&self.configz()),
            [""] | ["stats"] => text(StatusCode::NOT_FOUND, "404 page not found"),
            _ => text(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    fn list_pods(&self, which: impl Fn(&Handle) -> bool) -> Answer {
        let one = |handle: &Handle| {
            let view = handle.view.read();
            let mut pod = (*view.pod).clone();
            pod.status = Some((*view.status).clone());
            serde_json::to_value(pod).unwrap_or_default()
        };
        let items: Vec<Value> = self.pods.all().iter().filter(|handle| which(handle)).map(one).collect();
        json_answer(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
    }

    fn configz(&self) -> Value {
        let settings = &self.shared.settings;
        json!({"kubeletconfig": {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "clusterDNS": settings.cluster_dns,
            "clusterDomain": settings.cluster_domain,
            "maxPods": self.agent.own.max_pods,
            "port": self.agent.own.port,
            "nodeStatusUpdateFrequency": "10s",
            "nodeStatusReportFrequency": "5m0s",
            "nodeLeaseDurationSeconds": 40,
            "cgroupDriver": "cgroupfs",
            "containerLogMaxSize": "10Mi",
            "containerLogMaxFiles": 5,
            "imageGCHighThresholdPercent": 85,
            "imageGCLowThresholdPercent": 80,
        }})
    }

    fn own_metrics(&self) -> String {
        let all = self.pods.all();
        let containers = all.iter().map(|handle| handle.view.read().observed.running().count()).sum::<usize>();
        let pods = all.iter().filter(|handle| handle.view.read().observed.ready_sandbox().is_some()).count();
        format!(
            "# TYPE kubelet_node_name gauge\nkubelet_node_name{{node=\"{}\"}} 1\n\
             # TYPE kubelet_running_pods gauge\nkubelet_running_pods {pods}\n\
             # TYPE kubelet_running_containers gauge\nkubelet_running_containers{{container_state=\"running\"}} {containers}\n",
            self.shared.settings.node_name
        )
    }

    /// A pod by name, or the words that say that there is none.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Result<Handle, Refused> {
        let found = self.pods.find(namespace, name);
        found
            .filter(|handle| !handle.view.read().pod.uid().is_empty())
            .ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("pod \"{name}\" does not exist\n")))
    }
}

pub(crate) fn text(code: StatusCode, message: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Body::Full(message.into()));
    *answer.status_mut() = code;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn json_answer(value: &Value) -> Answer {
    let mut answer = Response::new(Body::json(value));
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

fn metrics(body: String) -> Answer {
    let mut answer = Response::new(Body::Full(body.into()));
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// The pairs of a query, decoded.
pub(crate) fn query(text: Option<&str>) -> Vec<(String, String)> {
    let decode = |part: &str| percent_encoding::percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').map_or((decode(pair), String::new()), |(key, value)| (decode(key), decode(value)))).collect()
}
