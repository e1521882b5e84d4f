//! The incremental snapshot: a row per node with what is used of it, kept up to date by every event, never computed over.
use crate::pod::{HostPort, PodInfo};
use crate::resources::Resources;
use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Taint};
use machinery::meta::Key;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// One node.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub name: String,
    pub node: Option<Arc<Node>>,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub allocatable: Resources,
    pub requested: Resources,
    /// CPU and memory for scores.
    pub scored: (i64, i64),
    pub ports: Vec<HostPort>,
    pub pods: HashMap<Key, Arc<PodInfo>>,
    /// Size of images that are there, by name.
    pub images: HashMap<String, i64>,
}

impl Row {
    fn describe(&mut self, node: Arc<Node>) {
        self.labels = node.metadata.labels.clone().unwrap_or_default();
        let spec = node.spec.clone().unwrap_or_default();
        self.taints = spec.taints.unwrap_or_default();
        self.unschedulable = spec.unschedulable.unwrap_or(false);
        let status = node.status.as_ref();
        self.allocatable = Resources::of(status.and_then(|status| status.allocatable.as_ref()));
        let images = status.and_then(|status| status.images.as_deref()).unwrap_or_default();
        let named = images.iter().flat_map(|image| image.names.iter().flatten().map(|name| (name.clone(), image.size_bytes.unwrap_or(0))));
        self.images = named.collect();
        self.node = Some(node);
    }

    pub fn put(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.scored = (self.scored.0 + pod.scored.0, self.scored.1 + pod.scored.1);
        self.ports.extend(pod.ports.iter().cloned());
        self.pods.insert(pod.key.clone(), pod);
    }

    pub fn take(&mut self, key: &Key) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(key)?;
        self.requested.subtract(&pod.requests);
        self.scored = (self.scored.0 - pod.scored.0, self.scored.1 - pod.scored.1);
        for port in &pod.ports {
            if let Some(at) = self.ports.iter().position(|own| own == port) {
                self.ports.swap_remove(at);
            }
        }
        Some(pod)
    }
}

/// All nodes with their pods.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Rows of nodes; a row without `node` is one whose pods came before it, or a free place.
    pub rows: Vec<Row>,
    by_name: HashMap<String, usize>,
    /// Where each placed pod is.
    places: HashMap<Key, usize>,
    namespaces: HashMap<String, BTreeMap<String, String>>,
    /// Rows that have pods with affinity terms: all that rules over existing pods need to look at.
    pub with_affinity: BTreeSet<usize>,
    /// Pods that wait for their victims to leave, by node.
    nominated: HashMap<String, Vec<Arc<PodInfo>>>,
    /// Claims with the volume that they are bound to.
    claims: HashMap<Key, Option<String>>,
    /// Required node affinity of volumes that have one.
    volumes: HashMap<String, Vec<NodeSelectorTerm>>,
}

impl Cluster {
    pub fn nodes(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.node.is_some())
    }

    pub fn row(&self, name: &str) -> Option<&Row> {
        self.by_name.get(name).map(|at| &self.rows[*at]).filter(|row| row.node.is_some())
    }

    pub fn set_node(&mut self, node: Arc<Node>) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let at = self.place(&name);
        self.rows[at].describe(node);
    }

    pub fn remove_node(&mut self, name: &str) {
        if let Some(at) = self.by_name.get(name) {
            self.rows[*at].node = None;
        }
    }

    /// A pod that has a node, by the API or by our own decision.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.remove_pod(&pod.key);
        let at = self.place(node);
        if pod.has_affinity() {
            self.with_affinity.insert(at);
        }
        self.places.insert(pod.key.clone(), at);
        self.rows[at].put(pod);
    }

    pub fn remove_pod(&mut self, key: &Key) -> Option<Arc<PodInfo>> {
        let at = self.places.remove(key)?;
        let pod = self.rows[at].take(key);
        if !self.rows[at].pods.values().any(|pod| pod.has_affinity()) {
            self.with_affinity.remove(&at);
        }
        pod
    }

    pub fn node_of(&self, key: &Key) -> Option<&str> {
        self.places.get(key).map(|at| self.rows[*at].name.as_str())
    }

    pub fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) {
        match labels {
            Some(labels) => drop(self.namespaces.insert(name.into(), labels)),
            None => drop(self.namespaces.remove(name)),
        }
    }

    pub fn namespace_labels(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.namespaces.get(name).cloned()
    }

    /// `None`: no such claim; `Some(None)`: not bound.
    pub fn claim(&self, key: &Key) -> Option<Option<&String>> {
        self.claims.get(key).map(Option::as_ref)
    }

    pub fn set_claim(&mut self, key: Key, bound_to: Option<String>) {
        self.claims.insert(key, bound_to);
    }

    pub fn remove_claim(&mut self, key: &Key) {
        self.claims.remove(key);
    }

    pub fn volume(&self, name: &str) -> Option<&Vec<NodeSelectorTerm>> {
        self.volumes.get(name)
    }

    pub fn set_volume(&mut self, name: &str, affinity: Option<Vec<NodeSelectorTerm>>) {
        match affinity {
            Some(terms) => drop(self.volumes.insert(name.into(), terms)),
            None => drop(self.volumes.remove(name)),
        }
    }

    pub fn nominate(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.forget_nomination(&pod.key);
        self.nominated.entry(node.into()).or_default().push(pod);
    }

    pub fn forget_nomination(&mut self, key: &Key) {
        self.nominated.retain(|_, pods| {
            pods.retain(|pod| pod.key != *key);
            !pods.is_empty()
        });
    }

    /// The row as it will be once pods of at least this priority that are to come have come.
    pub fn row_with_nominated(&self, row: &Row, pod: &PodInfo) -> Option<Row> {
        let coming = self.nominated.get(&row.name)?;
        let coming: Vec<_> = coming.iter().filter(|other| other.priority >= pod.priority && other.key != pod.key).collect();
        if coming.is_empty() {
            return None;
        }
        let mut then = row.clone();
        coming.into_iter().for_each(|other| then.put(other.clone()));
        Some(then)
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        self.rows.push(Row { name: name.into(), ..Row::default() });
        self.by_name.insert(name.into(), self.rows.len() - 1);
        self.rows.len() - 1
    }
}
