//! Paths of the node in pods: hostPath volumes with their types, and claims on hostPath and local volumes.
use super::Volumes;
use crate::pod::view::PodView;
use k8s_openapi::api::core::v1::{HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Checks, and where the type says so makes, the path.
pub(super) fn check(source: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&source.path);
    let found = fs::metadata(&path).ok().map(|found| found.file_type());
    let wrong = |what: &str| Err(format!("hostPath type check failed: {} is not {what}", source.path));
    match source.type_.as_deref().unwrap_or_default() {
        "" => {}
        "DirectoryOrCreate" if found.is_none() => make_dir(&path)?,
        "DirectoryOrCreate" | "Directory" if !found.is_some_and(|found| found.is_dir()) => return wrong("a directory"),
        "FileOrCreate" if found.is_none() => {
            let made = fs::write(&path, []).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)));
            made.map_err(|error| error.to_string())?;
        }
        "FileOrCreate" | "File" if !found.is_some_and(|found| found.is_file()) => return wrong("a file"),
        "Socket" if !found.is_some_and(|found| found.is_socket()) => return wrong("a socket file"),
        "CharDevice" if !found.is_some_and(|found| found.is_char_device()) => return wrong("a character device"),
        "BlockDevice" if !found.is_some_and(|found| found.is_block_device()) => return wrong("a block device"),
        "DirectoryOrCreate" | "Directory" | "FileOrCreate" | "File" | "Socket" | "CharDevice" | "BlockDevice" => {}
        other => return Err(format!("{other} is an invalid volume type")),
    }
    Ok(path)
}

pub(super) fn make_dir(path: &Path) -> Result<(), String> {
    let made = fs::create_dir_all(path).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    made.map_err(|error| error.to_string())
}

impl Volumes {
    /// The path that a claim stands for.
    pub(super) async fn claimed_path(&self, pod: &Pod, claim: &str) -> Result<PathBuf, String> {
        let namespace = pod.pod_namespace();
        let error = |error: client::Error| error.to_string();
        let found = self.client.find::<PersistentVolumeClaim>(namespace, claim).await.map_err(error)?;
        let found = found.ok_or_else(|| format!("persistentvolumeclaim \"{claim}\" not found"))?;
        let bound = found.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        let name = found.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|name| bound && !name.is_empty());
        let name = name.ok_or_else(|| format!("PVC {namespace}/{claim} is not bound"))?;
        let volume = self.client.find::<PersistentVolume>("", &name).await.map_err(error)?;
        let volume = volume.ok_or_else(|| format!("persistentvolume \"{name}\" not found"))?;
        let spec = volume.spec.clone().unwrap_or_default();
        let owner = spec.claim_ref.as_ref().and_then(|claim| claim.uid.as_ref());
        if owner.is_some() && owner != found.metadata.uid.as_ref() {
            return Err(format!("PV {name} is bound to another claim than PVC {namespace}/{claim}"));
        }
        if let Some(source) = &spec.host_path {
            return check(source);
        }
        match &spec.local {
            Some(local) if Path::new(&local.path).exists() => Ok(PathBuf::from(&local.path)),
            Some(local) => Err(format!("path \"{}\" does not exist", local.path)),
            None => Err(format!("no volume plugin matched PV {name}")),
        }
    }
}
