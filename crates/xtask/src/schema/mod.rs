//! Writes the schema table: facts (names, numbers, types, markers) from v1.37.0's published definitions, no documentation.
//! Go types give structure (pointers, embedding, numbers), OpenAPI gives list types, defaults and what is required, proto files
//! say which messages exist on the protobuf wire, discovery gives the resources.
mod emit;
mod go;
mod openapi;
mod resources;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

pub type Error = Box<dyn std::error::Error>;

pub struct Generated {
    pub table: String,
    pub resources: String,
}

/// The Go packages whose types are served, by import path, with the module that holds them.
const PACKAGES: &[(&str, &str)] = &[
    ("k8s.io/apimachinery@v0.37.0", "pkg/apis/meta/v1"),
    ("k8s.io/apiextensions-apiserver@v0.37.0", "pkg/apis/apiextensions/v1"),
    ("k8s.io/kube-aggregator@v0.37.0", "pkg/apis/apiregistration/v1"),
];
const API: &str = "k8s.io/api@v0.37.0";

/// Where `go mod download` puts modules.
pub fn module_dir() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    std::env::var_os("GOMODCACHE").map(PathBuf::from).unwrap_or_else(|| home.join("go/pkg/mod"))
}

/// Reads `reference` (proto files, OpenAPI, discovery) and the Go types under `modules`.
pub fn generate(reference: &Path, modules: &Path) -> Result<Generated, Error> {
    let mut packages = Vec::new();
    for (module, path) in PACKAGES {
        packages.push(go::package(modules, module, path)?);
    }
    for group in sorted_dirs(&modules.join(API))? {
        for version in sorted_dirs(&modules.join(API).join(&group))? {
            let path = format!("{group}/{version}");
            if modules.join(API).join(&path).join("types.go").is_file() {
                packages.push(go::package(modules, API, &path)?);
            }
        }
    }
    let facts = openapi::read(&reference.join("openapi/v3"))?;
    let protobuf = proto_messages(&reference.join("proto"), &packages)?;
    let table = emit::table(&packages, &facts, &protobuf)?;
    let resources = resources::read(&reference.join("discovery"), &table)?;
    Ok(Generated { table, resources })
}

fn sorted_dirs(dir: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Messages that have a protobuf form, by OpenAPI name, with the numbers of their repeated fields.
pub(crate) type Protobuf = HashMap<String, HashSet<String>>;

fn proto_messages(dir: &Path, packages: &[go::Package]) -> Result<Protobuf, Error> {
    let mut messages = Protobuf::new();
    for package in packages {
        let Ok(text) = std::fs::read_to_string(dir.join(&package.path).join("generated.proto")) else { continue };
        let mut current = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("message ") {
                current = format!("{}.{}", package.openapi_name(), name.trim_end_matches(" {"));
                messages.entry(current.clone()).or_default();
            }
            let number = line.trim().strip_prefix("repeated ").or_else(|| line.trim().strip_prefix("map<"));
            if let Some((_, number)) = number.and_then(|line| line.rsplit_once(" = ")) {
                messages.entry(current.clone()).or_default().insert(number.trim_end_matches(';').into());
            }
        }
    }
    Ok(messages)
}
