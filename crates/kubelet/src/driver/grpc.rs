//! The gRPC health check (`grpc.health.v1.Health/Check`): one request over one connection, encoded by hand.
use crate::probe_http;
use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;

const MAX_ANSWER_BYTES: usize = 64 * 1024;
const UNIMPLEMENTED: &str = "12";
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

pub async fn check(address: &str, service: &str, limit: Duration) -> Result<(), String> {
    let late = || format!("timeout: health rpc did not complete within {}s", limit.as_secs());
    tokio::time::timeout(limit, ask(address, service, limit)).await.unwrap_or_else(|_| Err(late()))
}

async fn ask(address: &str, service: &str, limit: Duration) -> Result<(), String> {
    let unreachable = |error: String| format!("timeout: failed to connect service \"{address}\" within {}s: {error}", limit.as_secs());
    let stream = probe_http::connect(address, limit).await.map_err(unreachable)?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| unreachable(error.to_string()))?;
    let driving = tokio::spawn(connection);
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header("te", "trailers")
        .header(header::USER_AGENT, "kube-probe/1.37")
        .body(Full::new(message(service)))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| format!("error: health rpc failed: {error}"));
    let result = match answer {
        Err(error) => Err(error),
        Ok(answer) => judge(answer).await,
    };
    driving.abort();
    result
}

/// `HealthCheckRequest { service = 1 }` with gRPC's five bytes before it.
fn message(service: &str) -> Bytes {
    let mut inner = BytesMut::new();
    if !service.is_empty() {
        inner.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            inner.put_u8((length as u8 & 0x7f) | 0x80);
            length >>= 7;
        }
        inner.put_u8(length as u8);
        inner.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(inner.len() as u32);
    framed.extend_from_slice(&inner);
    framed.freeze()
}

async fn judge(answer: http::Response<hyper::body::Incoming>) -> Result<(), String> {
    let (head, body) = answer.into_parts();
    let collected = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|error| format!("error: health rpc failed: {error}"))?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let header = |name: &str| trailers.get(name).or(head.headers.get(name)).and_then(|value| value.to_str().ok()).map(String::from);
    let (code, text) = (header("grpc-status").unwrap_or_default(), header("grpc-message").unwrap_or_default());
    match code.as_str() {
        "0" => {}
        UNIMPLEMENTED => {
            return Err(format!("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {text}"));
        }
        code => return Err(format!("error: health rpc probe failed: rpc error: code = {code} desc = {text}")),
    }
    let bytes = collected.to_bytes();
    // `HealthCheckResponse { status = 1 }`: an absent field is UNKNOWN.
    let status = match bytes.get(5..) {
        Some([0x08, status, ..]) => *status as usize,
        _ => 0,
    };
    match STATUSES.get(status).copied().unwrap_or("UNKNOWN") {
        "SERVING" => Ok(()),
        other => Err(format!("service unhealthy (responded with \"{other}\")")),
    }
}
