//! OpenAPI documents of the whole API, made from the schema table and the resources when somebody asks; v3 per group and version,
//! v2 as one.
//! What never happens here: caching (a document is asked for rarely, and clients keep it by its hash).
mod descriptions;
mod paths;
mod schemas;
mod v2;

pub use v2::v2;

use crate::schema::{Resource, resources};
use descriptions::Descriptions;
use serde_json::{Map, Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

/// `api/v1`, `apis/apps/v1`, …
pub fn document_paths() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for resource in resources() {
        let path = path_of(resource.group, resource.version);
        if !all.contains(&path) {
            all.push(path);
        }
    }
    all
}

/// What `/openapi/v3` answers: where each document is, with its hash, so that clients may keep it for ever.
pub fn index() -> Value {
    let entry = |path: String| {
        let url = format!("/openapi/v3/{path}?hash={}", hash(&path));
        (path, json!({ "serverRelativeURL": url }))
    };
    json!({ "paths": document_paths().into_iter().map(entry).collect::<Map<_, _>>() })
}

/// Changes with the table, the descriptions and the program's version; opaque to clients.
pub fn hash(path: &str) -> String {
    static CONTENT: OnceLock<u64> = OnceLock::new();
    let hashed = |part: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        part(&mut hasher);
        hasher.finish()
    };
    let inputs = (env!("CARGO_PKG_VERSION"), crate::schema::TABLE, crate::schema::RESOURCES, descriptions::PACKED);
    let content = CONTENT.get_or_init(|| hashed(&|hasher| inputs.hash(hasher)));
    format!("{:016X}{:016X}", content, hashed(&|hasher| (content, path).hash(hasher)))
}

/// The OpenAPI v3 document of a group and version as JSON; `path` as in `document_paths`.
pub fn document(path: &str) -> Option<Vec<u8>> {
    let served: Vec<&Resource> = resources().iter().filter(|resource| path_of(resource.group, resource.version) == path).collect();
    if served.is_empty() {
        return None;
    }
    let descriptions = Descriptions::load();
    serde_json::to_vec(&v3(&served, &descriptions)).ok()
}

fn v3(served: &[&Resource], descriptions: &Descriptions) -> Value {
    let mut wanted = schemas::Wanted::default();
    let mut paths = Map::new();
    if let Some(first) = served.first() {
        paths::add_discovery(&path_of(first.group, first.version), first, &mut paths, &mut wanted);
    }
    for resource in served {
        paths::add(resource, &mut paths, &mut wanted);
    }
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "v1.37.0" },
        "paths": paths,
        "components": {
            "schemas": wanted.schemas(descriptions),
            "securitySchemes": { "BearerToken": {
                "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
            } },
        },
    })
}

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

#[cfg(test)]
mod tests;
