//! A real server over the memory store.
#![allow(dead_code)]
use apiserver::request::{AllowAll, NoAdmission};
use apiserver::{ApiServer, Config, Kinds};
use client::{Body, Client, Identity, Service};
use http::{Method, Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use std::sync::Arc;
use stdx::clock::Clock;
use stdx::random::Random;
use store::memory::Memory;

pub fn config() -> Config {
    let clock = Clock::system();
    Config {
        store: Memory::new(clock.clone()),
        clock,
        random: Random::seeded(1),
        kinds: Arc::new(Kinds::builtin()),
        authenticator: Arc::new(AllowAll),
        authorizer: Arc::new(AllowAll),
        admission: Arc::new(NoAdmission),
        reviews: None,
        tokens: None,
        kubelets: None,
        service_cidr: "10.96.0.0/12".into(),
        advertise_address: "127.0.0.1".into(),
        secure_port: 6443,
    }
}

pub fn server() -> Arc<ApiServer> {
    ApiServer::new(config())
}

pub fn client_of(server: &Arc<ApiServer>) -> Client {
    Client::in_process(server.clone(), Identity::new("system:admin", &["system:masters"]), "test/1")
}

pub async fn start() -> Client {
    client_of(&server())
}

pub fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"k": value}})).unwrap()
}

/// One request as it comes from the wire.
pub async fn send(server: &Arc<ApiServer>, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.call(request.body(body).unwrap()).await
}

pub async fn bytes(response: Response<Body>) -> Vec<u8> {
    response.into_body().bytes(1 << 30).await.unwrap().unwrap().to_vec()
}

/// The answer's code and JSON.
pub async fn ask(server: &Arc<ApiServer>, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let body = body.map_or(Body::Empty, |value| Body::json(&value));
    let response = send(server, method, path, &[("content-type", "application/json")], body).await;
    let code = response.status().as_u16();
    (code, serde_json::from_slice(&bytes(response).await).unwrap_or_default())
}

pub async fn get(server: &Arc<ApiServer>, path: &str) -> Value {
    let (code, value) = ask(server, Method::GET, path, None).await;
    assert_eq!(code, 200, "{path}: {value}");
    value
}
