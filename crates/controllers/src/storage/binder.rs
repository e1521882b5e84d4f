//! The persistent volume binder, for volumes that an administrator made: claims get the smallest volume that fits.
//! Reads volumes, claims and classes; writes both sides of a binding and the phases; is woken by volumes and claims. Nothing
//! is provisioned or deleted here: that is a provisioner's work.
use crate::driver::{Caches, Controller, Moment, Plan, looks_at, reads_indexed};
use crate::objects::selectors::Selector;
use crate::objects::{annotation, by_namespace, is_deleting, labels, name, set_entry, time, uid};
use client::Delta;
use client::events::reference;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::meta::Key;
use machinery::quantity::Quantity;
use std::sync::Arc;

const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Keys of volumes; those of claims have a namespace.
const VOLUMES: &str = "";

pub static CONTROLLER: Controller = Controller {
    name: "persistentvolume-binder",
    account: "persistent-volume-binder",
    reads: || {
        vec![
            reads_indexed::<PersistentVolumeClaim>(wake_by_claim, &[("namespace", by_namespace)]),
            reads_indexed::<PersistentVolume>(wake_by_volume, &[]),
            looks_at::<StorageClass>(&[]),
        ]
    },
    writes: &["persistentvolumes", "persistentvolumeclaims"],
    // one at a time: two claims must not take one volume
    workers: 1,
    always: false,
    plan: |caches, key, moment| match key.namespace.as_str() {
        VOLUMES => serve_volume(caches, key, moment),
        _ => serve_claim(caches, key),
    },
};

fn serve_claim(caches: &Caches, key: &Key) -> Plan {
    let mut plan = Plan::default();
    let Some(claim) = caches.get::<PersistentVolumeClaim>(key).filter(|claim| !is_deleting(&claim.metadata)) else { return plan };
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|volume| !volume.is_empty());
    let volume = match &wanted {
        Some(volume) => caches.get::<PersistentVolume>(&Key::new("", volume.as_str())),
        None if waits_for_consumer(caches, &claim) => None,
        None => best(&claim, caches.of::<PersistentVolume>().all()),
    };
    match volume {
        Some(volume) if is_free_for(&volume, &claim) => bind(&mut plan, &claim, &volume, wanted.is_none()),
        None if wanted.is_some() && annotation(&claim.metadata, COMPLETED).is_some() => set_phase(&mut plan, &claim, "Lost"),
        _ => set_phase(&mut plan, &claim, "Pending"),
    }
    plan
}

/// One write per plan and object: the next event brings the next step.
fn bind(plan: &mut Plan, claim: &PersistentVolumeClaim, volume: &PersistentVolume, chosen: bool) {
    let mut new = volume.clone();
    let spec = new.spec.get_or_insert_default();
    if spec.claim_ref.as_ref().and_then(|own| own.uid.clone()) != claim.metadata.uid {
        if spec.claim_ref.is_none() {
            set_entry(&mut new.metadata.annotations, BY_CONTROLLER, "yes");
        }
        spec.claim_ref = Some(reference(claim));
        plan.update(volume, new);
        return;
    }
    let mut own = claim.clone();
    own.spec.get_or_insert_default().volume_name = volume.metadata.name.clone();
    set_entry(&mut own.metadata.annotations, COMPLETED, "yes");
    if chosen {
        set_entry(&mut own.metadata.annotations, BY_CONTROLLER, "yes");
    }
    if own != *claim {
        plan.update(claim, own);
        return;
    }
    let status = own.status.get_or_insert_default();
    let volume_spec = volume.spec.clone().unwrap_or_default();
    status.phase = Some("Bound".into());
    status.access_modes = volume_spec.access_modes;
    status.capacity = status.capacity.take().or(volume_spec.capacity);
    plan.status(claim, own);
}

fn set_phase(plan: &mut Plan, claim: &PersistentVolumeClaim, phase: &str) {
    let mut new = claim.clone();
    new.status.get_or_insert_default().phase = Some(phase.into());
    plan.status(claim, new);
}

fn class<'a>(meta: &'a k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta, field: Option<&'a String>) -> &'a str {
    annotation(meta, "volume.beta.kubernetes.io/storage-class").or(field.map(String::as_str)).unwrap_or_default()
}

fn claim_class(claim: &PersistentVolumeClaim) -> &str {
    class(&claim.metadata, claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref()))
}

fn volume_class(volume: &PersistentVolume) -> &str {
    class(&volume.metadata, volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref()))
}

/// Where the class says so, a claim is bound only when a pod that uses it has a node; the scheduler tells by an annotation.
fn waits_for_consumer(caches: &Caches, claim: &PersistentVolumeClaim) -> bool {
    let class = caches.get::<StorageClass>(&Key::new("", claim_class(claim)));
    let waits = class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
    waits && annotation(&claim.metadata, SELECTED_NODE).is_none()
}

fn is_free_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(own) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else { return !is_deleting(&volume.metadata) };
    let named = own.name == claim.metadata.name && own.namespace == claim.metadata.namespace;
    named && own.uid.as_deref().is_none_or(|own| own.is_empty() || own == uid(&claim.metadata))
}

