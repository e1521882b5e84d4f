//! `/api`, `/apis` and what is below them, a document per group and version.
use crate::kinds::{Kinds, Served};
use serde_json::{Map, Value, json};

/// The groups but the core one, each with its versions, the preferred one first.
pub fn group_versions(kinds: &Kinds) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for served in kinds.all() {
        let names = served.kind.names();
        match groups.iter_mut().find(|(group, _)| *group == names.group) {
            _ if names.group.is_empty() => {}
            None => groups.push((names.group, vec![names.version])),
            Some((_, versions)) if versions.contains(&names.version) => {}
            Some((_, versions)) => versions.push(names.version),
        }
    }
    groups
}

pub fn versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

pub fn groups(kinds: &Kinds) -> Value {
    let groups: Vec<Value> = group_versions(kinds).iter().map(|(group, versions)| one(group, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

pub fn group(kinds: &Kinds, name: &str) -> Option<Value> {
    let groups = group_versions(kinds);
    let (group, versions) = groups.iter().find(|(group, _)| *group == name)?;
    let mut value = one(group, versions);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(value)
}

fn one(group: &str, versions: &[&str]) -> Value {
    let version = |version: &str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let all: Vec<Value> = versions.iter().map(|name| version(name)).collect();
    json!({"name": group, "versions": all, "preferredVersion": version(versions[0])})
}

pub fn resources(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    if !kinds.has_version(group, version) {
        return None;
    }
    let mut resources = Vec::new();
    for served in kinds.all() {
        let names = served.kind.names();
        if names.group == group && names.version == version {
            resources.push(resource(served));
            resources.extend(subresources(served));
        }
    }
    let group_version = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources});
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Some(list)
}

fn resource(served: &Served) -> Value {
    let names = served.kind.names();
    let mut map = Map::new();
    map.insert("name".into(), names.plural.into());
    map.insert("singularName".into(), names.singular.into());
    map.insert("namespaced".into(), names.namespaced.into());
    map.insert("kind".into(), names.kind.into());
    map.insert("verbs".into(), json!(names.verbs));
    if !names.short.is_empty() {
        map.insert("shortNames".into(), json!(names.short));
    }
    if !names.categories.is_empty() {
        map.insert("categories".into(), json!(names.categories));
    }
    if !served.storage_hash.is_empty() {
        map.insert("storageVersionHash".into(), served.storage_hash.as_str().into());
    }
    Value::Object(map)
}

fn subresources(served: &Served) -> impl Iterator<Item = Value> {
    let names = served.kind.names();
    served.subresources.iter().map(|sub| {
        let mut value = json!({
            "name": format!("{}/{}", names.plural, sub.name), "singularName": "", "namespaced": names.namespaced,
            "kind": sub.kind, "verbs": sub.verbs,
        });
        if (sub.group.as_str(), sub.version.as_str()) != (names.group, names.version) {
            value["group"] = sub.group.as_str().into();
            value["version"] = sub.version.as_str().into();
        }
        value
    })
}
