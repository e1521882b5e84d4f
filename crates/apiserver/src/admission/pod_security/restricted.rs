//! The checks of the level `restricted`, beside those of `baseline`: what hardening asks for.
use super::baseline::valid_seccomp;
use super::checks::{Finding, Subject, Values, found, named, plural, quoted, setters};
use k8s_openapi::api::core::v1::Volume;

pub fn escalation(subject: &Subject) -> Finding {
    let containers = subject.which(|container| container.security.and_then(|security| security.allow_privilege_escalation) != Some(false));
    if containers.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&containers));
    found("allowPrivilegeEscalation != false", detail)
}

pub fn escalation_25(subject: &Subject) -> Finding {
    if subject.is_windows() { None } else { escalation(subject) }
}

pub fn capabilities(subject: &Subject) -> Finding {
    let mut values = Values::new();
    let undropped = subject.which(|container| {
        let capabilities = container.security.and_then(|security| security.capabilities.as_ref());
        !capabilities.is_some_and(|capabilities| capabilities.drop.iter().flatten().any(|name| name == "ALL"))
    });
    let adding = subject.which(|container| {
        let capabilities = container.security.and_then(|security| security.capabilities.as_ref());
        let added = capabilities.into_iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        let bad: Vec<&String> = added.filter(|name| *name != "NET_BIND_SERVICE").collect();
        values.extend(bad.iter().map(|name| name.to_string()));
        !bad.is_empty()
    });
    let mut details = Vec::new();
    if !undropped.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&undropped)));
    }
    if !adding.is_empty() {
        details.push(format!("{} must not include {} in securityContext.capabilities.add", named(&adding), quoted(&values)));
    }
    if details.is_empty() { None } else { found("unrestricted capabilities", details.join("; ")) }
}

pub fn capabilities_25(subject: &Subject) -> Finding {
    if subject.is_windows() { None } else { capabilities(subject) }
}

pub fn volumes(subject: &Subject) -> Finding {
    let bad: Vec<(&str, &str)> =
        subject.spec.volumes.iter().flatten().filter_map(|volume| Some((volume.name.as_str(), restricted_type(volume)?))).collect();
    if bad.is_empty() {
        return None;
    }
    let types: Values = bad.iter().map(|(_, kind)| kind.to_string()).collect();
    let (volumes, uses) = (plural("volume", "volumes", bad.len()), plural("uses", "use", bad.len()));
    let kinds = plural("restricted volume type", "restricted volume types", types.len());
    let names = quoted(bad.iter().map(|(name, _)| name));
    found("restricted volume types", format!("{volumes} {names} {uses} {kinds} {}", quoted(&types)))
}

/// The type of a volume that is not one of the allowed.
fn restricted_type(volume: &Volume) -> Option<&'static str> {
    let allowed = volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.image.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some();
    if allowed {
        return None;
    }
    let types = [
        ("hostPath", volume.host_path.is_some()),
        ("gcePersistentDisk", volume.gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", volume.aws_elastic_block_store.is_some()),
        ("gitRepo", volume.git_repo.is_some()),
        ("nfs", volume.nfs.is_some()),
        ("iscsi", volume.iscsi.is_some()),
        ("glusterfs", volume.glusterfs.is_some()),
        ("rbd", volume.rbd.is_some()),
        ("flexVolume", volume.flex_volume.is_some()),
        ("cinder", volume.cinder.is_some()),
        ("cephfs", volume.cephfs.is_some()),
        ("flocker", volume.flocker.is_some()),
        ("fc", volume.fc.is_some()),
        ("azureFile", volume.azure_file.is_some()),
        ("vsphereVolume", volume.vsphere_volume.is_some()),
        ("quobyte", volume.quobyte.is_some()),
        ("azureDisk", volume.azure_disk.is_some()),
        ("photonPersistentDisk", volume.photon_persistent_disk.is_some()),
        ("portworxVolume", volume.portworx_volume.is_some()),
        ("scaleIO", volume.scale_io.is_some()),
        ("storageos", volume.storageos.is_some()),
    ];
    Some(types.iter().find(|(_, is)| *is).map_or("unknown", |(name, _)| name))
}

pub fn non_root(subject: &Subject) -> Finding {
    let pod = subject.spec.security_context.as_ref().and_then(|security| security.run_as_non_root);
    let own = |value: Option<bool>| subject.which(|container| container.security.and_then(|security| security.run_as_non_root) == value);
    let setters = setters(pod == Some(false), &own(Some(false)));
    if !setters.is_empty() {
        return found("runAsNonRoot != true", format!("{} must not set securityContext.runAsNonRoot=false", setters.join(" and ")));
    }
    let silent = if pod == Some(true) { Vec::new() } else { own(None) };
    if silent.is_empty() {
        return None;
    }
    found("runAsNonRoot != true", format!("pod or {} must set securityContext.runAsNonRoot=true", named(&silent)))
}

pub fn non_root_35(subject: &Subject) -> Finding {
    if subject.has_own_users() { None } else { non_root(subject) }
}

pub fn user(subject: &Subject) -> Finding {
    let pod = subject.spec.security_context.as_ref().and_then(|security| security.run_as_user) == Some(0);
    let containers = subject.which(|container| container.security.and_then(|security| security.run_as_user) == Some(0));
    let setters = setters(pod, &containers);
    if setters.is_empty() { None } else { found("runAsUser=0", format!("{} must not set runAsUser=0", setters.join(" and "))) }
}

pub fn user_35(subject: &Subject) -> Finding {
    if subject.has_own_users() { None } else { user(subject) }
}

pub fn seccomp(subject: &Subject) -> Finding {
    if let Some(finding) = super::baseline::seccomp(subject) {
        return Some(finding);
    }
    let pod = subject.spec.security_context.as_ref().and_then(|security| security.seccomp_profile.as_ref());
    if pod.is_some_and(|profile| valid_seccomp(&profile.type_)) {
        return None;
    }
    let silent = subject.which(|container| container.security.and_then(|security| security.seccomp_profile.as_ref()).is_none());
    if silent.is_empty() {
        return None;
    }
    let what = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    found("seccompProfile", format!("pod or {} {what}", named(&silent)))
}

pub fn seccomp_25(subject: &Subject) -> Finding {
    if subject.is_windows() { None } else { seccomp(subject) }
}
