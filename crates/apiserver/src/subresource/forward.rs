//! Sends a client's request on over a connection and hands back what comes, an upgraded connection as a tunnel of bytes that
//! nobody reads.
use super::kubelet::Connection;
use crate::request::call::{Answer, Call};
use client::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use machinery::status::{Reason, Status};
use tokio::io::copy_bidirectional;

/// Headers that belong to one connection.
const HOP_BY_HOP: &[&str] = &["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
/// Headers that say who the client is; the other side knows this server.
const CREDENTIALS: &[&str] = &["authorization", "proxy-authorization"];

/// Where a request goes to on its new connection.
pub struct Onward {
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// For the `Host` header.
    pub host: String,
}

/// The other side's answer, as it is.
pub async fn forward(call: &Call, connection: Box<dyn Connection>, onward: Onward) -> Answer {
    let upgrade = wants_upgrade(call.headers());
    let body = call.body.lock().take().unwrap_or_default();
    let request = Request::builder().method(onward.method).uri(&onward.target).header(header::HOST, onward.host).body(body);
    let mut request = request.map_err(|error| Status::bad_request(error.to_string()))?;
    for (name, value) in &onward_headers(call.headers(), upgrade) {
        request.headers_mut().append(name, value.clone());
    }
    let (mut sender, driver) = http1::handshake(TokioIo::new(connection)).await.map_err(unreachable)?;
    tokio::spawn(async move {
        if let Err(error) = driver.with_upgrades().await {
            tracing::debug!(error = error.to_string(), "forwarded connection ended");
        }
    });
    let response = sender.send_request(request).await.map_err(unreachable)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return tunnel(call, response);
    }
    let (mut parts, body) = response.into_parts();
    drop_hop_by_hop(&mut parts.headers);
    Ok(Response::from_parts(parts, Body::Incoming(body)))
}

/// The other side cannot be reached or does not speak HTTP.
pub fn unreachable(error: impl std::fmt::Display) -> Status {
    Status::new(Reason::ServiceUnavailable, format!("error trying to reach service: {error}"))
}

pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    connection.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

fn onward_headers(headers: &HeaderMap, upgrade: bool) -> HeaderMap {
    let mut onward = headers.clone();
    onward.remove(header::HOST);
    drop_hop_by_hop(&mut onward);
    CREDENTIALS.iter().for_each(|name| drop(onward.remove(*name)));
    let impersonating: Vec<_> = onward.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    impersonating.iter().for_each(|name| drop(onward.remove(name)));
    if upgrade {
        onward.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        for value in headers.get_all(header::UPGRADE) {
            onward.append(header::UPGRADE, value.clone());
        }
    }
    onward
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    named.iter().map(String::as_str).chain(HOP_BY_HOP.iter().copied()).for_each(|name| drop(headers.remove(name)));
}

/// Both sides have changed the protocol: from here on only bytes go through.
fn tunnel(call: &Call, mut response: Response<hyper::body::Incoming>) -> Answer {
    let client = call.upgrade.lock().take().ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    let server = hyper::upgrade::on(&mut response);
    let mut stopping = call.state.stopping.subscribe();
    tokio::spawn(async move {
        let (client, server) = match tokio::try_join!(client, server) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "an upgrade was not finished"),
        };
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        let copied = tokio::select! {
            copied = copy_bidirectional(&mut client, &mut server) => copied,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        if let Err(error) = copied {
            tracing::debug!(%error, "tunnel ended");
        }
    });
    let (parts, _) = response.into_parts();
    Ok(Response::from_parts(parts, Body::Empty))
}
