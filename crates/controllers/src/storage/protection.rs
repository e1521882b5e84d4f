//! The protection controllers: a claim that a pod uses, and a volume that a claim uses, stay until they are free.
//! Read claims, volumes and pods; write finalizers; are woken by all of them.
use crate::driver::{Caches, Controller, Plan, itself, reads, reads_indexed};
use crate::objects::{has_finalizer, is_deleting, name, namespace, pods};
use client::Delta;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use machinery::meta::Key;
use machinery::object::Resource;
use std::sync::Arc;

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";

pub static CLAIMS: Controller = Controller {
    name: "persistentvolumeclaim-protection",
    account: "pvc-protection-controller",
    reads: || vec![reads::<PersistentVolumeClaim>(itself), reads_indexed::<Pod>(wake_by_pod, &[("claim", by_claim)])],
    writes: &["persistentvolumeclaims"],
    workers: 4,
    always: false,
    plan: |caches, key, _| observe(caches, key).map(|(claim, pods)| protect_claim(&claim, &pods)).unwrap_or_default(),
};

pub static VOLUMES: Controller = Controller {
    name: "persistentvolume-protection",
    account: "pv-protection-controller",
    reads: || vec![reads::<PersistentVolume>(itself)],
    writes: &["persistentvolumes"],
    workers: 4,
    always: false,
    plan: |caches, key, _| caches.get::<PersistentVolume>(key).map(|volume| protect_volume(&volume)).unwrap_or_default(),
};

pub fn observe(caches: &Caches, key: &Key) -> Option<(Arc<PersistentVolumeClaim>, Vec<Arc<Pod>>)> {
    Some((caches.get(key)?, caches.of::<Pod>().by_index("claim", &key.to_string())))
}

pub fn protect_claim(claim: &PersistentVolumeClaim, pods: &[Arc<Pod>]) -> Plan {
    // a pod without a node does not use anything yet
    let used = pods.iter().any(|pod| !pods::node(pod).is_empty());
    protect(claim, CLAIM, used)
}

pub fn protect_volume(volume: &PersistentVolume) -> Plan {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    protect(volume, VOLUME, phase == Some("Bound"))
}

fn protect<T: Resource + PartialEq>(object: &T, finalizer: &str, used: bool) -> Plan {
    let mut plan = Plan::default();
    let mut new = object.clone();
    let finalizers = &mut new.metadata_mut().finalizers;
    match (is_deleting(object.metadata()), has_finalizer(object.metadata(), finalizer)) {
        (false, false) => finalizers.get_or_insert_default().push(finalizer.into()),
        (true, true) if !used => finalizers.iter_mut().for_each(|all| all.retain(|own| own != finalizer)),
        _ => return plan,
    }
    plan.update(object, new);
    plan
}

/// Index values: namespace and name of each claim that the pod names.
pub fn by_claim(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let named = volumes.filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(source.claim_name.clone()),
        (None, Some(_)) => Some(format!("{}-{}", name(&pod.metadata), volume.name)),
        (None, None) => None,
    });
    named.map(|claim| Key::new(namespace(&pod.metadata), claim).to_string()).collect()
}

/// A claim becomes free with the end of a pod.
fn wake_by_pod(caches: &Caches, delta: &Delta<Pod>) -> Vec<Key> {
    let pod = delta.object();
    if !matches!(delta, Delta::Deleted(_)) {
        return Vec::new();
    }
    let keys = by_claim(pod).into_iter().filter_map(|text| text.split_once('/').map(|(space, claim)| Key::new(space, claim)));
    keys.filter(|key| caches.get::<PersistentVolumeClaim>(key).is_some_and(|claim| is_deleting(&claim.metadata))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::{Value, json};

    #[test]
    fn a_claim_in_use_stays() {
        let mut world = World::new(&[&CLAIMS]);
        world.put(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "x"}}));
        world.put(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "x"},
            "spec": {"nodeName": "n", "containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
        }));
        world.fixpoint();
        let now = json!(crate::objects::time(world.now));
        world.change("v1", "PersistentVolumeClaim", "x", "c", |claim| claim["metadata"]["deletionTimestamp"] = now);
        world.fixpoint();
        assert_eq!(world.get("v1", "PersistentVolumeClaim", "x", "c")["metadata"]["finalizers"], json!([CLAIM]));
        world.remove("v1", "Pod", "x", "p");
        world.settle();
        assert_eq!(world.get("v1", "PersistentVolumeClaim", "x", "c"), Value::Null);
    }
}
