//! Checks of persistent volumes. The source of one never changes.
use crate::access::{Entries, List, Text, amount, bare, differences};
use crate::core::claim::check_access_modes;
use crate::core::pod::validate::{driver_name, flex_options, iscsi_name, node_selector, volume_source};
use crate::forms::no_backsteps;
use crate::meta::{immutable, report};
use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, ISCSIPersistentVolumeSource, PersistentVolume, PersistentVolumeSpec, SecretReference, Volume,
};
use machinery::content;
use machinery::errors::Errors;
use machinery::quantity::Quantity;
use serde_json::Value;

/// Fields of the spec that are not its source.
const OTHERS: &[&str] = &[
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];
/// Of several sources the first in this order is taken for meant.
const ORDER: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];
const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

pub fn validate(volume: &PersistentVolume, errors: &mut Errors) {
    let none = PersistentVolumeSpec::default();
    let spec = volume.spec.as_ref().unwrap_or(&none);
    let name = volume.metadata.name.text();
    errors.at("spec", |errors| {
        if spec.access_modes.list().is_empty() {
            errors.required("accessModes", "");
        }
        check_access_modes(spec.access_modes.list(), errors);
        capacity(spec, errors);
        let policy = spec.persistent_volume_reclaim_policy.text();
        if !["", "Delete", "Recycle", "Retain"].contains(&policy) {
            errors.not_supported("persistentVolumeReclaimPolicy", policy, &["Delete", "Recycle", "Retain"]);
        }
        if let Some(affinity) = &spec.node_affinity {
            errors.at("nodeAffinity", |errors| match &affinity.required {
                Some(selector) => errors.at("required", |errors| node_selector(selector, errors)),
                None => errors.required("required", "must specify required node constraints"),
            });
        }
        source(spec, name, errors);
        let root = spec.host_path.as_ref().is_some_and(|path| path.path.trim_matches(['/', '.']).is_empty());
        if root && policy == "Recycle" {
            errors.forbidden("persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
        }
        classes(spec, errors);
    });
    let mounted = sources(spec).iter().any(|source| {
        !["csi", "fc", "flexVolume", "flocker", "hostPath", "local", "portworxVolume", "scaleIO", "storageos"].contains(&source.as_str())
    });
    if !mounted && volume.metadata.annotations.entries().any(|(key, _)| key == MOUNT_OPTIONS) {
        errors.forbidden(&format!("metadata.annotations.{MOUNT_OPTIONS}"), "may not specify mount options for this volume type");
    }
}

fn capacity(spec: &PersistentVolumeSpec, errors: &mut Errors) {
    let count = spec.capacity.entries().count();
    if count == 0 {
        errors.required("capacity", "");
    }
    if count > 1 || spec.capacity.entries().all(|(name, _)| name != "storage") {
        errors.unsupported("capacity", &spec.capacity, &["storage"]);
    }
    for (name, size) in spec.capacity.entries() {
        let value = amount(size);
        errors.key("capacity", name, |errors| {
            if value < Quantity::ZERO {
                errors.invalid("", value.value(), "must be a valid resource quantity");
            }
            if value <= Quantity::ZERO {
                errors.invalid("", value.to_string(), "must be greater than zero");
            }
        });
    }
}

fn classes(spec: &PersistentVolumeSpec, errors: &mut Errors) {
    let class = spec.storage_class_name.text();
    if !class.is_empty() {
        report(errors, "storageClassName", class, content::dns_subdomain(class));
    }
    if let Some(mode) = spec.volume_mode.as_deref().filter(|mode| !["Block", "Filesystem"].contains(mode)) {
        errors.not_supported("volumeMode", mode, &["Block", "Filesystem"]);
    }
    if let Some(class) = &spec.volume_attributes_class_name {
        match class.as_str() {
            "" => errors.required("volumeAttributesClassName", "an empty string is disallowed"),
            class => report(errors, "volumeAttributesClassName", class, content::dns_subdomain(class)),
        }
        if spec.csi.is_none() {
            errors.required("csi", "has to be specified when using volumeAttributesClassName");
        }
    }
}

/// The names of the sources that the spec has.
fn sources(spec: &PersistentVolumeSpec) -> Vec<String> {
    let fields = match bare_source(spec) {
        Value::Object(fields) => fields,
        _ => return Vec::new(),
    };
    let mut names: Vec<String> = fields.into_iter().map(|(name, _)| name).collect();
    names.sort_by_key(|name| ORDER.iter().position(|known| known == name));
    names
}

/// The spec's source alone.
fn bare_source(spec: &PersistentVolumeSpec) -> Value {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.retain(|name, _| !OTHERS.contains(&name.as_str()));
    }
    value
}

