//! All resources that are served: kinds with code come from their group's folder, all others are generic over the schema
//! table. Here stands how versions of one resource share storage. What is not here: how anything is served.
use crate::generic::Generic;
use crate::{
    apps, autoscaling, batch, certificates, convert, coordination, core, discovery, events, networking, policy, rbac, scheduling, storage,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::kind::{DynKind, Names};
use machinery::schema::{self, Subresource};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::OnceLock;

/// Groups whose kinds have code; a new group folder adds its line here.
static GROUPS: &[&[&dyn DynKind]] = &[
    core::KINDS,
    apps::KINDS,
    autoscaling::KINDS,
    batch::KINDS,
    certificates::KINDS,
    coordination::KINDS,
    discovery::KINDS,
    events::KINDS,
    networking::KINDS,
    policy::KINDS,
    rbac::KINDS,
    scheduling::KINDS,
    storage::KINDS,
];

/// Resources stored in a version other than their group's first, or in another group: `(group, plural, storage group, storage version)`.
/// As the original has them, so that a rollback to the release before finds what it can read.
static HUBS: &[(&str, &str, &str, &str)] = &[
    ("events.k8s.io", "events", "", "v1"),
    ("certificates.k8s.io", "clustertrustbundles", "certificates.k8s.io", "v1beta1"),
    ("certificates.k8s.io", "podcertificaterequests", "certificates.k8s.io", "v1beta1"),
    ("resource.k8s.io", "devicetaintrules", "resource.k8s.io", "v1beta2"),
    ("storagemigration.k8s.io", "storageversionmigrations", "storagemigration.k8s.io", "v1beta1"),
];

/// Resources whose keys do not begin with their plural.
static KEYS: &[(&str, &str, &str)] = &[
    ("", "replicationcontrollers", "controllers"),
    ("", "endpoints", "services/endpoints"),
    ("", "nodes", "minions"),
    ("", "services", "services/specs"),
    ("networking.k8s.io", "ingresses", "ingress"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "apiextensions.k8s.io/customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices", "apiregistration.k8s.io/apiservices"),
];

/// One resource in one version.
pub struct Entry {
    pub kind: &'static dyn DynKind,
    /// As discovery lists them, those with effects (`exec`, `log`, `eviction`) included.
    pub subresources: &'static [Subresource],
    /// Has no objects of its own: reviews, `Binding`, `ComponentStatus`.
    pub virtual_only: bool,
}

/// A group as discovery lists it; the first version is the preferred one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: &'static str,
    pub versions: Vec<&'static str>,
}

pub struct Registry {
    entries: Vec<Entry>,
    groups: Vec<Group>,
    by_resource: HashMap<(&'static str, &'static str, &'static str), usize>,
    by_kind: HashMap<(&'static str, &'static str, &'static str), usize>,
}

/// The one registry of the process, built at first use.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::build)
}

impl Registry {
    fn build() -> Registry {
        let entries: Vec<Entry> = schema::resources().iter().map(entry).collect();
        let mut groups: Vec<Group> = Vec::new();
        let (mut by_resource, mut by_kind) = (HashMap::new(), HashMap::new());
        for (index, entry) in entries.iter().enumerate() {
            let names = entry.kind.names();
            by_resource.insert((names.group, names.version, names.plural), index);
            by_kind.insert((names.group, names.version, names.kind), index);
            match groups.iter_mut().find(|group| group.name == names.group) {
                None => groups.push(Group { name: names.group, versions: vec![names.version] }),
                Some(group) if group.versions.contains(&names.version) => {}
                Some(group) => group.versions.push(names.version),
            }
        }
        Registry { entries, groups, by_resource, by_kind }
    }

    /// Every resource in every version, in discovery's order.
    pub fn all(&self) -> &[Entry] {
        &self.entries
    }

    /// The groups in discovery's order, the core group (`""`) among them, each with its versions, the preferred one first.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub fn by_resource(&self, group: &str, version: &str, plural: &str) -> Option<&Entry> {
        self.by_resource.get(&(group, version, plural)).map(|&index| &self.entries[index])
    }

    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Entry> {
        self.by_kind.get(&(group, version, kind)).map(|&index| &self.entries[index])
    }

    /// The resources of one version of a group.
    pub fn of_version(&self, group: &str, version: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.kind.names().group == group && entry.kind.names().version == version)
    }

    /// The kind in whose version objects of `kind` are stored and decided upon; the kind itself for most.
    pub fn hub_of(&self, kind: &Names) -> &'static dyn DynKind {
        let (group, version) = hub_version(kind);
        let hub = self.by_resource(group, version, kind.plural).or_else(|| self.by_resource(kind.group, kind.version, kind.plural));
        hub.expect("a registered kind is its own hub at least").kind
    }

    /// `storageVersionHash` of discovery: empty for what has no storage.
    pub fn storage_hash(&self, kind: &Names) -> String {
        if kind.storage.is_empty() {
            return String::new();
        }
        let hub = self.hub_of(kind);
        // The original still names the version its CRDs were first stored in.
        let version = if hub.names().plural == "customresourcedefinitions" { "v1beta1" } else { hub.names().version };
        let digest = Sha256::digest(format!("{}/{version}/{}", hub.names().group, hub.names().kind));
        STANDARD.encode(&digest[..8])
    }

    /// An object (as JSON value) of one version in another version of the same resource.
    pub fn convert(&self, value: serde_json::Value, from: &Names, to: &Names) -> serde_json::Value {
        convert::convert(value, from, to)
    }
}

fn entry(resource: &'static schema::Resource) -> Entry {
    let written = GROUPS.iter().flat_map(|kinds| kinds.iter()).copied().find(|kind| {
        let names = kind.names();
        (names.group, names.version, names.plural) == (resource.group, resource.version, resource.plural)
    });
    let virtual_only = !resource.verbs.contains(&"watch");
    let kind = written.unwrap_or_else(|| Box::leak(Box::new(Generic::new(names(resource, virtual_only), &resource.subresources))));
    Entry { kind, subresources: &resource.subresources, virtual_only }
}

fn names(resource: &'static schema::Resource, virtual_only: bool) -> Names {
    Names {
        group: resource.group,
        version: resource.version,
        kind: resource.kind,
        plural: resource.plural,
        singular: resource.singular,
        short: &resource.short_names,
        categories: &resource.categories,
        namespaced: resource.namespaced,
        verbs: &resource.verbs,
        storage: if virtual_only { "" } else { key_prefix(resource.group, resource.plural) },
        schema: resource.schema,
    }
}

/// The first part of the store's keys of a resource.
fn key_prefix(group: &str, plural: &'static str) -> &'static str {
    KEYS.iter().find(|(of, resource, _)| (*of, *resource) == (group, plural)).map_or(plural, |(_, _, key)| key)
}

fn hub_version(names: &Names) -> (&'static str, &'static str) {
    if let Some((_, _, group, version)) = HUBS.iter().find(|(group, plural, ..)| (*group, *plural) == (names.group, names.plural)) {
        return (group, version);
    }
    let first = schema::resources().iter().find(|resource| (resource.group, resource.plural) == (names.group, names.plural));
    first.map_or((names.group, names.version), |first| (first.group, first.version))
}

#[cfg(test)]
mod tests;
