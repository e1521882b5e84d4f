//! Volumes: exactly one source each, and what each source needs.
use super::{env, projected, remote};
use crate::access::{List, Text, amount};
use crate::core::claim;
use crate::forms::{id, local_path, no_backsteps};
use crate::meta::report;
use k8s_openapi::api::core::v1::{
    CSIVolumeSource, DownwardAPIVolumeFile, EmptyDirVolumeSource, EphemeralVolumeSource, HostPathVolumeSource, KeyToPath, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::content;
use machinery::errors::Errors;
use machinery::quantity::Quantity;

const DOWNWARD_FIELDS: &[&str] = &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const HOST_PATH_TYPES: &[&str] = &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Checks all volumes; gives those without a mistake, which mounts may refer to.
pub fn check<'a>(volumes: &'a [Volume], meta: Option<&ObjectMeta>, errors: &mut Errors) -> Vec<&'a Volume> {
    let pod = meta.map_or("", |meta| meta.name.text());
    let created: Vec<String> = volumes
        .iter()
        .filter(|volume| volume.ephemeral.is_some() && !pod.is_empty())
        .map(|volume| format!("{pod}-{}", volume.name))
        .collect();
    let mut good: Vec<&Volume> = Vec::new();
    errors.each("volumes", volumes, |errors, volume| {
        let before = errors.causes().len();
        source(volume, pod, errors);
        match volume.name.as_str() {
            "" => errors.required("name", ""),
            name => report(errors, "name", name, content::dns_label(name)),
        }
        if good.iter().any(|known| known.name == volume.name) {
            errors.duplicate("name", &volume.name);
        }
        if errors.causes().len() == before {
            good.push(volume);
        }
        if let Some(used) = volume.persistent_volume_claim.as_ref().filter(|used| created.contains(&used.claim_name)) {
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            errors.invalid("persistentVolumeClaim.claimName", &used.claim_name, why);
        }
    });
    good
}

/// The sources that a volume names, in the order in which the first of several is taken for meant.
pub fn sources(volume: &Volume) -> impl Iterator<Item = &'static str> {
    let there = [
        ("emptyDir", volume.empty_dir.is_some()),
        ("hostPath", volume.host_path.is_some()),
        ("gitRepo", volume.git_repo.is_some()),
        ("gcePersistentDisk", volume.gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", volume.aws_elastic_block_store.is_some()),
        ("secret", volume.secret.is_some()),
        ("nfs", volume.nfs.is_some()),
        ("iscsi", volume.iscsi.is_some()),
        ("glusterfs", volume.glusterfs.is_some()),
        ("flocker", volume.flocker.is_some()),
        ("persistentVolumeClaim", volume.persistent_volume_claim.is_some()),
        ("rbd", volume.rbd.is_some()),
        ("cinder", volume.cinder.is_some()),
        ("cephFS", volume.cephfs.is_some()),
        ("quobyte", volume.quobyte.is_some()),
        ("downwarAPI", volume.downward_api.is_some()),
        ("fc", volume.fc.is_some()),
        ("flexVolume", volume.flex_volume.is_some()),
        ("configMap", volume.config_map.is_some()),
        ("azureFile", volume.azure_file.is_some()),
        ("vsphereVolume", volume.vsphere_volume.is_some()),
        ("photonPersistentDisk", volume.photon_persistent_disk.is_some()),
        ("portworxVolume", volume.portworx_volume.is_some()),
        ("azureDisk", volume.azure_disk.is_some()),
        ("storageos", volume.storageos.is_some()),
        ("projected", volume.projected.is_some()),
        ("scaleIO", volume.scale_io.is_some()),
        ("csi", volume.csi.is_some()),
        ("ephemeral", volume.ephemeral.is_some()),
        ("image", volume.image.is_some()),
    ];
    there.into_iter().filter(|(_, there)| *there).map(|(name, _)| name)
}

fn source(volume: &Volume, pod: &str, errors: &mut Errors) {
    let mut named = sources(volume);
    let Some(first) = named.next() else { return errors.required("", "must specify a volume type") };
    for other in named {
        errors.forbidden(other, "may not specify more than 1 volume type");
    }
    errors.at(place(first), |errors| one_source(volume, first, errors));
    if first == "ephemeral" && !pod.is_empty() && !volume.name.is_empty() {
        let claim = format!("{pod}-{}", volume.name);
        let problems = content::dns_subdomain(&claim).into_iter().map(|problem| format!("PVC name {claim:?}: {problem}"));
        report(errors, "name", &volume.name, problems.collect());
    }
    if let Some(iscsi) = volume.iscsi.as_ref().filter(|iscsi| iscsi.initiator_name.is_some())
        && volume.name.len() + 1 + iscsi.target_portal.len() > 64
    {
        errors.invalid("name", &volume.name, remote::PORTAL_TOO_LONG);
    }
}

