//! `coxswain hello`: the sample. A small web server that tells the pod, the node and the request's headers, and that asks others
//! over HTTP (`/fetch?url=`) and DNS (`/resolve?name=`) from where it runs.
use super::block_on;
use crate::cli::HelloArgs;
use crate::failure::{Doing, Failure};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

const MAX_ANSWER_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(arguments: &HelloArgs) -> Result<ExitCode, Failure> {
    block_on(serve(arguments.clone())).map(|()| ExitCode::SUCCESS)
}

async fn serve(arguments: HelloArgs) -> Result<(), Failure> {
    let listener = TcpListener::bind(arguments.listen).await.doing(arguments.listen)?;
    super::print(&format!("listening on {}", arguments.listen));
    loop {
        tokio::select! {
            () = crate::daemon::until_stopped() => return Ok(()),
            accepted = listener.accept() => {
                let Ok((stream, peer)) = accepted else { continue };
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| async move { Ok::<_, Infallible>(answer(request, peer.ip().to_string()).await) });
                    let http = hyper::server::conn::http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                    let _ = http.await; // who asked may have gone
                });
            }
        }
    }
}

async fn answer(request: Request<Incoming>, peer: String) -> Response<Full<Bytes>> {
    super::print(&format!("{} {} from {peer}", request.method(), request.uri()));
    let asked = |key: &str| query(request.uri().query().unwrap_or_default(), key);
    let (code, value) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, json!("ok")),
        "/fetch" => outcome(fetch(&asked("url").unwrap_or_default()).await),
        "/resolve" => outcome(resolve(&asked("name").unwrap_or_default()).await),
        path => (StatusCode::OK, about(&request, path, &peer)),
    };
    let mut response = Response::new(Full::from(format!("{value:#}\n")));
    *response.status_mut() = code;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn about(request: &Request<Incoming>, path: &str, peer: &str) -> Value {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let pod = Some(variable("POD_NAME")).filter(|name| !name.is_empty()).unwrap_or(host);
    let headers: BTreeMap<&str, &str> =
        request.headers().iter().map(|(key, value)| (key.as_str(), value.to_str().unwrap_or("?"))).collect();
    json!({"message": "hello from coxswain", "pod": pod, "node": variable("NODE_NAME"), "path": path, "client": peer, "headers": headers})
}

fn outcome(result: Result<Value, String>) -> (StatusCode, Value) {
    match result {
        Ok(value) => (StatusCode::OK, value),
        Err(error) => (StatusCode::BAD_GATEWAY, json!({"error": error})),
    }
}

fn query(query: &str, key: &str) -> Option<String> {
    let decode = |text: &str| {
        let bytes = text.replace('+', " ").into_bytes();
        let mut out = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((first, after)) = rest.split_first() {
            let code = (*first == b'%').then(|| after.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
            match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) => {
                    out.push(byte);
                    rest = &after[2..];
                }
                None => {
                    out.push(*first);
                    rest = after;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(own, _)| *own == key).map(|(_, value)| decode(value))
}

async fn fetch(url: &str) -> Result<Value, String> {
    let uri: http::Uri = url.parse().map_err(|_| format!("{url:?} is not a URL; /fetch?url=http://name:port/path"))?;
    let host = uri.host().ok_or_else(|| format!("{url:?} has no host"))?;
    let work = async {
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str())).header("host", host);
        let request = request.body(Full::<Bytes>::default()).map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let code = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?;
        Ok(json!({"status": code, "body": String::from_utf8_lossy(&body.to_bytes())}))
    };
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
}

/// By the resolver of the C library: files and DNS, as for any other program.
async fn resolve(name: &str) -> Result<Value, String> {
    let found = tokio::net::lookup_host((name, 0)).await.map_err(|error| error.to_string())?;
    let addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
    Ok(json!({"name": name, "addresses": addresses}))
}
