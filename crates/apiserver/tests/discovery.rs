//! Discovery documents list what is served; where the original's are at hand (`DISCOVERY_REFERENCE`), they are equal.
mod support;

use client::{Body, Service};
use http::Request;
use serde_json::Value;

async fn get(path: &str, accept: &str) -> Value {
    let request = Request::builder().uri(path).header("accept", accept).body(Body::Empty).unwrap();
    let response = support::server().call(request).await;
    assert_eq!(response.status(), 200, "{path}");
    serde_json::from_slice(&response.into_body().bytes(1 << 26).await.unwrap().unwrap()).unwrap()
}

#[tokio::test]
async fn documents_list_what_is_served() {
    let groups = get("/apis", "application/json").await;
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["preferredVersion"]["groupVersion"] == "apps/v1"));
    let pods = get("/api/v1", "application/json").await;
    assert!(pods["resources"].as_array().unwrap().iter().any(|resource| resource["name"] == "pods/eviction"));
}

#[tokio::test]
async fn documents_are_the_originals() {
    let Ok(folder) = std::env::var("DISCOVERY_REFERENCE") else {
        return eprintln!("skipped: DISCOVERY_REFERENCE names no folder with the original's documents");
    };
    let mut differing = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let expected: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let actual = match name.as_str() {
            "api" => continue,
            "aggregated_v2" => get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").await,
            name => get(&format!("/{}", name.replace("__", "/")), "application/json").await,
        };
        if actual != expected {
            differing.push(format!("{name}:\n  {actual}\n  {expected}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
