//! Logs, upgraded connections and proxies: through a real listener to a kubelet that is made for the test.
mod support;

use apiserver::subresource::{Connection, KubeletDialer};
use apiserver::{ApiServer, Config};
use async_trait::async_trait;
use client::Body;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use support::{ask, bytes, config, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers with what it was asked, and echoes after an upgrade.
async fn kubelet(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let asked = format!("{} {}", request.method(), request.uri());
    if !request.headers().contains_key(header::UPGRADE) {
        let authorized = request.headers().contains_key(header::AUTHORIZATION);
        return Ok(Response::new(Full::from(format!("{asked} {authorized}"))));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut buffer = [0; 64];
        while let Ok(count) = stream.read(&mut buffer).await {
            if count == 0 || stream.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    });
    let upgraded = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header("upgrade", "test").header("connection", "Upgrade");
    Ok(upgraded.body(Full::default()).unwrap())
}

struct Dialer;

#[async_trait]
impl KubeletDialer for Dialer {
    async fn dial(&self, node: &str, host: &str, port: u16) -> std::io::Result<Box<dyn Connection>> {
        assert_eq!((node, host, port), ("n", "192.0.2.1", 10999));
        let (near, far) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(kubelet);
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
            let _ = connection.with_upgrades().await;
        });
        Ok(Box::new(near))
    }
}

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A server with a node and a pod on it, listening.
async fn start() -> (Arc<ApiServer>, std::net::SocketAddr) {
    let server = ApiServer::new(Config { kubelets: Some(Arc::new(Dialer)), ..config() });
    let node = json!({"metadata": {"name": "n"}});
    let status = json!({"metadata": {"name": "n"}, "status": {
        "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "192.0.2.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10999}}}});
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}});
    for (method, path, body) in [
        (Method::POST, "/api/v1/nodes".to_string(), node),
        (Method::PUT, "/api/v1/nodes/n/status".to_string(), status),
        (Method::POST, PODS.to_string(), pod),
        (Method::POST, format!("{PODS}/p/binding"), json!({"metadata": {"name": "p"}, "target": {"name": "n"}})),
    ] {
        let (code, answer) = ask(&server, method, &path, Some(body)).await;
        assert!(code < 300, "{path}: {answer}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.clone().serve(listener, None));
    (server, address)
}

#[tokio::test]
async fn logs_come_from_the_kubelet() {
    let (server, _) = start().await;
    let path = format!("{PODS}/p/log?container=d&follow=true&tailLines=5");
    let response = send(&server, Method::GET, &path, &[("authorization", "Bearer x")], Body::Empty).await;
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, "text/plain"));
    let told = String::from_utf8(bytes(response).await).unwrap();
    assert_eq!(told, "GET /containerLogs/default/p/d?follow=true&tailLines=5 false", "and no credentials go on");
    let (_, ambiguous) = ask(&server, Method::GET, &format!("{PODS}/p/log"), None).await;
    assert_eq!(ambiguous["message"], "a container name must be specified for pod p, choose one of: [c d]");
}

#[tokio::test]
async fn upgraded_connections_are_tunnels() {
    let (_, address) = start().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver.with_upgrades());
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{PODS}/p/exec?container=c&command=sh&command=-c&command=a%20b&stdin=true&tty=false"))
        .header("host", "x")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1");
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 101);
    let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    tunnel.write_all(b"!").await.unwrap();
    let expected = "POST /exec/default/p/c?input=1&command=sh&command=%2Dc&command=a%20b!";
    let mut told = vec![0; expected.len()];
    tunnel.read_exact(&mut told).await.unwrap();
    assert_eq!(String::from_utf8(told).unwrap(), expected);
}

#[tokio::test]
async fn nodes_are_proxied_with_their_paths() {
    let (_, address) = start().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    let request = Request::builder().method(Method::PUT).uri("/api/v1/nodes/n/proxy/a//b/?c=d").header("host", "x");
    let response = sender.send_request(request.body(Full::<Bytes>::from("body")).unwrap()).await.unwrap();
    let told = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(told, "PUT /a//b/?c=d false");
}

#[tokio::test]
async fn refuses_addresses_outside_the_cluster() {
    let (server, _) = start().await;
    let status = json!({"metadata": {"name": "p"}, "status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}});
    let patch = [("content-type", "application/merge-patch+json")];
    let patched = send(&server, Method::PATCH, &format!("{PODS}/p/status"), &patch, Body::json(&status)).await;
    assert_eq!(patched.status(), 200, "{:?}", bytes(patched).await);
    let (code, refused) = ask(&server, Method::GET, &format!("{PODS}/p:80/proxy/"), None).await;
    assert_eq!((code, refused["message"].as_str()), (400, Some("address not allowed")));
}