fn source(spec: &PersistentVolumeSpec, name: &str, errors: &mut Errors) {
    let named = sources(spec);
    for other in named.iter().skip(1) {
        errors.forbidden(other, "may not specify more than 1 volume type");
    }
    if named.is_empty() {
        return errors.required("", "must specify a volume type");
    }
    let required = |errors: &mut Errors, fields: &[(&str, &str)]| {
        fields.iter().filter(|(_, value)| value.is_empty()).for_each(|(field, _)| errors.required(field, ""));
    };
    if let Some(csi_source) = &spec.csi {
        errors.at("csi", |errors| csi(csi_source, errors));
    }
    if let Some(local) = &spec.local {
        errors.at("local", |errors| match local.path.as_str() {
            "" => errors.required("path", ""),
            path => no_backsteps(errors, "path", path),
        });
        if spec.node_affinity.is_none() {
            errors.required("nodeAffinity", "Local volume requires node affinity");
        }
    }
    if let Some(source) = &spec.iscsi {
        errors.at("iscsi", |errors| iscsi(source, name, errors));
    }
    if let Some(source) = &spec.glusterfs {
        errors.at("glusterfs", |errors| required(errors, &[("endpoints", &source.endpoints), ("path", &source.path)]));
    }
    if let Some(source) = &spec.rbd {
        let monitors = source.monitors.first().map_or("", String::as_str);
        errors.at("rbd", |errors| required(errors, &[("monitors", monitors), ("image", &source.image)]));
    }
    if let Some(source) = &spec.cephfs {
        errors.at("cephfs", |errors| required(errors, &[("monitors", source.monitors.first().map_or("", String::as_str))]));
    }
    if let Some(source) = &spec.cinder {
        errors.at("cinder", |errors| required(errors, &[("volumeID", &source.volume_id)]));
    }
    if let Some(source) = &spec.flex_volume {
        errors.at("flexVolume", |errors| {
            required(errors, &[("driver", &source.driver)]);
            flex_options(source.options.entries().map(|(key, _)| key.as_str()), errors);
        });
    }
    if let Some(source) = &spec.azure_file {
        errors.at("azureFile", |errors| required(errors, &[("secretName", &source.secret_name), ("shareName", &source.share_name)]));
    }
    if let Some(source) = &spec.scale_io {
        let fields = [("gateway", source.gateway.as_str()), ("system", &source.system), ("volumeName", source.volume_name.text())];
        errors.at("scaleIO", |errors| required(errors, &fields));
    }
    shared(spec, errors);
}

/// Sources that pods can name directly have the same form there.
fn shared(spec: &PersistentVolumeSpec, errors: &mut Errors) {
    let volume = Volume {
        host_path: spec.host_path.clone(),
        gce_persistent_disk: spec.gce_persistent_disk.clone(),
        aws_elastic_block_store: spec.aws_elastic_block_store.clone(),
        flocker: spec.flocker.clone(),
        nfs: spec.nfs.clone(),
        quobyte: spec.quobyte.clone(),
        fc: spec.fc.clone(),
        vsphere_volume: spec.vsphere_volume.clone(),
        photon_persistent_disk: spec.photon_persistent_disk.clone(),
        portworx_volume: spec.portworx_volume.clone(),
        azure_disk: spec.azure_disk.clone(),
        ..Volume::default()
    };
    volume_source(&volume, errors);
}

fn csi(source: &CSIPersistentVolumeSource, errors: &mut Errors) {
    driver_name(errors, "driver", &source.driver);
    if source.volume_handle.is_empty() {
        errors.required("volumeHandle", "");
    }
    for (field, secret) in [
        ("controllerPublishSecretRef", &source.controller_publish_secret_ref),
        ("controllerExpandSecretRef", &source.controller_expand_secret_ref),
        ("nodePublishSecretRef", &source.node_publish_secret_ref),
        ("nodeExpandSecretRef", &source.node_expand_secret_ref),
    ] {
        if let Some(secret) = secret {
            errors.at(field, |errors| secret_reference(secret, errors));
        }
    }
}

fn secret_reference(secret: &SecretReference, errors: &mut Errors) {
    match secret.name.text() {
        "" => errors.required("name", ""),
        name => report(errors, "name", name, content::dns_subdomain(name)),
    }
    match secret.namespace.text() {
        "" => errors.required("namespace", ""),
        namespace => report(errors, "namespace", namespace, content::dns_label(namespace)),
    }
}

fn iscsi(source: &ISCSIPersistentVolumeSource, name: &str, errors: &mut Errors) {
    if source.target_portal.is_empty() {
        errors.required("targetPortal", "");
    }
    if source.initiator_name.is_some() && name.len() + 1 + source.target_portal.len() > 64 {
        let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        errors.invalid("targetportal", &source.target_portal, why);
    }
    match source.iqn.as_str() {
        "" => errors.required("iqn", ""),
        iqn => iscsi_name(errors, "iqn", iqn),
    }
    if !(0..=255).contains(&source.lun) {
        errors.invalid("lun", source.lun, "must be between 0 and 255, inclusive");
    }
    if (source.chap_auth_discovery == Some(true) || source.chap_auth_session == Some(true)) && source.secret_ref.is_none() {
        errors.required("secretRef", "");
    }
    if let Some(initiator) = &source.initiator_name {
        iscsi_name(errors, "initiatorname", initiator);
    }
}

pub fn validate_update(new: &PersistentVolume, old: &PersistentVolume, errors: &mut Errors) {
    let none = PersistentVolumeSpec::default();
    let (mut now, before) = (new.spec.clone().unwrap_or_default(), old.spec.as_ref().unwrap_or(&none));
    if let (Some(csi), Some(known)) = (&mut now.csi, &before.csi)
        && known.controller_expand_secret_ref.is_none()
    {
        csi.controller_expand_secret_ref = None;
    }
    let (source, known) = (bare_source(&now), bare_source(before));
    if bare(&source) != bare(&known) {
        let why = format!("spec.persistentvolumesource is immutable after creation\n{}", differences(&known, &source));
        errors.forbidden("spec.persistentvolumesource", &why);
    }
    immutable(errors, "volumeMode", &now.volume_mode, &before.volume_mode);
    if before.node_affinity.is_some() && now.node_affinity != before.node_affinity {
        let why = "field is immutable, except for updating from beta label to GA";
        errors.invalid("nodeAffinity", &now.node_affinity, why);
    }
    if before.volume_attributes_class_name.is_some() && now.volume_attributes_class_name.is_none() {
        errors.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden");
    }
}
