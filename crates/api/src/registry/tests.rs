use super::*;
use serde_json::{Value, json};
use std::path::Path;

const DISCOVERY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference/discovery-1.37");

#[test]
fn knows_every_resource() {
    assert_eq!(registry().all().len(), 100);
    assert_eq!(registry().groups()[0].name, "");
    let nodes = registry().by_kind("", "v1", "Node").unwrap().kind.names();
    assert_eq!(nodes.key("", "a"), "/registry/minions/a");
    assert!(registry().by_kind("", "v1", "Binding").unwrap().virtual_only);
}

#[test]
fn versions_share_storage() {
    for entry in registry().all() {
        let names = entry.kind.names();
        let hub = registry().hub_of(names);
        assert_eq!((hub.names().plural, hub.names().storage), (names.plural, names.storage), "{}", names.api_version());
        assert_eq!(registry().hub_of(hub.names()).names().api_version(), hub.names().api_version());
    }
    let events = registry().by_resource("events.k8s.io", "v1", "events").unwrap().kind;
    assert_eq!(registry().hub_of(events.names()).names().group, "");
}

/// Kinds with code repeat their names; this compares them with the schema table's.
#[test]
fn written_kinds_are_called_as_discovery_calls_them() {
    let told = |names: &Names| format!("{names:?}");
    for resource in schema::resources() {
        let entry = registry().by_resource(resource.group, resource.version, resource.plural).unwrap();
        assert_eq!(told(entry.kind.names()), told(&names(resource, entry.virtual_only)));
        for (name, verbs) in entry.kind.subresources() {
            let listed = resource.subresources.iter().find(|sub| sub.name == name);
            assert_eq!(listed.map(|sub| &sub.verbs[..]), Some(verbs), "{} {name}", resource.plural);
        }
        assert_eq!(entry.kind.scalable(), resource.subresources.iter().any(|sub| sub.name == "scale"), "{}", resource.plural);
    }
}

/// Against what the original told; skipped where its answers are not at hand.
#[test]
fn groups_versions_and_storage_hashes_are_the_originals() {
    let Ok(text) = std::fs::read(Path::new(DISCOVERY).join("apis.json")) else { return };
    let apis: Value = serde_json::from_slice(&text).unwrap();
    let mut expected = vec![json!(["", ["v1"]])];
    for group in apis["groups"].as_array().unwrap() {
        let versions = group["versions"].as_array().unwrap().iter().map(|version| version["version"].clone());
        expected.push(json!([group["name"], versions.collect::<Vec<_>>()]));
    }
    let told: Vec<Value> = registry().groups().iter().map(|group| json!([group.name, group.versions])).collect();
    assert_eq!(told, expected);
    for group in registry().groups() {
        for version in &group.versions {
            let file = if group.name.is_empty() { "api__v1.json".into() } else { format!("apis__{}__{version}.json", group.name) };
            let list: Value = serde_json::from_slice(&std::fs::read(Path::new(DISCOVERY).join(file)).unwrap()).unwrap();
            let resources = list["resources"].as_array().unwrap().iter().filter(|item| !item["name"].as_str().unwrap().contains('/'));
            let expected: Vec<Value> =
                resources.map(|item| json!([item["name"], item["storageVersionHash"].as_str().unwrap_or("")])).collect();
            let told = registry()
                .of_version(group.name, version)
                .map(|entry| json!([entry.kind.names().plural, registry().storage_hash(entry.kind.names())]));
            assert_eq!(told.collect::<Vec<_>>(), expected);
        }
    }
}
