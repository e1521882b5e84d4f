//! The volumes of pods on this node: made, filled, kept up to date, and taken away. What stands in them is decided in
//! `payload`; this module reads the API and touches the file system below the kubelet's root directory only.
pub mod atomic;
mod host;
pub mod mountpoint;
pub mod mounts;
pub mod own;
pub mod payload;
pub mod sources;
pub mod token;

use crate::pod::view::PodView;
use crate::spec::fields::Facts;
use crate::spec::quantity;
use client::Client;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod, ProjectedVolumeSource, Volume, VolumeProjection};
use payload::{Files, Shape};
use sources::{Held, Sources};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use stdx::clock::Clock;
use stdx::random::Random;
use token::{Tokens, Wanted};

pub struct Volumes {
    root: PathBuf,
    client: Client,
    pub sources: Sources,
    tokens: Tokens,
    clock: Clock,
    random: Random,
}

/// What mounting gave besides the mounts.
#[derive(Default)]
pub struct Mounted {
    /// Watches that keep the volumes up to date.
    pub held: Held,
    /// When a token must be asked anew.
    pub refresh_at: Option<Timestamp>,
}

/// One volume failed: its name and why.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\" : {why}")]
pub struct MountError {
    pub volume: String,
    pub why: String,
}

impl Volumes {
    pub fn new(root: PathBuf, client: Client, sources: Sources, clock: Clock, random: Random) -> Volumes {
        Volumes { root, client, sources, tokens: Tokens::default(), clock, random }
    }

    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// Where a volume stands on the node, if it has a directory of its own here.
    pub fn dir(&self, uid: &str, volume: &Volume) -> Option<PathBuf> {
        let plugin = match volume {
            volume if volume.empty_dir.is_some() => "kubernetes.io~empty-dir",
            volume if volume.config_map.is_some() => "kubernetes.io~configmap",
            volume if volume.secret.is_some() => "kubernetes.io~secret",
            volume if volume.downward_api.is_some() => "kubernetes.io~downward-api",
            volume if volume.projected.is_some() => "kubernetes.io~projected",
            _ => return None,
        };
        Some(self.pod_dir(uid).join("volumes").join(plugin).join(&volume.name))
    }

    /// Makes or brings up to date all volumes of a pod.
    pub async fn mount(&self, pod: &Pod, facts: &Facts) -> Result<Mounted, MountError> {
        let mut mounted = Mounted::default();
        for volume in pod.pod_spec().volumes.iter().flatten() {
            let result = self.mount_one(pod, facts, volume, &mut mounted).await;
            result.map_err(|why| MountError { volume: volume.name.clone(), why })?;
        }
        Ok(mounted)
    }

