//! Volumes in containers: mounts and block devices.
use super::Scope;
use crate::access::{Flag, List, Text};
use crate::forms::descending_path;
use k8s_openapi::api::core::v1::{Container, VolumeMount};
use machinery::errors::Errors;

pub fn check(scope: &Scope, container: &Container, errors: &mut Errors) {
    mounts(scope, container, errors);
    devices(scope, container, errors);
}

fn mounts(scope: &Scope, container: &Container, errors: &mut Errors) {
    let devices = container.volume_devices.list();
    let mut paths: Vec<&str> = Vec::new();
    errors.each("volumeMounts", container.volume_mounts.list(), |errors, mount| {
        if mount.name.is_empty() {
            errors.required("name", "");
        }
        if scope.volume(&mount.name).is_none() {
            errors.not_found("name", &mount.name);
        }
        let path = mount.mount_path.as_str();
        if path.is_empty() {
            errors.required("mountPath", "");
        }
        if paths.contains(&path) {
            errors.invalid("mountPath", path, "must be unique");
        }
        paths.push(path);
        if devices.iter().any(|device| device.name == mount.name) {
            errors.invalid("name", &mount.name, "must not already exist in volumeDevices");
        }
        if devices.iter().any(|device| device.device_path == path) {
            errors.invalid("mountPath", path, "must not already exist as a path in volumeDevices");
        }
        if !mount.sub_path.text().is_empty() && !mount.sub_path_expr.text().is_empty() {
            errors.invalid("subPathExpr", mount.sub_path_expr.text(), "subPathExpr and subPath are mutually exclusive");
        }
        bind_options(scope, mount, errors);
    });
    let privileged = container.security_context.as_ref().is_some_and(|context| context.privileged.on());
    for mount in container.volume_mounts.list() {
        // The original leaves the index out of these paths.
        errors.at("volumeMounts", |errors| {
            descending_path(errors, "subPath", mount.sub_path.text());
            descending_path(errors, "subPathExpr", mount.sub_path_expr.text());
            propagation(mount, privileged, errors);
            recursive_read_only(mount, errors);
        });
    }
}

fn propagation(mount: &VolumeMount, privileged: bool, errors: &mut Errors) {
    match mount.mount_propagation.as_deref() {
        None | Some("None" | "HostToContainer") => {}
        Some("Bidirectional") if privileged => {}
        Some("Bidirectional") => {
            errors.forbidden("mountPropagation", "Bidirectional mount propagation is available only to privileged containers");
        }
        Some(other) => errors.not_supported("mountPropagation", other, &["Bidirectional", "HostToContainer", "None"]),
    }
}

fn recursive_read_only(mount: &VolumeMount, errors: &mut Errors) {
    match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.read_only.on() {
                errors.forbidden("recursiveReadOnly", "may only be specified when readOnly is true");
            }
            if mount.mount_propagation.as_deref().is_some_and(|propagation| propagation != "None") {
                errors.forbidden("recursiveReadOnly", "may only be specified when mountPropagation is None or not specified");
            }
        }
        Some(other) => errors.not_supported("recursiveReadOnly", other, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn bind_options(scope: &Scope, mount: &VolumeMount, errors: &mut Errors) {
    let options = mount.bind_mount_options.list();
    let mut seen: Vec<&String> = Vec::new();
    errors.each("bindMountOptions", options, |errors, option| {
        if !["nodev", "noexec", "nosuid"].contains(&option.as_str()) {
            errors.not_supported("", option, &["nodev", "noexec", "nosuid"]);
        }
        if seen.contains(&option) {
            errors.duplicate("", option);
        }
        seen.push(option);
    });
    if !options.is_empty() && scope.volume(&mount.name).is_some_and(|volume| volume.image.is_some()) {
        errors.invalid("bindMountOptions", options, "bindMountOptions may not be used with image volumes");
    }
}

fn devices(scope: &Scope, container: &Container, errors: &mut Errors) {
    let mounts = container.volume_mounts.list();
    let (mut names, mut paths): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    errors.each("volumeDevices", container.volume_devices.list(), |errors, device| {
        let (name, path) = (device.name.as_str(), device.device_path.as_str());
        if name.is_empty() {
            errors.required("name", "");
        }
        if names.contains(&name) {
            errors.invalid("name", name, "must be unique");
        }
        match scope.volume(name) {
            None => errors.not_found("name", name),
            Some(volume) if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid("name", name, why);
            }
            Some(_) => {}
        }
        if path.is_empty() {
            errors.required("devicePath", "");
        }
        if paths.contains(&path) {
            errors.invalid("devicePath", path, "must be unique");
        }
        if path.split('/').any(|part| part == "..") {
            errors.invalid("devicePath", path, "can not contain backsteps ('..')");
        } else {
            paths.push(path);
        }
        if mounts.iter().any(|mount| mount.name == name) {
            errors.invalid("name", name, "must not already exist in volumeMounts");
        }
        if mounts.iter().any(|mount| mount.mount_path == path) {
            errors.invalid("devicePath", path, "must not already exist as a path in volumeMounts");
        }
        names.push(name);
    });
}
