//! Storage that came before CSI: each only asks for the fields without which it is nothing.
use crate::access::{Entries, List, Text};
use crate::forms::descending_path;
use crate::meta::report;
use k8s_openapi::api::core::v1::{
    AzureDiskVolumeSource, FCVolumeSource, FlockerVolumeSource, ISCSIVolumeSource, QuobyteVolumeSource, Volume,
};
use machinery::content;
use machinery::errors::Errors;

pub const PORTAL_TOO_LONG: &str =
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
const HOST_PORTS: &str = "must be a host:port pair or multiple pairs separated by commas";

fn need(errors: &mut Errors, fields: &[(&str, &str)]) {
    for (field, value) in fields {
        if value.is_empty() {
            errors.required(field, "");
        }
    }
}

/// The source of a volume, its field on the path.
pub fn check(volume: &Volume, errors: &mut Errors) {
    if let Some(source) = &volume.git_repo {
        need(errors, &[("repository", &source.repository)]);
        descending_path(errors, "directory", source.directory.text());
    } else if let Some(source) = &volume.gce_persistent_disk {
        need(errors, &[("pdName", &source.pd_name)]);
        partition(errors, source.partition);
    } else if let Some(source) = &volume.aws_elastic_block_store {
        need(errors, &[("volumeID", &source.volume_id)]);
        partition(errors, source.partition);
    } else if let Some(source) = &volume.nfs {
        need(errors, &[("server", &source.server), ("path", &source.path)]);
        if !source.path.starts_with('/') {
            errors.invalid("path", &source.path, "must be an absolute path");
        }
    } else if let Some(source) = &volume.iscsi {
        iscsi(source, errors);
    } else if let Some(source) = &volume.glusterfs {
        need(errors, &[("endpoints", &source.endpoints), ("path", &source.path)]);
    } else if let Some(source) = &volume.flocker {
        flocker(source, errors);
    } else if let Some(source) = &volume.rbd {
        monitors(errors, &source.monitors);
        need(errors, &[("image", &source.image)]);
    } else if let Some(source) = &volume.cinder {
        need(errors, &[("volumeID", &source.volume_id)]);
        secret(errors, source.secret_ref.as_ref().map(|secret| secret.name.as_str()));
    } else if let Some(source) = &volume.cephfs {
        monitors(errors, &source.monitors);
    } else {
        others(volume, errors);
    }
}

fn others(volume: &Volume, errors: &mut Errors) {
    if let Some(source) = &volume.quobyte {
        quobyte(source, errors);
    } else if let Some(source) = &volume.fc {
        fibre_channel(source, errors);
    } else if let Some(source) = &volume.flex_volume {
        need(errors, &[("driver", &source.driver)]);
        flex_options(source.options.entries().map(|(key, _)| key.as_str()), errors);
    } else if let Some(source) = &volume.azure_file {
        need(errors, &[("secretName", &source.secret_name), ("shareName", &source.share_name)]);
    } else if let Some(source) = &volume.vsphere_volume {
        need(errors, &[("volumePath", &source.volume_path)]);
    } else if let Some(source) = &volume.photon_persistent_disk {
        need(errors, &[("pdID", &source.pd_id)]);
    } else if let Some(source) = &volume.portworx_volume {
        need(errors, &[("volumeID", &source.volume_id)]);
    } else if let Some(source) = &volume.azure_disk {
        azure_disk(source, errors);
    } else if let Some(source) = &volume.storageos {
        need(errors, &[("volumeName", source.volume_name.text())]);
        for (field, value) in [("volumeName", source.volume_name.text()), ("volumeNamespace", source.volume_namespace.text())] {
            if !value.is_empty() {
                report(errors, field, value, content::dns_label(value));
            }
        }
        secret(errors, source.secret_ref.as_ref().map(|secret| secret.name.as_str()));
    } else if let Some(source) = &volume.scale_io {
        need(errors, &[("gateway", &source.gateway), ("system", &source.system), ("volumeName", source.volume_name.text())]);
    }
}

