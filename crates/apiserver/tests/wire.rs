//! What goes over the wire: media types, large lists, bad bodies, refusals.
mod support;

use apiserver::ApiServer;
use apiserver::request::{Admission, AdmissionRequest};
use async_trait::async_trait;
use client::Body;
use http::Method;
use machinery::object::AnyObject;
use machinery::status::Status;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;
use support::{ask, bytes, client_of, config, config_map, send, server};

const PATH: &str = "/api/v1/namespaces/default/configmaps";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

#[tokio::test]
async fn protobuf_in_and_out() {
    let server = server();
    client_of(&server).create("default", &config_map("a", "1")).await.unwrap();
    let object = bytes(send(&server, Method::GET, &format!("{PATH}/a"), &[("accept", PROTOBUF)], Body::Empty).await).await;
    assert!(object.starts_with(b"k8s\0"));
    let list = send(&server, Method::GET, PATH, &[("accept", PROTOBUF)], Body::Empty).await;
    assert_eq!(list.headers()["content-type"], PROTOBUF);
    let message = machinery::schema::lookup("io.k8s.api.core.v1.ConfigMapList").unwrap();
    let list = machinery::codec::protobuf::decode(&bytes(list).await, message).unwrap();
    assert_eq!((list["kind"].as_str(), list["items"][0]["data"]["k"].as_str()), (Some("ConfigMapList"), Some("1")));
    ask(&server, Method::DELETE, &format!("{PATH}/a"), None).await;
    let made = send(&server, Method::POST, PATH, &[("content-type", PROTOBUF)], Body::from(object)).await;
    let code = made.status();
    let made: Value = serde_json::from_slice(&bytes(made).await).unwrap();
    assert!(code == 500 && made["message"] == "resourceVersion should not be set on objects to be created", "{made}");
}

#[tokio::test]
async fn large_lists_are_whole_plain_and_zipped() {
    let server = server();
    let client = client_of(&server);
    let filler = "x".repeat(10_000);
    for index in 0..60 {
        client.create("default", &config_map(&format!("c{index}"), &filler)).await.unwrap();
    }
    let plain = send(&server, Method::GET, PATH, &[], Body::Empty).await;
    let length: usize = plain.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let plain = bytes(plain).await;
    assert_eq!(plain.len(), length);
    let zipped = send(&server, Method::GET, PATH, &[("accept-encoding", "gzip")], Body::Empty).await;
    assert_eq!(zipped.headers()["content-encoding"], "gzip");
    let mut unzipped = Vec::new();
    flate2::read::GzDecoder::new(&bytes(zipped).await[..]).read_to_end(&mut unzipped).unwrap();
    assert_eq!(unzipped, plain);
    let list: Value = serde_json::from_slice(&plain).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 60);
    assert!(list["items"][0]["kind"].is_null() && list["kind"] == "ConfigMapList");
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    let server = server();
    let post = |body: Vec<u8>| send(&server, Method::POST, PATH, &[("content-type", "application/json")], Body::from(body));
    let code = |response: http::Response<Body>| response.status().as_u16();
    assert_eq!(code(post(vec![b'x'; (3 << 20) + 1]).await), 413);
    assert_eq!(code(post(b"{\"metadata\":".to_vec()).await), 400);
    assert_eq!(code(post("[".repeat(100_000).into_bytes()).await), 400);
    let deep = format!("{}{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    assert_eq!(code(post(deep.into_bytes()).await), 400);
    assert_eq!(code(send(&server, Method::GET, &format!("/{}", "a".repeat(33_000)), &[], Body::Empty).await), 414);
}

#[tokio::test]
async fn unknown_fields_are_told() {
    let server = server();
    let body = json!({"metadata": {"name": "a"}, "foo": 1});
    let made = send(&server, Method::POST, PATH, &[("content-type", "application/json")], Body::json(&body)).await;
    assert_eq!((made.status().as_u16(), made.headers()["warning"].to_str().unwrap()), (201, "299 - \"unknown field \\\"foo\\\"\""));
    let (code, refused) = ask(&server, Method::POST, &format!("{PATH}?fieldValidation=Strict"), Some(body)).await;
    let why = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"foo\"";
    assert_eq!((code, refused["message"].as_str().unwrap()), (400, why));
}

#[tokio::test]
async fn apply_owns_what_it_sets() {
    let server = server();
    let apply = |manager: &str, value: &str| {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": value}});
        let path = format!("{PATH}/a?fieldManager={manager}");
        let server = server.clone();
        async move {
            let response =
                send(&server, Method::PATCH, &path, &[("content-type", "application/apply-patch+yaml")], Body::json(&body)).await;
            let code = response.status().as_u16();
            (code, serde_json::from_slice::<Value>(&bytes(response).await).unwrap())
        }
    };
    let (code, made) = apply("one", "1").await;
    assert_eq!((code, made["metadata"]["managedFields"][0]["operation"].as_str()), (201, Some("Apply")));
    let (code, conflict) = apply("two", "2").await;
    assert_eq!(code, 409);
    assert_eq!(conflict["message"], "Apply failed with 1 conflict: conflict with \"one\": .data.k");
    let (code, same) = apply("one", "1").await;
    assert_eq!((code, &same["metadata"]["resourceVersion"]), (200, &made["metadata"]["resourceVersion"]));
}

struct Panics;

#[async_trait]
impl Admission for Panics {
    async fn mutate(&self, _: &AdmissionRequest<'_>, _: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        panic!("in a test")
    }
    async fn validate(&self, _: &AdmissionRequest<'_>, _: Option<&dyn AnyObject>) -> Result<(), Status> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let server = ApiServer::new(apiserver::Config { admission: Arc::new(Panics), ..config() });
    let (code, _) = ask(&server, Method::POST, PATH, Some(json!({"metadata": {"name": "a"}}))).await;
    assert_eq!(code, 500);
    let (code, _) = ask(&server, Method::GET, PATH, None).await;
    assert_eq!(code, 200);
}

#[tokio::test]
async fn every_cluster_begins_with_its_objects() {
    let server = ApiServer::new(apiserver::Config { advertise_address: "192.0.2.7".into(), ..config() });
    for _ in 0..2 {
        apiserver::bootstrap::bootstrap(&server).await.unwrap();
    }
    let (_, service) = ask(&server, Method::GET, "/api/v1/namespaces/default/services/kubernetes", None).await;
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    let (_, slice) = ask(&server, Method::GET, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", None).await;
    assert_eq!(slice["endpoints"][0]["addresses"][0], "192.0.2.7");
}
