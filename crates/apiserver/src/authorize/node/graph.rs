//! Which objects each node's pods use. An entry counts how many pods (or volumes) lead from an object to a node, so that each
//! change of one object only touches what that object names.
use crate::follow::View;
use k8s_openapi::api::certificates::v1beta1::PodCertificateRequest;
use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use k8s_openapi::api::resource::v1::ResourceSlice;
use k8s_openapi::api::storage::v1::VolumeAttachment;
use machinery::object::Stored;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Pod,
    Secret,
    ConfigMap,
    Claim,
    Volume,
    ResourceClaim,
    Attachment,
    ServiceAccount,
    Slice,
    CertificateRequest,
}

type Vertex = (Kind, String, String);

#[derive(Default)]
pub struct Graph {
    /// Object to node, with the number of ways.
    nodes: HashMap<Vertex, HashMap<Arc<str>, u32>>,
    /// Volume, or secret of a volume, to the claims (namespace, name) that are bound to it.
    claims: HashMap<Vertex, HashMap<(String, String), u32>>,
    names: HashMap<String, Arc<str>>,
}

impl Graph {
    pub fn reaches(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        let vertex = (kind, namespace.to_string(), name.to_string());
        let direct = |vertex: &Vertex| self.nodes.get(vertex).is_some_and(|nodes| nodes.contains_key(node));
        let through_claim = || {
            let claims = self.claims.get(&vertex).into_iter().flat_map(HashMap::keys);
            claims.into_iter().any(|(namespace, name)| direct(&(Kind::Claim, namespace.clone(), name.clone())))
        };
        direct(&vertex) || through_claim()
    }

    fn take(&mut self, stored: &Stored, add: bool) {
        let resource = stored.key.trim_start_matches("/registry/").split('/').next().unwrap_or_default();
        match resource {
            "pods" => self.take_pod(stored, add),
            "persistentvolumes" => self.take_volume(stored, add),
            "volumeattachments" => {
                let Ok(attachment) = serde_json::from_slice::<VolumeAttachment>(&stored.json) else { return };
                let vertex = (Kind::Attachment, String::new(), attachment.metadata.name.unwrap_or_default());
                self.edge(vertex, &attachment.spec.node_name, add);
            }
            "resourceslices" => {
                let Ok(slice) = serde_json::from_slice::<ResourceSlice>(&stored.json) else { return };
                let vertex = (Kind::Slice, String::new(), slice.metadata.name.unwrap_or_default());
                self.edge(vertex, &slice.spec.node_name.unwrap_or_default(), add);
            }
            "podcertificaterequests" => {
                let Ok(request) = serde_json::from_slice::<PodCertificateRequest>(&stored.json) else { return };
                let meta = request.metadata;
                let vertex = (Kind::CertificateRequest, meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default());
                self.edge(vertex, &request.spec.node_name, add);
            }
            _ => {}
        }
    }

    fn take_pod(&mut self, stored: &Stored, add: bool) {
        let Ok(pod) = stored.decoded::<Pod>() else { return };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        if node.is_empty() {
            return;
        }
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        for (kind, name) in used(&pod) {
            self.edge((kind, namespace.clone(), name), node, add);
        }
    }

    fn take_volume(&mut self, stored: &Stored, add: bool) {
        let Ok(volume) = serde_json::from_slice::<PersistentVolume>(&stored.json) else { return };
        let Some(claim) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone()) else { return };
        let claim = (claim.namespace.unwrap_or_default(), claim.name.unwrap_or_default());
        let own = (Kind::Volume, String::new(), volume.metadata.name.clone().unwrap_or_default());
        let secrets = volume_secrets(&volume, &claim.0).into_iter().map(|(namespace, name)| (Kind::Secret, namespace, name));
        for vertex in std::iter::once(own).chain(secrets) {
            count(self.claims.entry(vertex.clone()).or_default(), claim.clone(), add);
            if self.claims[&vertex].is_empty() {
                self.claims.remove(&vertex);
            }
        }
    }

    fn edge(&mut self, vertex: Vertex, node: &str, add: bool) {
        if node.is_empty() || vertex.2.is_empty() {
            return;
        }
        let node = self.names.entry(node.to_string()).or_insert_with(|| node.into()).clone();
        let nodes = self.nodes.entry(vertex.clone()).or_default();
        count(nodes, node, add);
        if nodes.is_empty() {
            self.nodes.remove(&vertex);
        }
    }
}