/// The mode of files.
pub fn file_mode(errors: &mut Errors, field: &str, mode: Option<i32>) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        errors.invalid(field, mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

/// The name of a CSI driver.
pub fn driver_name(errors: &mut Errors, field: &str, name: &str) {
    if name.is_empty() {
        return errors.required(field, "");
    }
    if name.len() > 63 {
        errors.too_long(field, 63);
    }
    report(errors, field, name, content::dns_subdomain(&name.to_lowercase()));
}

fn partition(errors: &mut Errors, partition: Option<i32>) {
    if let Some(partition) = partition.filter(|partition| !(0..=255).contains(partition)) {
        errors.invalid("partition", partition, "must be between 1 and 255, inclusive");
    }
}

fn monitors(errors: &mut Errors, monitors: &[String]) {
    if monitors.is_empty() {
        errors.required("monitors", "");
    }
}

fn secret(errors: &mut Errors, name: Option<&str>) {
    if name == Some("") {
        errors.required("secretRef.name", "");
    }
}

fn iscsi(source: &ISCSIVolumeSource, errors: &mut Errors) {
    need(errors, &[("targetPortal", &source.target_portal), ("iqn", &source.iqn)]);
    if !source.iqn.is_empty() {
        iscsi_name(errors, "iqn", &source.iqn);
    }
    if !(0..=255).contains(&source.lun) {
        errors.invalid("lun", source.lun, "must be between 0 and 255, inclusive");
    }
    if (source.chap_auth_discovery == Some(true) || source.chap_auth_session == Some(true)) && source.secret_ref.is_none() {
        errors.required("secretRef", "");
    }
    if let Some(name) = &source.initiator_name {
        iscsi_name(errors, "initiatorname", name);
    }
}

/// `iqn.`, `eui.` or `naa.` and what belongs to each.
pub fn iscsi_name(errors: &mut Errors, field: &str, name: &str) {
    let alphanumeric = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let good = match name.get(..3) {
        Some("iqn") => is_iqn(name),
        Some("eui") => name.get(4..).is_some_and(|rest| alphanumeric(rest, 16)),
        Some("naa") => name.get(4..).is_some_and(|rest| alphanumeric(rest, 32)),
        _ => return errors.invalid(field, name, "must be valid format starting with iqn, eui, or naa"),
    };
    if !good {
        errors.invalid(field, name, "must be valid format");
    }
}

/// `iqn.2001-04.com.example:storage.tape1`.
fn is_iqn(name: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((authority, unique)) = name.split_once(':') else { return false };
    let Some(rest) = authority.strip_prefix("iqn.") else { return false };
    let Some((date, domain)) = rest.split_once('.') else { return false };
    let dated = date.split_once('-').is_some_and(|(year, month)| year.len() == 4 && month.len() == 2 && digits(year) && digits(month));
    let named = !domain.is_empty() && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    dated && named && !unique.is_empty() && !unique.contains([',', ';', '*', '&', '$', '|']) && !unique.contains(char::is_whitespace)
}

fn flocker(source: &FlockerVolumeSource, errors: &mut Errors) {
    let (name, uuid) = (source.dataset_name.text(), source.dataset_uuid.text());
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => errors.required("", "one of datasetName and datasetUUID is required"),
        (false, false) => errors.invalid("", "resource", "datasetName and datasetUUID can not be specified simultaneously"),
        _ => {}
    }
    if name.contains('/') {
        errors.invalid("datasetName", name, "must not contain '/'");
    }
}

fn quobyte(source: &QuobyteVolumeSource, errors: &mut Errors) {
    if source.registry.is_empty() {
        errors.required("registry", HOST_PORTS);
    } else if source.tenant.text().len() >= 65 {
        errors.required("tenant", "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for _ in source.registry.split(',').filter(|pair| pair.rsplit_once(':').is_none()) {
            errors.invalid("registry", &source.registry, HOST_PORTS);
        }
    }
    need(errors, &[("volume", &source.volume)]);
}

fn fibre_channel(source: &FCVolumeSource, errors: &mut Errors) {
    let (targets, ids) = (source.target_wwns.list(), source.wwids.list());
    match (targets.is_empty(), ids.is_empty()) {
        (true, true) => errors.required("targetWWNs", "must specify either targetWWNs or wwids, but not both"),
        (false, false) => errors.invalid("targetWWNs", targets, "targetWWNs and wwids can not be specified simultaneously"),
        _ => {}
    }
    match source.lun {
        _ if targets.is_empty() => {}
        None => errors.required("lun", "lun is required if targetWWNs is specified"),
        Some(lun) if !(0..=255).contains(&lun) => errors.invalid("lun", lun, "must be between 0 and 255, inclusive"),
        Some(_) => {}
    }
}

/// Options of a flex driver may not claim Kubernetes' own namespaces.
pub fn flex_options<'a>(keys: impl Iterator<Item = &'a str>, errors: &mut Errors) {
    for key in keys {
        let namespace = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            errors.invalid(&format!("options[{key}]"), key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn azure_disk(source: &AzureDiskVolumeSource, errors: &mut Errors) {
    need(errors, &[("diskName", &source.disk_name), ("diskURI", &source.disk_uri)]);
    if let Some(mode) = source.caching_mode.as_deref().filter(|mode| !["None", "ReadOnly", "ReadWrite"].contains(mode)) {
        errors.not_supported("cachingMode", mode, &["None", "ReadOnly", "ReadWrite"]);
    }
    let kind = source.kind.as_deref();
    if let Some(kind) = kind.filter(|kind| !["Dedicated", "Managed", "Shared"].contains(kind)) {
        errors.not_supported("kind", kind, &["Dedicated", "Managed", "Shared"]);
    }
    let managed = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    let blob = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    match kind {
        Some("Managed") if !source.disk_uri.starts_with("/subscriptions/") => errors.not_supported("diskURI", &source.disk_uri, &[managed]),
        Some(kind) if kind != "Managed" && !source.disk_uri.starts_with("https://") => {
            errors.not_supported("diskURI", &source.disk_uri, &[blob]);
        }
        _ => {}
    }
}
