//! exec, attach and port-forward: the runtime says where its streaming end is, and the connection becomes a tunnel of bytes to
//! it. Neither WebSocket nor SPDY is looked into.
use super::{Answer, Refused, Server, query, text};
use crate::pod::observed::State;
use client::Body;
use cri::v1::{AttachRequest, ExecRequest, ExecSyncRequest, PortForwardRequest};
use http::uri::Uri;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// So much of a runtime's refusal is passed on.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

impl Server {
    pub(super) async fn stream(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_string();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let pairs = query(request.uri().query());
        let url = match parts.as_slice() {
            ["run", namespace, pod, container] | ["run", namespace, pod, _, container] if request.method() == Method::POST => {
                return self.run_command(namespace, pod, container, &pairs).await;
            }
            ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
                self.exec(namespace, pod, container, &pairs).await
            }
            ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
                self.attach(namespace, pod, container, &pairs).await
            }
            ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => self.port_forward(namespace, pod, &pairs).await,
            _ => Err(Refused(StatusCode::NOT_FOUND, "404 page not found".into())),
        };
        match url {
            Ok(url) => tunnel(request, &url).await.unwrap_or_else(|error| text(StatusCode::BAD_GATEWAY, error)),
            Err(refused) => refused.answer(),
        }
    }

    /// The id of a running container.
    fn running(&self, namespace: &str, pod: &str, container: &str) -> Result<String, Refused> {
        let handle = self.pod(namespace, pod)?;
        let view = handle.view.read();
        let seen = view.observed.latest(container).filter(|seen| seen.state == State::Running);
        seen.map(|seen| seen.id.clone())
            .ok_or_else(|| Refused(StatusCode::INTERNAL_SERVER_ERROR, format!("container not found (\"{container}\")")))
    }

    async fn exec(&self, namespace: &str, pod: &str, container: &str, pairs: &[(String, String)]) -> Result<String, Refused> {
        let container_id = self.running(namespace, pod, container)?;
        let (stdin, stdout, stderr, tty) = streams(pairs)?;
        let request = ExecRequest { container_id, cmd: command(pairs), tty, stdin, stdout, stderr };
        self.shared.runtime.exec(request).await.map(|answer| answer.url).map_err(refused)
    }

    async fn attach(&self, namespace: &str, pod: &str, container: &str, pairs: &[(String, String)]) -> Result<String, Refused> {
        let container_id = self.running(namespace, pod, container)?;
        let (stdin, stdout, stderr, tty) = streams(pairs)?;
        let request = AttachRequest { container_id, stdin, tty, stdout, stderr };
        self.shared.runtime.attach(request).await.map(|answer| answer.url).map_err(refused)
    }

    async fn port_forward(&self, namespace: &str, pod: &str, pairs: &[(String, String)]) -> Result<String, Refused> {
        let handle = self.pod(namespace, pod)?;
        let sandbox = handle.view.read().observed.ready_sandbox().map(|sandbox| sandbox.id.clone());
        let pod_sandbox_id =
            sandbox.ok_or_else(|| Refused(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to find sandbox of pod {pod}")))?;
        let ports = pairs.iter().filter(|(key, _)| key == "port" || key == "ports").flat_map(|(_, value)| value.split(','));
        let port = ports.filter_map(|port| port.parse().ok()).collect();
        self.shared.runtime.port_forward(PortForwardRequest { pod_sandbox_id, port }).await.map(|answer| answer.url).map_err(refused)
    }

    async fn run_command(&self, namespace: &str, pod: &str, container: &str, pairs: &[(String, String)]) -> Answer {
        let container_id = match self.running(namespace, pod, container) {
            Ok(id) => id,
            Err(refused) => return refused.answer(),
        };
        let cmd: Vec<String> = command(pairs).iter().flat_map(|line| line.split(' ')).map(String::from).collect();
        match self.shared.runtime.exec_sync(ExecSyncRequest { container_id, cmd, timeout: 0 }).await {
            Ok(answer) => text(StatusCode::OK, [answer.stdout, answer.stderr].concat()),
            Err(status) => refused(status).answer(),
        }
    }
}

fn refused(status: cri::Status) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, status.message().to_string())
}

fn command(pairs: &[(String, String)]) -> Vec<String> {
    pairs.iter().filter(|(key, _)| key == "command" || key == "cmd").map(|(_, value)| value.clone()).collect()
}

/// stdin, stdout, stderr, tty; a terminal has no stderr of its own.
fn streams(pairs: &[(String, String)]) -> Result<(bool, bool, bool, bool), Refused> {
    let on = |names: [&str; 2]| pairs.iter().any(|(key, value)| names.contains(&key.as_str()) && matches!(value.as_str(), "1" | "true"));
    let tty = on(["tty", "tty"]);
    let (stdin, stdout, stderr) = (on(["input", "stdin"]), on(["output", "stdout"]), on(["error", "stderr"]) && !tty);
    if !(stdin || stdout || stderr) {
        return Err(Refused(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr".into()));
    }
    Ok((stdin, stdout, stderr, tty))
}

/// Passes the request on with its headers; if the other end switches protocols, so do we, and bytes go both ways.
async fn tunnel(mut request: Request<Incoming>, url: &str) -> Result<Answer, String> {
    let failed = |error: &dyn std::fmt::Display| format!("error proxying to the container runtime: {error}");
    let target: Uri = url.parse().map_err(|error: http::uri::InvalidUri| failed(&error))?;
    let authority = target.authority().ok_or_else(|| failed(&"the runtime gave no address"))?.to_string();
    let path = target.path_and_query().map_or("/".to_string(), ToString::to_string);
    let stream = TcpStream::connect(&authority).await.map_err(|error| failed(&error))?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<bytes::Bytes>>(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    tokio::spawn(connection.with_upgrades());
    let mut builder = Request::builder().method(request.method().clone()).uri(path).header(header::HOST, &authority);
    for (name, value) in request.headers().iter().filter(|(name, _)| **name != header::HOST && **name != header::AUTHORIZATION) {
        builder = builder.header(name, value);
    }
    let outgoing = builder.body(Empty::new()).map_err(|error| failed(&error))?;
    let mut answer = sender.send_request(outgoing).await.map_err(|error| failed(&error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return pass_on(answer).await;
    }
    let mut switched = Response::new(Body::Empty);
    *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *switched.headers_mut() = answer.headers().clone();
    let (ours, theirs) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut answer));
    tokio::spawn(async move {
        let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) else { return };
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(ours), &mut TokioIo::new(theirs)).await;
        drop(sender);
    });
    Ok(switched)
}

async fn pass_on(answer: Response<Incoming>) -> Result<Answer, String> {
    let (head, body) = answer.into_parts();
    let body = http_body_util::Limited::new(body, MAX_REFUSAL_BYTES).collect().await.map_err(|error| error.to_string())?;
    let mut passed = text(head.status, body.to_bytes());
    if let Some(kind) = head.headers.get(header::CONTENT_TYPE) {
        passed.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    Ok(passed)
}
