//! The aggregated document: all groups, versions and resources in one answer.
use super::legacy::group_versions;
use crate::kinds::{Kinds, Served};
use serde_json::{Value, json};

/// `core`: what `/api` has, otherwise what `/apis` has.
pub fn document(kinds: &Kinds, core: bool, version: &str) -> Value {
    let items: Vec<Value> = match core {
        true => vec![group(kinds, "", &["v1"])],
        false => group_versions(kinds).iter().map(|(name, versions)| group(kinds, name, versions)).collect(),
    };
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items,
    })
}

fn group(kinds: &Kinds, name: &str, versions: &[&str]) -> Value {
    let version = |version: &&str| {
        let of = |served: &&std::sync::Arc<Served>| {
            let names = served.kind.names();
            (names.group, names.version) == (name, *version)
        };
        let resources: Vec<Value> = kinds.all().iter().filter(of).map(|served| resource(served)).collect();
        json!({"version": version, "resources": resources, "freshness": "Current"})
    };
    let versions: Vec<Value> = versions.iter().map(version).collect();
    let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
    json!({"metadata": metadata, "versions": versions})
}

fn resource(served: &Served) -> Value {
    let names = served.kind.names();
    let mut value = json!({
        "resource": names.plural,
        "responseKind": {"group": "", "version": "", "kind": names.kind},
        "scope": if names.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": names.singular,
        "verbs": names.verbs,
    });
    if !names.short.is_empty() {
        value["shortNames"] = json!(names.short);
    }
    if !names.categories.is_empty() {
        value["categories"] = json!(names.categories);
    }
    if !served.subresources.is_empty() {
        value["subresources"] = served
            .subresources
            .iter()
            .map(|sub| {
                let same = (sub.group.as_str(), sub.version.as_str()) == (names.group, names.version);
                let (group, version) = if same { ("", "") } else { (sub.group.as_str(), sub.version.as_str()) };
                json!({"subresource": sub.name, "responseKind": {"group": group, "version": version, "kind": sub.kind}, "verbs": sub.verbs})
            })
            .collect();
    }
    value
}
