//! The verbs over the memory store, in process: what clients of one process see.
mod support;

use client::{DeleteOptions, ListOptions, Patch};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use machinery::status::Reason;
use serde_json::json;
use support::{config_map, start};

#[tokio::test]
async fn an_object_lives_from_create_to_delete() {
    let client = start().await;
    let made = client.create("default", &config_map("a", "1")).await.unwrap();
    let version = made.metadata.resource_version.clone().unwrap();
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    let taken = client.create("default", &config_map("a", "1")).await.unwrap_err();
    assert_eq!(taken.to_string(), "configmaps \"a\" already exists");

    let mut changed = (*made).clone();
    changed.data.as_mut().unwrap().insert("k".into(), "2".into());
    let updated = client.update(&changed).await.unwrap();
    assert_ne!(updated.metadata.resource_version, Some(version.clone()));
    let stale = client.update(&changed).await.unwrap_err();
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    assert_eq!(stale.to_string(), format!("Operation cannot be fulfilled on configmaps \"a\": {why}"));

    let same = client.update(&*updated).await.unwrap();
    assert_eq!(same.metadata.resource_version, updated.metadata.resource_version, "a write that changes nothing writes nothing");

    client.delete::<ConfigMap>("default", "a", &DeleteOptions::default()).await.unwrap();
    let gone = client.get::<ConfigMap>("default", "a").await.unwrap_err();
    assert_eq!(gone.to_string(), "configmaps \"a\" not found");
}

#[tokio::test]
async fn patches_change_what_they_say() {
    let client = start().await;
    client.create("default", &config_map("a", "1")).await.unwrap();
    let merge = Patch::Merge(json!({"data": {"k": null, "l": "2"}}));
    let merged = client.patch::<ConfigMap>("default", "a", "", &merge).await.unwrap();
    assert_eq!(json!(merged.data), json!({"l": "2"}));
    let json_patch = Patch::Json(json!([{"op": "replace", "path": "/data/l", "value": "3"}]));
    let patched = client.patch::<ConfigMap>("default", "a", "", &json_patch).await.unwrap();
    assert_eq!(json!(patched.data), json!({"l": "3"}));
    let missing = client.patch::<ConfigMap>("default", "b", "", &merge).await.unwrap_err();
    assert!(missing.is_not_found());
}

#[tokio::test]
async fn generated_names_have_their_prefix() {
    let client = start().await;
    let mut object = config_map("", "1");
    object.metadata.name = None;
    object.metadata.generate_name = Some("web-".into());
    let made = client.create("default", &object).await.unwrap();
    let name = made.metadata.name.clone().unwrap();
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
}

#[tokio::test]
async fn finalizers_keep_an_object_until_they_are_gone() {
    let client = start().await;
    let mut object = config_map("a", "1");
    object.metadata.finalizers = Some(vec!["example.com/x".into()]);
    client.create("default", &object).await.unwrap();
    client.delete::<ConfigMap>("default", "a", &DeleteOptions::default()).await.unwrap();
    let mut waiting = (*client.get::<ConfigMap>("default", "a").await.unwrap()).clone();
    assert!(waiting.metadata.deletion_timestamp.is_some());
    waiting.metadata.finalizers = None;
    client.update(&waiting).await.unwrap();
    assert!(client.find::<ConfigMap>("default", "a").await.unwrap().is_none());
}

#[tokio::test]
async fn cascading_policies_become_finalizers() {
    let client = start().await;
    for (name, policy, finalizer) in [("a", "Orphan", "orphan"), ("b", "Foreground", "foregroundDeletion")] {
        client.create("default", &config_map(name, "1")).await.unwrap();
        let options = DeleteOptions { propagation_policy: Some(policy), ..DeleteOptions::default() };
        client.delete::<ConfigMap>("default", name, &options).await.unwrap();
        let waiting = client.get::<ConfigMap>("default", name).await.unwrap();
        assert_eq!(waiting.metadata.finalizers, Some(vec![finalizer.to_string()]));
    }
}

#[tokio::test]
async fn deletions_have_preconditions() {
    let client = start().await;
    client.create("default", &config_map("a", "1")).await.unwrap();
    let options = DeleteOptions { uid: Some("other".into()), ..DeleteOptions::default() };
    let refused = client.delete::<ConfigMap>("default", "a", &options).await.unwrap_err();
    assert!(refused.is_conflict() && refused.to_string().contains("the UID in the precondition (other)"), "{refused}");
}

#[tokio::test]
async fn every_kind_of_object_goes_the_same_way() {
    let client = start().await;
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "x"}})).unwrap();
    client.create("", &namespace).await.unwrap();
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}
    }))
    .unwrap();
    let made = client.create("x", &deployment).await.unwrap();
    assert_eq!(made.metadata.namespace.as_deref(), Some("x"));
    let (pods, version) = client.list::<Pod>(&ListOptions::default()).await.unwrap();
    assert!(pods.is_empty() && !version.is_empty());
}

#[tokio::test]
async fn names_and_namespaces_must_agree() {
    let client = start().await;
    let mut object = config_map("a", "1");
    object.metadata.namespace = Some("other".into());
    let refused = client.create("default", &object).await.unwrap_err();
    assert!(refused.is(Reason::BadRequest));
    assert_eq!(refused.to_string(), "the namespace of the provided object does not match the namespace sent on the request");
}