fn count<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: K, add: bool) {
    if add {
        *counts.entry(key).or_default() += 1;
    } else if let std::collections::hash_map::Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

impl View for Graph {
    fn change(&mut self, old: Option<&Arc<Stored>>, new: Option<&Arc<Stored>>) {
        if let Some(old) = old {
            self.take(old, false);
        }
        if let Some(new) = new {
            self.take(new, true);
        }
    }
}

/// All that a pod names in its namespace, itself included. A mirror pod gives access to nothing but itself: the node made it.
fn used(pod: &Pod) -> Vec<(Kind, String)> {
    let pod_name = pod.metadata.name.clone().unwrap_or_default();
    let mut all = vec![(Kind::Pod, pod_name.clone())];
    let mirror = pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key("kubernetes.io/config.mirror"));
    let Some(spec) = pod.spec.as_ref().filter(|_| !mirror) else { return all };
    all.extend(spec.service_account_name.clone().map(|name| (Kind::ServiceAccount, name)));
    all.extend(references(pod).into_iter().filter(|(_, name)| !name.is_empty()));
    for volume in spec.volumes.iter().flatten() {
        let claim = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone());
        let ephemeral = volume.ephemeral.as_ref().map(|_| format!("{pod_name}-{}", volume.name));
        all.extend(claim.or(ephemeral).map(|name| (Kind::Claim, name)));
    }
    let statuses = pod.status.iter().flat_map(|status| status.resource_claim_statuses.iter().flatten());
    all.extend(statuses.filter_map(|status| status.resource_claim_name.clone()).map(|name| (Kind::ResourceClaim, name)));
    let direct = spec.resource_claims.iter().flatten().filter_map(|claim| claim.resource_claim_name.clone());
    all.extend(direct.map(|name| (Kind::ResourceClaim, name)));
    let extended = pod.status.as_ref().and_then(|status| status.extended_resource_claim_status.as_ref());
    all.extend(extended.map(|status| (Kind::ResourceClaim, status.resource_claim_name.clone())));
    all.sort_by(|a, b| (a.0 as u8, &a.1).cmp(&(b.0 as u8, &b.1)));
    all.dedup();
    all
}

/// The secrets and config maps of a pod: in volumes, in the environment of every container, for pulling images.
pub fn references(pod: &Pod) -> Vec<(Kind, String)> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let mut all = Vec::new();
    let mut secret = |name: Option<String>| all.extend(name.map(|name| (Kind::Secret, name)));
    for reference in spec.image_pull_secrets.iter().flatten() {
        secret(Some(reference.name.clone()));
    }
    for volume in spec.volumes.iter().flatten() {
        secret(volume.secret.as_ref().and_then(|source| source.secret_name.clone()));
        secret(volume.azure_file.as_ref().map(|source| source.secret_name.clone()));
        secret(volume.cephfs.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|reference| reference.name.clone()));
        secret(volume.cinder.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|reference| reference.name.clone()));
        secret(volume.flex_volume.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|reference| reference.name.clone()));
        secret(volume.rbd.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|reference| reference.name.clone()));
        secret(volume.iscsi.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|reference| reference.name.clone()));
        secret(volume.storageos.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|reference| reference.name.clone()));
        secret(volume.scale_io.as_ref().map(|source| source.secret_ref.name.clone()));
        secret(volume.csi.as_ref().and_then(|source| source.node_publish_secret_ref.as_ref()).map(|reference| reference.name.clone()));
        let projected = volume.projected.iter().flat_map(|source| source.sources.iter().flatten());
        for source in projected {
            secret(source.secret.as_ref().map(|source| source.name.clone()));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        let projected = volume.projected.iter().flat_map(|source| source.sources.iter().flatten());
        let maps = projected.filter_map(|source| source.config_map.as_ref()).map(|source| source.name.clone());
        all.extend(volume.config_map.iter().map(|source| source.name.clone()).chain(maps).map(|name| (Kind::ConfigMap, name)));
    }
    let plain = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let environments = plain.map(|container| (&container.env, &container.env_from));
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| (&container.env, &container.env_from));
    for (variables, sources) in environments.chain(ephemeral) {
        for source in sources.iter().flatten() {
            all.extend(source.secret_ref.as_ref().map(|source| (Kind::Secret, source.name.clone())));
            all.extend(source.config_map_ref.as_ref().map(|source| (Kind::ConfigMap, source.name.clone())));
        }
        for source in variables.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            all.extend(source.secret_key_ref.as_ref().map(|source| (Kind::Secret, source.name.clone())));
            all.extend(source.config_map_key_ref.as_ref().map(|source| (Kind::ConfigMap, source.name.clone())));
        }
    }
    all
}

/// The secrets that a kubelet needs for a volume: (namespace, name), the claim's namespace where none is given.
fn volume_secrets(volume: &PersistentVolume, claim_namespace: &str) -> Vec<(String, String)> {
    let Some(spec) = &volume.spec else { return Vec::new() };
    let mut all = Vec::new();
    let mut add = |namespace: Option<String>, name: Option<String>| {
        all.extend(name.map(|name| (namespace.unwrap_or_else(|| claim_namespace.into()), name)));
    };
    if let Some(source) = &spec.azure_file {
        add(source.secret_namespace.clone(), Some(source.secret_name.clone()));
    }
    let references = [
        spec.cephfs.as_ref().and_then(|source| source.secret_ref.clone()),
        spec.cinder.as_ref().and_then(|source| source.secret_ref.clone()),
        spec.flex_volume.as_ref().and_then(|source| source.secret_ref.clone()),
        spec.rbd.as_ref().and_then(|source| source.secret_ref.clone()),
        spec.scale_io.as_ref().map(|source| source.secret_ref.clone()),
        spec.iscsi.as_ref().and_then(|source| source.secret_ref.clone()),
        spec.csi.as_ref().and_then(|source| source.node_publish_secret_ref.clone()),
        spec.csi.as_ref().and_then(|source| source.node_stage_secret_ref.clone()),
        spec.csi.as_ref().and_then(|source| source.node_expand_secret_ref.clone()),
    ];
    for reference in references.into_iter().flatten() {
        add(reference.namespace, reference.name);
    }
    if let Some(reference) = spec.storageos.as_ref().and_then(|source| source.secret_ref.clone()) {
        add(reference.namespace, reference.name);
    }
    all
}
