//! PersistentVolume: a piece of storage in the cluster.
mod validate;

use crate::access::List;
use crate::access::{Text, amount, canonical_resources, fill};
use crate::columns::{text, wide};
use crate::core::claim::access_modes;
use crate::core::names::{READ_WRITE, core};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeSpec, PersistentVolumeStatus};
use machinery::kind::{Field, Kind, Names, Subresource};
use machinery::table::{age_column, name_column};

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub static PERSISTENT_VOLUME: Kind<PersistentVolume> = Kind {
    default,
    on_create: |volume| {
        let since = volume.metadata.creation_timestamp.clone();
        volume.status =
            Some(PersistentVolumeStatus { phase: Some("Pending".into()), last_phase_transition_time: since, ..Default::default() });
    },
    on_update: |new, old| new.status.clone_from(&old.status),
    validate: validate::validate,
    validate_update: validate::validate_update,
    columns: &[
        name_column(),
        text("Capacity", |volume, _| {
            let size = spec(volume).and_then(|spec| spec.capacity.as_ref()).and_then(|list| list.get("storage"));
            size.map_or("0".to_string(), |size| amount(size).to_string()).into()
        }),
        text("Access Modes", |volume, _| spec(volume).map_or(String::new(), |spec| access_modes(spec.access_modes.list())).into()),
        text("Reclaim Policy", |volume, _| spec(volume).map_or("", |spec| spec.persistent_volume_reclaim_policy.text()).into()),
        text("Status", |volume, _| {
            let phase = volume.status.as_ref().map_or("", |status| status.phase.text());
            if volume.metadata.deletion_timestamp.is_some() { "Terminating" } else { phase }.into()
        }),
        text("Claim", |volume, _| {
            let claim = spec(volume).and_then(|spec| spec.claim_ref.as_ref());
            claim.map_or(String::new(), |claim| format!("{}/{}", claim.namespace.text(), claim.name.text())).into()
        }),
        text("StorageClass", |volume, _| class(volume).into()),
        text("VolumeAttributesClass", |volume, _| {
            spec(volume).and_then(|spec| spec.volume_attributes_class_name.clone()).unwrap_or_else(|| "<unset>".into()).into()
        }),
        text("Reason", |volume, _| volume.status.as_ref().map_or("", |status| status.reason.text()).into()),
        age_column(),
        wide("VolumeMode", |volume, _| spec(volume).and_then(|spec| spec.volume_mode.clone()).unwrap_or_else(|| "<unset>".into()).into()),
    ],
    fields: &[Field { path: "name", value: |volume| volume.metadata.name.clone().unwrap_or_default() }],
    subresources: &[Subresource {
        name: "status",
        verbs: READ_WRITE,
        prepare: |new, old| {
            new.spec.clone_from(&old.spec);
            let same = |one: &PersistentVolume, other: &PersistentVolume| {
                one.status.as_ref().map(|status| &status.phase) == other.status.as_ref().map(|status| &status.phase)
            };
            if let (true, Some(status), Some(before)) = (same(new, old), new.status.clone(), &old.status) {
                let since = status.last_phase_transition_time.clone().or_else(|| before.last_phase_transition_time.clone());
                new.status = Some(PersistentVolumeStatus { last_phase_transition_time: since, ..status });
            }
        },
        validate: |_, _, _| {},
    }],
    ..Kind::of(Names {
        short: &["pv"],
        namespaced: false,
        ..core("PersistentVolume", "persistentvolumes", "persistentvolume", "persistentvolumes", "io.k8s.api.core.v1.PersistentVolume")
    })
};

fn spec(volume: &PersistentVolume) -> Option<&PersistentVolumeSpec> {
    volume.spec.as_ref()
}

/// The storage class, by the annotation of old or by field.
fn class(volume: &PersistentVolume) -> String {
    let annotation = volume.metadata.annotations.as_ref().and_then(|map| map.get(BETA_CLASS)).cloned();
    annotation.unwrap_or_else(|| spec(volume).map_or("", |spec| spec.storage_class_name.text()).into())
}

fn default(volume: &mut PersistentVolume) {
    fill(&mut volume.status.get_or_insert_default().phase, "Pending");
    let spec = volume.spec.get_or_insert_default();
    fill(&mut spec.persistent_volume_reclaim_policy, "Retain");
    spec.volume_mode.get_or_insert_with(|| "Filesystem".into());
    canonical_resources(&mut spec.capacity);
    if let Some(path) = &mut spec.host_path {
        path.type_.get_or_insert_default();
    }
    if let Some(rbd) = &mut spec.rbd {
        fill(&mut rbd.pool, "rbd");
        fill(&mut rbd.user, "admin");
        fill(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(iscsi) = &mut spec.iscsi {
        fill(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(disk) = &mut spec.azure_disk {
        disk.caching_mode.get_or_insert_with(|| "ReadWrite".into());
        disk.fs_type.get_or_insert_with(|| "ext4".into());
        disk.read_only.get_or_insert(false);
        disk.kind.get_or_insert_with(|| "Shared".into());
    }
    if let Some(scale_io) = &mut spec.scale_io {
        fill(&mut scale_io.storage_mode, "ThinProvisioned");
        fill(&mut scale_io.fs_type, "xfs");
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"a"},"spec":{
    "accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"},"hostPath":{"path":"/a"}}}"#;