fn amount(list: Option<&std::collections::BTreeMap<String, Text>>) -> Quantity {
    list.and_then(|list| list.get("storage")).and_then(|text| Quantity::try_from(text).ok()).unwrap_or(Quantity::ZERO)
}

fn capacity(volume: &PersistentVolume) -> Quantity {
    amount(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()))
}

/// The volume made for this claim, or the smallest that fits.
fn best(claim: &PersistentVolumeClaim, mut volumes: Vec<Arc<PersistentVolume>>) -> Option<Arc<PersistentVolume>> {
    volumes.retain(|volume| is_free_for(volume, claim) && fits(volume, claim));
    volumes.into_iter().min_by_key(|volume| {
        let reserved = volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some());
        (!reserved, capacity(volume), volume.metadata.name.clone())
    })
}

fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let (Some(offer), Some(wish)) = (&volume.spec, &claim.spec) else { return false };
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".into());
    let offered = offer.access_modes.clone().unwrap_or_default();
    let modes = wish.access_modes.iter().flatten().all(|mode| offered.contains(mode));
    let selected = wish.selector.as_ref().is_none_or(|selector| Selector::of(selector).meets(labels(&volume.metadata)));
    let reserved = offer.claim_ref.is_some();
    let requested = amount(wish.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let available = reserved || matches!(phase, Some("Available") | None | Some("" | "Pending"));
    available
        && volume_class(volume) == claim_class(claim)
        && mode(&offer.volume_mode) == mode(&wish.volume_mode)
        && modes
        && (selected || reserved)
        && capacity(volume) >= requested
}

fn serve_volume(caches: &Caches, key: &Key, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let Some(volume) = caches.get::<PersistentVolume>(key) else { return plan };
    let phase = phase_of(caches, &volume);
    let mut new = (*volume).clone();
    let status = new.status.get_or_insert_default();
    if status.phase.as_deref() != Some(phase) {
        status.phase = Some(phase.into());
        status.last_phase_transition_time = Some(time(moment.now));
    }
    plan.status(&*volume, new);
    plan
}

fn phase_of(caches: &Caches, volume: &PersistentVolume) -> &'static str {
    let Some(own) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else { return "Available" };
    let (space, claim) = (own.namespace.clone().unwrap_or_default(), own.name.clone().unwrap_or_default());
    let Some(bound_to) = own.uid.as_ref().filter(|uid| !uid.is_empty()) else { return "Available" };
    let found = caches.get::<PersistentVolumeClaim>(&Key::new(space, claim));
    match found {
        Some(claim) if claim.metadata.uid.as_ref() == Some(bound_to) => {
            let mutual = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) == Some(name(&volume.metadata));
            if mutual { "Bound" } else { "Available" }
        }
        _ => "Released",
    }
}

fn wake_by_claim(_: &Caches, delta: &Delta<PersistentVolumeClaim>) -> Vec<Key> {
    let claim = delta.object();
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|volume| !volume.is_empty());
    let mut keys = vec![Key::of(&claim.metadata)];
    keys.extend(volume.map(|volume| Key::new("", volume)));
    keys
}

/// A volume wakes its claim, or all claims that still look for one.
fn wake_by_volume(caches: &Caches, delta: &Delta<PersistentVolume>) -> Vec<Key> {
    let volume = delta.object();
    let mut keys = vec![Key::of(&volume.metadata)];
    match volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) {
        Some(own) => keys.push(Key::new(own.namespace.clone().unwrap_or_default(), own.name.clone().unwrap_or_default())),
        None => {
            let open = |claim: &&Arc<PersistentVolumeClaim>| claim.spec.as_ref().is_none_or(|spec| spec.volume_name.is_none());
            keys.extend(caches.of::<PersistentVolumeClaim>().all().iter().filter(open).map(|claim| Key::of(&claim.metadata)));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::json;

    fn volume(name: &str, size: &str) -> serde_json::Value {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual"},
        })
    }

    #[test]
    fn a_claim_gets_the_smallest_volume_that_fits() {
        let mut world = World::new(&[&CONTROLLER]);
        for (name, size) in [("big", "10Gi"), ("fit", "2Gi"), ("small", "1Gi")] {
            world.put(volume(name, size));
        }
        world.put(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "x"},
            "spec": {"storageClassName": "manual", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500Mi"}}},
        }));
        world.fixpoint();
        let claim = world.get("v1", "PersistentVolumeClaim", "x", "c");
        assert_eq!((claim["spec"]["volumeName"].as_str(), claim["status"]["phase"].as_str()), (Some("fit"), Some("Bound")));
        assert_eq!(world.get("v1", "PersistentVolume", "", "fit")["status"]["phase"], "Bound");
        assert_eq!(world.get("v1", "PersistentVolume", "", "big")["status"]["phase"], "Available");
        world.remove("v1", "PersistentVolumeClaim", "x", "c");
        world.fixpoint();
        assert_eq!(world.get("v1", "PersistentVolume", "", "fit")["status"]["phase"], "Released");
    }
}