    async fn mount_one(&self, pod: &Pod, facts: &Facts, volume: &Volume, mounted: &mut Mounted) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        if let Some(source) = &volume.host_path {
            return host::check(source).map(drop);
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            let path = self.claimed_path(pod, &claim.claim_name).await?;
            let read_only = claim.read_only.unwrap_or(false);
            return give_claim(pod, &path, read_only).map_err(text);
        }
        if volume.image.is_some() {
            return Ok(());
        }
        let Some(dir) = self.dir(pod.uid(), volume) else { return Err("no volume plugin matched".into()) };
        if let Some(source) = &volume.empty_dir {
            return make_empty_dir(&dir, source, pod).map_err(text);
        }
        let files = self.files(pod, facts, volume, mounted).await?;
        let stamp = self.stamp();
        let group = payload::fs_group(pod);
        if !dir.exists() || (volume.config_map.is_none() && !mountpoint::is_mounted(&dir)) {
            make_dir(&dir, volume, group).map_err(text)?;
        }
        let own = |path: &Path| group.map_or(Ok(()), |group| own::give(path, group as u32, true));
        atomic::write(&dir, &files, &stamp, own).map_err(text)?;
        Ok(())
    }

    fn stamp(&self) -> String {
        let now = self.clock.now().strftime("%Y_%m_%d_%H_%M_%S").to_string();
        format!("{now}.{:010}", self.random.u64(0..10_000_000_000))
    }

    async fn files(&self, pod: &Pod, facts: &Facts, volume: &Volume, mounted: &mut Mounted) -> Result<Files, String> {
        let namespace = pod.pod_namespace();
        if let Some(source) = &volume.config_map {
            let object = self.sources.config_map(namespace, &source.name, &mut mounted.held).await?;
            let optional = source.optional.unwrap_or(false);
            let shape = Shape { items: source.items.as_deref(), mode: source.default_mode, user: source.default_user, optional };
            return payload::config_map(&source.name, object.as_deref(), shape);
        }
        if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            let object = self.sources.secret(namespace, name, &mut mounted.held).await?;
            let optional = source.optional.unwrap_or(false);
            let shape = Shape { items: source.items.as_deref(), mode: source.default_mode, user: source.default_user, optional };
            return payload::secret(name, object.as_deref(), shape);
        }
        if let Some(source) = &volume.downward_api {
            let shape = Shape { mode: source.default_mode, ..Shape::default() };
            return payload::downward(pod, facts, source.items.as_deref().unwrap_or_default(), shape);
        }
        match &volume.projected {
            Some(source) => self.projected(pod, facts, source, mounted).await,
            None => Ok(Files::new()),
        }
    }

    async fn projected(&self, pod: &Pod, facts: &Facts, all: &ProjectedVolumeSource, mounted: &mut Mounted) -> Result<Files, String> {
        let mut files = Files::new();
        for source in all.sources.iter().flatten() {
            files.extend(self.projection(pod, facts, all, source, mounted).await?);
        }
        Ok(files)
    }

    async fn projection(
        &self,
        pod: &Pod,
        facts: &Facts,
        all: &ProjectedVolumeSource,
        source: &VolumeProjection,
        mounted: &mut Mounted,
    ) -> Result<Files, String> {
        let (namespace, mode, user) = (pod.pod_namespace(), all.default_mode, all.default_user);
        if let Some(source) = &source.config_map {
            let object = self.sources.config_map(namespace, &source.name, &mut mounted.held).await?;
            let shape = Shape { items: source.items.as_deref(), mode, user, optional: source.optional.unwrap_or(false) };
            return payload::config_map(&source.name, object.as_deref(), shape);
        }
        if let Some(source) = &source.secret {
            let object = self.sources.secret(namespace, &source.name, &mut mounted.held).await?;
            let shape = Shape { items: source.items.as_deref(), mode, user, optional: source.optional.unwrap_or(false) };
            return payload::secret(&source.name, object.as_deref(), shape);
        }
        if let Some(source) = &source.downward_api {
            let shape = Shape { mode, user, ..Shape::default() };
            return payload::downward(pod, facts, source.items.as_deref().unwrap_or_default(), shape);
        }
        let Some(source) = &source.service_account_token else { return Err("this projection is not supported".into()) };
        let wanted = Wanted {
            namespace: namespace.into(),
            account: pod.pod_spec().service_account_name.clone().unwrap_or_else(|| "default".into()),
            pod_name: pod.pod_name().into(),
            pod_uid: pod.uid().into(),
            audience: source.audience.clone().unwrap_or_default(),
            life_seconds: source.expiration_seconds.unwrap_or(token::DEFAULT_LIFE_SECONDS),
        };
        let token = self.tokens.get(&self.client, wanted, self.clock.now()).await?;
        mounted.refresh_at = Some(mounted.refresh_at.map_or(token.refresh_at, |at| at.min(token.refresh_at)));
        let (owner, group) = (payload::only_user(pod), payload::fs_group(pod));
        let private = owner.is_some() || group.is_some();
        let mode = if private { 0o600 } else { mode.unwrap_or(payload::DEFAULT_MODE) as u32 };
        let user = source.user.or(owner).map(|user| user as u32);
        Ok(Files::from([(source.path.clone(), payload::File { mode, user, data: token.text.into_bytes() })]))
    }

    /// Takes the volumes of a pod away: what is mounted below its directory, then their directories.
    pub fn unmount(&self, uid: &str) -> io::Result<()> {
        let dir = self.pod_dir(uid);
        mountpoint::unmount_below(&dir)?;
        self.tokens.forget(uid);
        for part in ["volumes", "volume-subpaths"] {
            ignore_missing(fs::remove_dir_all(dir.join(part)))?;
        }
        Ok(())
    }

    /// The rest of the pod's directory.
    pub fn erase(&self, uid: &str) -> io::Result<()> {
        let dir = self.pod_dir(uid);
        mountpoint::unmount_below(&dir)?;
        ignore_missing(fs::remove_dir_all(dir))
    }
}

pub fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Secrets and tokens never touch a disk, where the kernel lets us have a tmpfs.
fn make_dir(dir: &Path, volume: &Volume, group: Option<i64>) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    if volume.config_map.is_none()
        && let Err(error) = mountpoint::tmpfs(dir, None)
    {
        tracing::debug!(%error, dir = %dir.display(), "no tmpfs for a volume");
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    group.map_or(Ok(()), |group| own::give(dir, group as u32, true))
}

/// Only volumes that belong to the pod alone are given away: a claim is, a path of the node is not.
fn give_claim(pod: &Pod, path: &Path, read_only: bool) -> io::Result<()> {
    let Some(group) = payload::fs_group(pod).filter(|_| !read_only) else { return Ok(()) };
    let context = pod.pod_spec().security_context.as_ref();
    let on_mismatch = context.and_then(|context| context.fs_group_change_policy.as_deref()) == Some("OnRootMismatch");
    if on_mismatch && own::is_given(path, group as u32) {
        return Ok(());
    }
    own::give(path, group as u32, false)
}

fn make_empty_dir(dir: &Path, source: &EmptyDirVolumeSource, pod: &Pod) -> io::Result<()> {
    let group = payload::fs_group(pod);
    let memory = source.medium.as_deref() == Some("Memory");
    if dir.exists() && (!memory || mountpoint::is_mounted(dir)) {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    match source.medium.as_deref().unwrap_or_default() {
        "" => {}
        "Memory" => {
            let limit = source.size_limit.as_ref().map(quantity::value).filter(|bytes| *bytes > 0);
            let pod_limit = Some(crate::spec::resources::of_pod(pod).memory_limit_bytes).filter(|bytes| *bytes > 0);
            mountpoint::tmpfs(dir, limit.into_iter().chain(pod_limit).min())?;
        }
        medium => return Err(io::Error::other(format!("unknown storage medium {medium:?}"))),
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(source.mode.map_or(0o777, |mode| mode as u32)))?;
    group.map_or(Ok(()), |group| own::give(dir, group as u32, false))
}
