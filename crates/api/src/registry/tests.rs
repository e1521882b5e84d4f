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

/// Every kind reads and writes the original's sample object without loss, and gives it the same defaults twice; skipped where
/// the samples are not at hand.
#[test]
fn kinds_lose_nothing_of_the_originals_objects() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference/api-golden");
    let mut seen = 0;
    for entry in registry().all() {
        let names = entry.kind.names();
        let group = if names.group.is_empty() { "core" } else { names.group };
        let Ok(text) = std::fs::read(format!("{folder}/{group}.{}.{}.json", names.version, names.kind)) else { continue };
        seen += 1;
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        if names.kind == "PodDisruptionBudget" {
            // The sample has a time that is null inside a map, which no client sends.
            value["status"]["disruptedPods"] = json!({});
        }
        let mut object = entry.kind.decode(value.clone()).unwrap();
        // Claims inside stateful sets say what they are, as the original's do once they are stored.
        let lost = crate::access::differences(&value, &object.to_value());
        let lost: Vec<&str> = lost.lines().filter(|line| !line.contains("volumeClaimTemplates")).collect();
        assert_eq!(lost, [""; 0], "{group} {}", names.kind);
        entry.kind.default(&mut *object);
        let once = object.to_value();
        entry.kind.default(&mut *object);
        assert_eq!(crate::access::differences(&once, &object.to_value()), "", "{group} {}", names.kind);
        let hub = registry().hub_of(names).names();
        let there = registry().convert(value.clone(), names, hub);
        assert_eq!(there["apiVersion"], hub.api_version());
    }
    assert!(seen == 0 || seen > 90, "{seen}");
}
