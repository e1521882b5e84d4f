//! Defaults of volumes.
use super::default::default_field_ref;
use super::image;
use super::validate::volumes::sources;
use crate::access::{Text, canonical, canonical_resources, fill};
use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, Volume};

const FILE_MODE: i32 = 0o644;
const TOKEN_SECONDS: i64 = 3600;

pub fn default_volume(volume: &mut Volume) {
    if sources(volume).next().is_none() {
        volume.empty_dir = Some(Default::default());
    }
    if let Some(empty) = &mut volume.empty_dir {
        canonical(&mut empty.size_limit);
    }
    if let Some(image) = &mut volume.image {
        fill(&mut image.pull_policy, image::pull_policy(image.reference.text()));
    }
    if let Some(path) = &mut volume.host_path {
        path.type_.get_or_insert_default();
    }
    if let Some(secret) = &mut volume.secret {
        secret.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(map) = &mut volume.config_map {
        map.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(downward) = &mut volume.downward_api {
        downward.default_mode.get_or_insert(FILE_MODE);
        downward.items.iter_mut().flatten().filter_map(|file| file.field_ref.as_mut()).for_each(default_field_ref);
    }
    if let Some(projected) = &mut volume.projected {
        projected.default_mode.get_or_insert(FILE_MODE);
        for source in projected.sources.iter_mut().flatten() {
            let files = source.downward_api.iter_mut().flat_map(|downward| downward.items.iter_mut().flatten());
            files.filter_map(|file| file.field_ref.as_mut()).for_each(default_field_ref);
            if let Some(token) = &mut source.service_account_token {
                token.expiration_seconds.get_or_insert(TOKEN_SECONDS);
            }
        }
    }
    if let Some(template) = volume.ephemeral.as_mut().and_then(|ephemeral| ephemeral.volume_claim_template.as_mut()) {
        default_claim_spec(&mut template.spec);
    }
    default_remote(volume);
}

/// Defaults of a claim, also where it is only a template.
pub fn default_claim_spec(spec: &mut PersistentVolumeClaimSpec) {
    spec.volume_mode.get_or_insert_with(|| "Filesystem".into());
    let resources = spec.resources.get_or_insert_default();
    canonical_resources(&mut resources.limits);
    canonical_resources(&mut resources.requests);
}

/// Kinds of storage that came before CSI.
fn default_remote(volume: &mut Volume) {
    if let Some(iscsi) = &mut volume.iscsi {
        fill(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(rbd) = &mut volume.rbd {
        fill(&mut rbd.pool, "rbd");
        fill(&mut rbd.user, "admin");
        fill(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(disk) = &mut volume.azure_disk {
        disk.caching_mode.get_or_insert_with(|| "ReadWrite".into());
        disk.fs_type.get_or_insert_with(|| "ext4".into());
        disk.read_only.get_or_insert(false);
        disk.kind.get_or_insert_with(|| "Shared".into());
    }
    if let Some(scale_io) = &mut volume.scale_io {
        fill(&mut scale_io.storage_mode, "ThinProvisioned");
        fill(&mut scale_io.fs_type, "xfs");
    }
}
