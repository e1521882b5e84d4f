//! Lists: pages of one snapshot, selectors, versions.
mod support;

use client::{DeleteOptions, ListOptions};
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;
use support::{ask, client_of, config_map, get, server};

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

const PATH: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn pages_show_one_moment() {
    let server = server();
    let client = client_of(&server);
    for name in ["a", "b", "c", "d", "e"] {
        client.create("default", &config_map(name, "1")).await.unwrap();
    }
    let first = get(&server, &format!("{PATH}?limit=2")).await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    client.create("default", &config_map("cc", "1")).await.unwrap();
    client.delete::<ConfigMap>("default", "d", &DeleteOptions::default()).await.unwrap();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = get(&server, &format!("{PATH}?limit=9&continue={token}")).await;
    assert_eq!(names(&rest), ["c", "d", "e"], "changes after the first page are not seen");
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(rest["metadata"]["continue"].is_null());
}

#[tokio::test]
async fn a_page_of_forgotten_history_offers_to_go_on() {
    let server = server();
    let client = client_of(&server);
    for name in ["a", "b", "c"] {
        client.create("default", &config_map(name, "1")).await.unwrap();
    }
    let first = get(&server, &format!("{PATH}?limit=1")).await;
    client.create("default", &config_map("d", "1")).await.unwrap();
    server.state.store().compact(server.state.store().revision()).await.unwrap();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (code, gone) = ask(&server, Method::GET, &format!("{PATH}?limit=1&continue={token}"), None).await;
    assert_eq!((code, gone["reason"].as_str()), (410, Some("Expired")));
    let token = gone["metadata"]["continue"].as_str().unwrap();
    assert_eq!(names(&get(&server, &format!("{PATH}?continue={token}")).await), ["b", "c", "d"]);
}

#[tokio::test]
async fn selectors_choose() {
    let server = server();
    let client = client_of(&server);
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x"), ("d", "x")] {
        let mut object = config_map(name, "1");
        object.metadata.labels = Some([("app".to_string(), app.to_string())].into());
        client.create("default", &object).await.unwrap();
    }
    assert_eq!(names(&get(&server, &format!("{PATH}?labelSelector=app%3Dx")).await), ["a", "c", "d"]);
    let page = get(&server, &format!("{PATH}?labelSelector=app%3Dx&limit=2")).await;
    assert_eq!(names(&page), ["a", "c"]);
    let token = page["metadata"]["continue"].as_str().unwrap();
    assert_eq!(names(&get(&server, &format!("{PATH}?labelSelector=app%3Dx&continue={token}")).await), ["d"]);
    assert_eq!(names(&get(&server, &format!("{PATH}?fieldSelector=metadata.name%3Db")).await), ["b"]);
    assert_eq!(names(&get(&server, "/api/v1/configmaps?fieldSelector=metadata.name%21%3Db,metadata.namespace%3Ddefault").await).len(), 3);
    let (found, _) = client.list::<ConfigMap>(&ListOptions::labels("app notin (x)")).await.unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn an_older_state_can_be_read() {
    let server = server();
    let client = client_of(&server);
    client.create("default", &config_map("a", "1")).await.unwrap();
    let then = get(&server, PATH).await["metadata"]["resourceVersion"].as_str().unwrap().to_string();
    client.create("default", &config_map("b", "1")).await.unwrap();
    assert_eq!(names(&get(&server, &format!("{PATH}?resourceVersion={then}&resourceVersionMatch=Exact")).await), ["a"]);
    assert_eq!(names(&get(&server, &format!("{PATH}?resourceVersion={then}")).await), ["a", "b"]);
    let (code, early) = ask(&server, Method::GET, &format!("{PATH}?resourceVersion=999"), None).await;
    assert_eq!((code, early["details"]["causes"][0]["reason"].as_str()), (504, Some("ResourceVersionTooLarge")));
}

#[tokio::test]
async fn collections_go_by_selector() {
    let server = server();
    let client = client_of(&server);
    for name in ["a", "b", "c"] {
        client.create("default", &config_map(name, "1")).await.unwrap();
    }
    let (code, _) = ask(&server, Method::DELETE, &format!("{PATH}?fieldSelector=metadata.name%21%3Db"), None).await;
    assert_eq!(code, 200);
    assert_eq!(names(&get(&server, PATH).await), ["b"]);
}