/// Where mistakes of a source are told.
fn place(source: &'static str) -> &'static str {
    match source {
        "gcePersistentDisk" => "persistentDisk",
        "cephFS" => "cephfs",
        "downwarAPI" => "downwardAPI",
        other => other,
    }
}

/// Checks the first source that a volume names, if it names one.
pub fn volume_source(volume: &Volume, errors: &mut Errors) {
    if let Some(first) = sources(volume).next() {
        errors.at(place(first), |errors| one_source(volume, first, errors));
    }
}

fn one_source(volume: &Volume, kind: &str, errors: &mut Errors) {
    match kind {
        "emptyDir" => volume.empty_dir.iter().for_each(|empty| empty_dir(empty, errors)),
        "hostPath" => volume.host_path.iter().for_each(|path| host_path(path, errors)),
        "secret" => volume.secret.iter().for_each(|secret| {
            if secret.secret_name.text().is_empty() {
                errors.required("secretName", "");
            }
            remote::file_mode(errors, "defaultMode", secret.default_mode);
            id(errors, "defaultUser", secret.default_user);
            errors.each("items", secret.items.list(), |errors, item| key_to_path(item, errors));
        }),
        "configMap" => volume.config_map.iter().for_each(|map| {
            if map.name.is_empty() {
                errors.required("name", "");
            }
            remote::file_mode(errors, "defaultMode", map.default_mode);
            id(errors, "defaultUser", map.default_user);
            errors.each("items", map.items.list(), |errors, item| key_to_path(item, errors));
        }),
        "persistentVolumeClaim" => volume.persistent_volume_claim.iter().for_each(|claim| {
            if claim.claim_name.is_empty() {
                errors.required("claimName", "");
            }
        }),
        "downwarAPI" => volume.downward_api.iter().for_each(|downward| {
            remote::file_mode(errors, "defaultMode", downward.default_mode);
            id(errors, "defaultUser", downward.default_user);
            downward.items.list().iter().for_each(|file| downward_file(file, errors));
        }),
        "projected" => volume.projected.iter().for_each(|projected| projected::check(projected, errors)),
        "csi" => volume.csi.iter().for_each(|source| csi(source, errors)),
        "ephemeral" => volume.ephemeral.iter().for_each(|source| ephemeral(source, errors)),
        "image" => volume.image.iter().for_each(|image| {
            if image.reference.text().is_empty() {
                errors.required("reference", "");
            }
            super::one_of(errors, "pullPolicy", image.pull_policy.text(), &["Always", "IfNotPresent", "Never"]);
        }),
        _ => remote::check(volume, errors),
    }
}

fn empty_dir(source: &EmptyDirVolumeSource, errors: &mut Errors) {
    if source.size_limit.as_ref().is_some_and(|limit| amount(limit) < Quantity::ZERO) {
        errors.forbidden("sizeLimit", "SizeLimit field must be a valid resource quantity");
    }
    if let Some(mode) = source.mode.filter(|mode| !(0..=0o1777).contains(mode)) {
        errors.invalid("mode", mode, "must be a number between 0 and 01777 (octal), both inclusive");
    }
}

fn host_path(source: &HostPathVolumeSource, errors: &mut Errors) {
    if source.path.is_empty() {
        return errors.required("path", "");
    }
    no_backsteps(errors, "path", &source.path);
    if let Some(kind) = source.type_.as_deref().filter(|kind| !HOST_PATH_TYPES.contains(kind)) {
        errors.not_supported("type", kind, HOST_PATH_TYPES);
    }
}

/// One key of a ConfigMap or Secret as a file.
pub fn key_to_path(item: &KeyToPath, errors: &mut Errors) {
    if item.key.is_empty() {
        errors.required("key", "");
    }
    if item.path.is_empty() {
        errors.required("path", "");
    }
    local_path(errors, "path", &item.path);
    remote::file_mode(errors, "mode", item.mode);
    id(errors, "user", item.user);
}

/// One field of the pod as a file.
pub fn downward_file(file: &DownwardAPIVolumeFile, errors: &mut Errors) {
    if file.path.is_empty() {
        errors.required("path", "");
    }
    local_path(errors, "path", &file.path);
    match (&file.field_ref, &file.resource_field_ref) {
        (None, None) => errors.required("", "one of fieldRef and resourceFieldRef is required"),
        (Some(field), resource) => {
            errors.at("fieldRef", |errors| env::field_ref(field, DOWNWARD_FIELDS, errors));
            if resource.is_some() {
                errors.invalid("", "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
            }
        }
        (None, Some(resource)) => errors.at("resourceFieldRef", |errors| env::resource_ref(resource, true, errors)),
    }
    remote::file_mode(errors, "mode", file.mode);
    id(errors, "user", file.user);
}

fn csi(source: &CSIVolumeSource, errors: &mut Errors) {
    remote::driver_name(errors, "driver", &source.driver);
    match source.node_publish_secret_ref.as_ref().map(|secret| secret.name.as_str()) {
        None => {}
        Some("") => errors.required("nodePublishSecretRef.name", ""),
        Some(name) => report(errors, "name", name, content::dns_subdomain(name)),
    }
}

fn ephemeral(source: &EphemeralVolumeSource, errors: &mut Errors) {
    match &source.volume_claim_template {
        None => errors.required("volumeClaimTemplate", ""),
        Some(template) => errors.at("volumeClaimTemplate", |errors| claim::check_template(template, errors)),
    }
}
