//! Who a pod of a StatefulSet is: its number, its name, its labels and its claims.
use super::super::history::HASH_LABEL;
use crate::objects::owners::controller;
use crate::objects::{name, namespace, pods, set_entry, uid};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

pub fn start(spec: &StatefulSetSpec) -> i32 {
    spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
}

/// The number of a pod that bears the set's name.
pub fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let (parent, number) = name(&pod.metadata).rsplit_once('-')?;
    (parent == name(&set.metadata)).then(|| number.parse().ok()).flatten().filter(|number| *number >= 0)
}

pub fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", name(&set.metadata))
}

pub fn new_pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let mut pod = pods::from_template(template, &set.metadata, controller(set));
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(pod_name(set, ordinal));
    let service = set.spec.service_name.clone().filter(|service| !service.is_empty());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(pod_name(set, ordinal));
    spec.subdomain = service;
    set_entry(&mut pod.metadata.labels, HASH_LABEL, revision);
    label(set, &mut pod, ordinal);
    mount(set, &mut pod, ordinal);
    pod
}

/// The labels that tell who the pod is.
pub fn label(set: &StatefulSet, pod: &mut Pod, ordinal: i32) {
    set_entry(&mut pod.metadata.labels, POD_NAME_LABEL, &pod_name(set, ordinal));
    set_entry(&mut pod.metadata.labels, INDEX_LABEL, &ordinal.to_string());
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", name(&template.metadata), name(&set.metadata))
}

fn mount(set: &StatefulSet, pod: &mut Pod, ordinal: i32) {
    let templates = set.spec.volume_claim_templates.as_deref().unwrap_or_default();
    if templates.is_empty() {
        return;
    }
    let spec = pod.spec.get_or_insert_default();
    let mut volumes: Vec<Volume> = templates
        .iter()
        .map(|template| {
            let source = PersistentVolumeClaimVolumeSource { claim_name: claim_name(set, template, ordinal), read_only: None };
            Volume { name: name(&template.metadata).into(), persistent_volume_claim: Some(source), ..Volume::default() }
        })
        .collect();
    let others = spec.volumes.take().unwrap_or_default();
    let claimed: Vec<String> = volumes.iter().map(|volume| volume.name.clone()).collect();
    volumes.extend(others.into_iter().filter(|volume| !claimed.contains(&volume.name)));
    spec.volumes = Some(volumes);
}

/// The claims of one pod, as they would be created.
pub fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let spec = &set.spec;
    let one = |template: &PersistentVolumeClaim| {
        let mut labels = template.metadata.labels.clone().unwrap_or_default();
        labels.extend(spec.selector.match_labels.clone().unwrap_or_default());
        let metadata = ObjectMeta {
            name: Some(claim_name(set, template, ordinal)),
            namespace: Some(namespace(&set.metadata).into()),
            labels: Some(labels),
            annotations: template.metadata.annotations.clone(),
            finalizers: template.metadata.finalizers.clone(),
            ..ObjectMeta::default()
        };
        PersistentVolumeClaim { metadata, spec: template.spec.clone(), status: None }
    };
    spec.volume_claim_templates.iter().flatten().map(one).collect()
}

/// The owners that a claim should have, by the set's retention policy (KEP-1847): with the set, with the pod, or with nobody.
pub fn claim_owners(set: &StatefulSet, pod: &Pod, claim: &PersistentVolumeClaim, scaled_down: bool) -> Option<Vec<OwnerReference>> {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let deletes = |text: Option<&String>| text.is_some_and(|text| text == "Delete");
    let when_scaled = deletes(policy.and_then(|policy| policy.when_scaled.as_ref()));
    let when_deleted = deletes(policy.and_then(|policy| policy.when_deleted.as_ref()));
    let old = claim.metadata.owner_references.clone().unwrap_or_default();
    let is_set = |owner: &OwnerReference| owner.kind == "StatefulSet" && owner.name == name(&set.metadata);
    let is_pod = |owner: &OwnerReference| owner.kind == "Pod" && owner.name == name(&pod.metadata);
    let stale =
        |owner: &OwnerReference| (is_set(owner) && owner.uid != uid(&set.metadata)) || (is_pod(owner) && owner.uid != uid(&pod.metadata));
    let foreign = |owner: &OwnerReference| owner.controller == Some(true) && !is_set(owner) && !is_pod(owner);
    if old.iter().any(stale) || old.iter().any(foreign) {
        return None;
    }
    let mut new: Vec<OwnerReference> = old.iter().filter(|owner| !is_set(owner) && !is_pod(owner)).cloned().collect();
    if when_scaled && scaled_down {
        new.push(controller(pod));
    } else if when_deleted {
        new.push(controller(set));
    }
    let same = |a: &[OwnerReference], b: &[OwnerReference]| {
        a.len() == b.len() && a.iter().all(|one| b.iter().any(|other| one.uid == other.uid && one.controller == other.controller))
    };
    (!same(&old, &new)).then_some(new)
}
