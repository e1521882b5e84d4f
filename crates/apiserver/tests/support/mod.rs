//! A real server over the memory store.
#![allow(dead_code)]
use apiserver::request::{AllowAll, NoAdmission};
use apiserver::{ApiServer, Config, Kinds};
use client::{Client, Identity};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use std::sync::Arc;
use stdx::clock::Clock;
use stdx::random::Random;
use store::memory::Memory;

pub fn server() -> Arc<ApiServer> {
    let clock = Clock::system();
    ApiServer::new(Config {
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
    })
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
