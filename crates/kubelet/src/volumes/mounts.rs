//! The mounts of one container: its volumes (whole or a path in them), the hosts file, the termination log.
use super::{Volumes, host, mountpoint};
use crate::pod::view::PodView;
use crate::spec::expand::expand_strictly;
use cri::v1::{ImageSpec, Mount, MountPropagation};
use k8s_openapi::api::core::v1::{Container, Pod, Volume, VolumeMount};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

pub const HOSTS: &str = "/etc/hosts";

/// What is known when a container starts.
pub struct Start<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub env: &'a [(String, String)],
    /// The text of the hosts file; `None`: the container brings its own.
    pub hosts: Option<String>,
    /// Image volumes that were pulled, by volume name.
    pub images: &'a HashMap<String, String>,
    /// Names the termination log.
    pub token: String,
}

impl Volumes {
    pub async fn container_mounts(&self, start: &Start<'_>) -> Result<Vec<Mount>, String> {
        let mut mounts = Vec::new();
        let listed = start.container.volume_mounts.as_deref().unwrap_or_default();
        for (index, mount) in listed.iter().enumerate() {
            mounts.push(self.one(start, index, mount).await?);
        }
        let own_hosts = listed.iter().any(|mount| Path::new(&mount.mount_path) == Path::new(HOSTS));
        if let Some(text) = start.hosts.as_ref().filter(|_| !own_hosts) {
            mounts.push(self.hosts(start.pod, text)?);
        }
        mounts.extend(self.termination_log(start)?);
        Ok(mounts)
    }

    async fn one(&self, start: &Start<'_>, index: usize, mount: &VolumeMount) -> Result<Mount, String> {
        let (pod, container) = (start.pod, start.container);
        let volume = pod.pod_spec().volumes.iter().flatten().find(|volume| volume.name == mount.name);
        let volume =
            volume.ok_or_else(|| format!("cannot find volume \"{}\" to mount into container \"{}\"", mount.name, container.name))?;
        let sub_path = sub_path(start, mount)?;
        let mut result = Mount {
            container_path: absolute(&mount.mount_path),
            readonly: mount.read_only.unwrap_or(false),
            propagation: match mount.mount_propagation.as_deref() {
                Some("Bidirectional") => MountPropagation::PropagationBidirectional,
                Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
                _ => MountPropagation::PropagationPrivate,
            } as i32,
            recursive_read_only: mount.recursive_read_only.as_deref() == Some("Enabled"),
            ..Mount::default()
        };
        if volume.image.is_some() {
            let image = start.images.get(&volume.name).cloned().unwrap_or_default();
            result.image = Some(ImageSpec { image, ..ImageSpec::default() });
            result.image_sub_path = sub_path.unwrap_or_default();
            result.readonly = true;
            return Ok(result);
        }
        let root = self.path_of(pod, volume).await?;
        let path = match sub_path {
            None => root,
            Some(sub_path) => self.bind_sub_path(start, index, volume, &root, &sub_path)?,
        };
        result.host_path = path.to_string_lossy().into_owned();
        Ok(result)
    }

    async fn path_of(&self, pod: &Pod, volume: &Volume) -> Result<PathBuf, String> {
        if let Some(source) = &volume.host_path {
            let path = host::check(source)?;
            // Without a type a missing path is made, as container runtimes do.
            if !path.exists() {
                host::make_dir(&path)?;
            }
            return Ok(path);
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            return self.claimed_path(pod, &claim.claim_name).await;
        }
        self.dir(pod.uid(), volume).ok_or_else(|| "no volume plugin matched".into())
    }

    /// Opened without leaving the volume, bound by descriptor: no link can be put in its place between the two.
    fn bind_sub_path(&self, start: &Start, index: usize, volume: &Volume, root: &Path, sub_path: &str) -> Result<PathBuf, String> {
        let failed = |error: std::io::Error| {
            format!("failed to prepare subPath for volumeMount \"{}\" of container \"{}\": {error}", volume.name, start.container.name)
        };
        let opened = mountpoint::open_inside(root, sub_path).map_err(failed)?;
        let base = self.pod_dir(start.pod.uid()).join("volume-subpaths");
        let target = base.join(&volume.name).join(&start.container.name).join(index.to_string());
        mountpoint::bind(&opened, &target).map_err(failed)?;
        Ok(target)
    }

    fn hosts(&self, pod: &Pod, text: &str) -> Result<Mount, String> {
        let path = self.pod_dir(pod.uid()).join("etc-hosts");
        let written = fs::write(&path, text).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)));
        written.map_err(|error| error.to_string())?;
        Ok(Mount { container_path: HOSTS.into(), host_path: path.to_string_lossy().into_owned(), ..Mount::default() })
    }

    fn termination_log(&self, start: &Start) -> Result<Option<Mount>, String> {
        let Some(inside) = start.container.termination_message_path.as_deref().filter(|path| !path.is_empty()) else { return Ok(None) };
        let dir = self.pod_dir(start.pod.uid()).join("containers").join(&start.container.name);
        let path = dir.join(&start.token);
        let made = fs::create_dir_all(&dir)
            .and_then(|()| fs::write(&path, []))
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o666)));
        made.map_err(|error| error.to_string())?;
        let host_path = path.to_string_lossy().into_owned();
        Ok(Some(Mount { container_path: absolute(inside), host_path, ..Mount::default() }))
    }
}

fn sub_path(start: &Start, mount: &VolumeMount) -> Result<Option<String>, String> {
    let lookup = |name: &str| start.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let path = match (&mount.sub_path_expr, &mount.sub_path) {
        (Some(expression), _) if !expression.is_empty() => expand_strictly(expression, lookup)?,
        (_, Some(path)) => path.clone(),
        _ => return Ok(None),
    };
    if path.is_empty() {
        return Ok(None);
    }
    let plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if plain { Ok(Some(path)) } else { Err(format!("error SubPath `{path}` must not be an absolute path or contain ..")) }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.into() } else { format!("/{path}") }
}
