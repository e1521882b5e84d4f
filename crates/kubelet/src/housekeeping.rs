//! What has to be done now and then: rotate logs that have grown, remove images when the disk fills, remember what pods use,
//! hold emptyDirs to their limits.
use crate::driver::shared::Shared;
use crate::driver::worker::Message;
use crate::images::garbage::{self, Memory, Stored};
use crate::pod::observed::State;
use crate::pod::view::PodView;
use crate::pods::Pods;
use crate::spec::{labels, quantity};
use cri::v1::{
    ImageSpec, ListContainersRequest, ListImagesRequest, ListPodSandboxStatsRequest, RemoveImageRequest, ReopenContainerLogRequest,
};
use rustix::fs::statvfs;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const BEAT: Duration = Duration::from_secs(10);
/// Images are looked at every so many beats.
const IMAGE_BEATS: u32 = 30;
const MAX_LOG_BYTES: u64 = 10 << 20;
const MAX_LOG_FILES: usize = 5;

pub async fn keep(shared: Arc<Shared>, pods: Arc<Pods>) {
    let (mut memory, mut beats) = (Memory::default(), 0u32);
    loop {
        shared.clock.sleep(BEAT).await;
        if pods.all().is_empty() && beats % IMAGE_BEATS != 0 {
            beats += 1;
            continue;
        }
        rotate_logs(&shared, &pods).await;
        hold_empty_dirs(&shared, &pods);
        if beats % IMAGE_BEATS == 0 {
            collect_images(&shared, &mut memory).await;
        }
        beats += 1;
    }
}

async fn rotate_logs(shared: &Shared, pods: &Pods) {
    for handle in pods.all() {
        let seen = handle.view.read().observed.containers.clone();
        for container in seen.iter().filter(|container| container.state == State::Running) {
            let path = PathBuf::from(&container.log_path);
            if !fs::metadata(&path).is_ok_and(|found| found.len() > MAX_LOG_BYTES) {
                continue;
            }
            let stamp = shared.clock.now().strftime("%Y%m%d-%H%M%S").to_string();
            let aside = PathBuf::from(format!("{}.{stamp}", path.display()));
            if fs::rename(&path, &aside).is_err() {
                continue;
            }
            let request = ReopenContainerLogRequest { container_id: container.id.clone() };
            if let Err(error) = shared.runtime.reopen_container_log(request).await {
                tracing::warn!(%error, path = %path.display(), "log not rotated");
                let _ = fs::rename(&aside, &path);
            }
            drop_old_logs(&path);
        }
    }
}

/// Keeps the newest rotated logs of `path`.
fn drop_old_logs(path: &Path) {
    let rotated = rotated_logs(path);
    let kept = MAX_LOG_FILES - 1;
    for old in rotated.iter().take(rotated.len().saturating_sub(kept)) {
        let _ = fs::remove_file(old);
    }
}

/// Rotated logs of `path`, oldest first.
pub fn rotated_logs(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.", name.to_string_lossy());
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mine = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
    let mut found: Vec<PathBuf> = entries.filter(mine).collect();
    found.sort();
    found
}

/// A pod whose emptyDir has outgrown its limit is evicted.
fn hold_empty_dirs(shared: &Shared, pods: &Pods) {
    for handle in pods.all() {
        let view = handle.view.read();
        if view.ended || view.pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        for volume in view.pod.pod_spec().volumes.iter().flatten() {
            let limit = volume.empty_dir.as_ref().and_then(|source| source.size_limit.as_ref());
            let (Some(limit), Some(dir)) = (limit, shared.volumes.dir(view.pod.uid(), volume)) else { continue };
            let bytes = quantity::value(limit);
            if bytes > 0 && disk_use(&dir) as i64 > bytes {
                let message = format!("Usage of EmptyDir volume \"{}\" exceeds the limit \"{}\". ", volume.name, limit.0);
                pods.tell(view.pod.uid(), Message::Evict { reason: "Evicted", message, grace_seconds: 1 });
            }
        }
    }
}

pub fn disk_use(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_use(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    };
    fs::read_dir(dir).into_iter().flatten().flatten().map(of).sum()
}

async fn collect_images(shared: &Shared, memory: &mut Memory) {
    let images = &shared.puller.images;
    let Ok(listed) = images.list_images(ListImagesRequest::default()).await else { return };
    let Ok(containers) = shared.runtime.list_containers(ListContainersRequest::default()).await else { return };
    let used = containers.containers.into_iter().flat_map(|container| {
        let image = container.image.unwrap_or_default();
        [container.image_ref, container.image_id, image.image]
    });
    let used: BTreeSet<String> = used.collect();
    let in_use = |image: &cri::v1::Image| {
        let names = image.repo_tags.iter().chain(&image.repo_digests).chain([&image.id]);
        names.into_iter().any(|name| used.contains(name))
    };
    let busy: BTreeSet<String> = listed.images.iter().filter(|image| in_use(image)).map(|image| image.id.clone()).collect();
    let ids: Vec<String> = listed.images.iter().map(|image| image.id.clone()).collect();
    let now = shared.clock.now();
    memory.note(&ids, &busy, now);
    let stored = listed.images.iter().map(|image| {
        let (first_seen, used_at) = memory.seen.get(&image.id).copied().unwrap_or((now, now));
        Stored { id: image.id.clone(), size_bytes: image.size, pinned: image.pinned, used_at, first_seen }
    });
    let Ok(disk) = statvfs(&shared.settings.root_dir) else { return };
    let (capacity, free) = (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize);
    for id in garbage::to_remove(stored.collect(), &busy, capacity.saturating_sub(free), capacity, now) {
        tracing::info!(image = id, "removing an unused image");
        let request = RemoveImageRequest { image: Some(ImageSpec { image: id, ..ImageSpec::default() }) };
        if let Err(error) = images.remove_image(request).await {
            tracing::warn!(%error, "image not removed");
        }
    }
}

/// Working sets of pods by uid, as the runtime counts them.
pub async fn memory_by_pod(runtime: &dyn cri::Runtime) -> HashMap<String, u64> {
    let Ok(answer) = runtime.list_pod_sandbox_stats(ListPodSandboxStatsRequest::default()).await else { return HashMap::new() };
    let one = |stats: cri::v1::PodSandboxStats| {
        let uid = stats.attributes?.labels.get(labels::POD_UID)?.clone();
        let memory = stats.linux?.memory?;
        Some((uid, memory.working_set_bytes.or(memory.usage_bytes)?.value))
    };
    answer.stats.into_iter().filter_map(one).collect()
}
