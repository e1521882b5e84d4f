//! Watches: from a place, from what is there, through selectors, with bookmarks and expiry.
mod support;

use apiserver::ApiServer;
use client::{Body, DeleteOptions, Patch, Service};
use futures::StreamExt;
use http::{Method, Request};
use http_body_util::BodyDataStream;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use std::sync::Arc;
use support::{client_of, config_map, get, send, server};

const PATH: &str = "/api/v1/namespaces/default/configmaps";

/// A watch over the wire, read event by event.
struct Lines {
    body: BodyDataStream<Body>,
    ready: Vec<u8>,
}

impl Lines {
    async fn open(server: &Arc<ApiServer>, query: &str) -> Lines {
        let response = send(server, Method::GET, &format!("{PATH}?watch=true&{query}"), &[], Body::Empty).await;
        assert_eq!(response.status(), 200);
        Lines { body: BodyDataStream::new(response.into_body()), ready: Vec::new() }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.ready.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.ready.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            self.ready.extend_from_slice(&self.body.next().await?.unwrap());
        }
    }

    /// `ADDED a`.
    async fn told(&mut self) -> String {
        let event = self.next().await.expect("the watch goes on");
        format!("{} {}", event["type"].as_str().unwrap(), event["object"]["metadata"]["name"].as_str().unwrap_or_default())
    }
}

#[tokio::test]
async fn tells_what_is_there_and_what_changes() {
    let server = server();
    let client = client_of(&server);
    client.create("default", &config_map("a", "1")).await.unwrap();
    let mut watch = Lines::open(&server, "").await;
    assert_eq!(watch.told().await, "ADDED a");
    client.create("default", &config_map("b", "1")).await.unwrap();
    client.patch::<ConfigMap>("default", "a", "", &Patch::Merge(json!({"data": {"k": "2"}}))).await.unwrap();
    client.delete::<ConfigMap>("default", "b", &DeleteOptions::default()).await.unwrap();
    assert_eq!([watch.told().await, watch.told().await, watch.told().await], ["ADDED b", "MODIFIED a", "DELETED b"]);
}

#[tokio::test]
async fn goes_on_from_a_place() {
    let server = server();
    let client = client_of(&server);
    client.create("default", &config_map("a", "1")).await.unwrap();
    let place = get(&server, PATH).await["metadata"]["resourceVersion"].as_str().unwrap().to_string();
    client.create("default", &config_map("b", "1")).await.unwrap();
    let mut watch = Lines::open(&server, &format!("resourceVersion={place}")).await;
    assert_eq!(watch.told().await, "ADDED b");
}

#[tokio::test]
async fn objects_come_into_view_and_leave_it() {
    let server = server();
    let client = client_of(&server);
    let mut watch = Lines::open(&server, "labelSelector=app%3Dx").await;
    client.create("default", &config_map("a", "1")).await.unwrap();
    for app in [json!("x"), json!("y")] {
        client.patch::<ConfigMap>("default", "a", "", &Patch::Merge(json!({"metadata": {"labels": {"app": app}}}))).await.unwrap();
    }
    assert_eq!(watch.told().await, "ADDED a");
    let left = watch.next().await.unwrap();
    assert_eq!((left["type"].as_str(), left["object"]["metadata"]["labels"]["app"].as_str()), (Some("DELETED"), Some("x")));
    let now = get(&server, &format!("{PATH}/a")).await;
    assert_eq!(left["object"]["metadata"]["resourceVersion"], now["metadata"]["resourceVersion"], "at the place where it left");
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_bookmark() {
    let server = server();
    client_of(&server).create("default", &config_map("a", "1")).await.unwrap();
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = Lines::open(&server, query).await;
    assert_eq!(watch.told().await, "ADDED a");
    let end = watch.next().await.unwrap();
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn a_forgotten_place_is_an_error_event() {
    let server = server();
    let client = client_of(&server);
    for name in ["a", "b", "c"] {
        client.create("default", &config_map(name, "1")).await.unwrap();
    }
    server.state.store().compact(server.state.store().revision()).await.unwrap();
    let mut watch = Lines::open(&server, "resourceVersion=1").await;
    let error = watch.next().await.unwrap();
    assert_eq!((error["type"].as_str(), error["object"]["code"].as_u64()), (Some("ERROR"), Some(410)));
    assert!(watch.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_and_the_end_comes() {
    let server = server();
    let mut watch = Lines::open(&server, "resourceVersion=0&allowWatchBookmarks=true&timeoutSeconds=100").await;
    assert_eq!([watch.told().await, watch.told().await], ["BOOKMARK ", "BOOKMARK "]);
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_stop_ends_watches() {
    let server = server();
    let mut watch = Lines::open(&server, "").await;
    server.stop();
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn callers_in_the_process_get_events() {
    let server = server();
    let client = client_of(&server);
    let mut request = Request::builder().uri(format!("{PATH}?watch=1")).body(Body::Empty).unwrap();
    request.extensions_mut().insert(client::service::InProcess);
    let Body::Events(mut events) = server.call(request).await.into_body() else { panic!("not in process") };
    client.create("default", &config_map("a", "1")).await.unwrap();
    let batch = events.next().await.unwrap().unwrap();
    assert_eq!(batch[0].object.decoded::<ConfigMap>().unwrap().metadata.name.as_deref(), Some("a"));
}
