//! Statistics of containers, sandboxes and the image store, read from cgroups and files when asked; nothing polls.
use crate::problem::Outcome;
use crate::runtime::{Container, Runtime, Sandbox, now_ns};
use crate::sandboxes::cgroup_parent;
use cri::v1::{
    ContainerAttributes, ContainerStats, CpuUsage, FilesystemIdentifier, FilesystemUsage, LinuxPodSandboxStats, MemoryUsage,
    NetworkInterfaceUsage, NetworkUsage, PodSandboxAttributes, PodSandboxStats, ProcessUsage, UInt64Value,
};
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How long a count of a writable layer is good for: walking it is dear.
const DISK_COUNT_LIFE_NS: i64 = 10_000_000_000;

/// Times of folders, and the bytes and inodes counted then.
pub(crate) type Counted = ([(i64, i64); 2], (u64, u64));

fn some(value: u64) -> Option<UInt64Value> {
    Some(UInt64Value { value })
}

impl Runtime {
    pub fn container_stats(&self, container: &Container) -> ContainerStats {
        let record = container.record.lock().clone();
        let (disk_bytes, inodes, counted_at) = self.disk_of(container, &record.id);
        let attributes = ContainerAttributes {
            id: record.id.clone(),
            metadata: record.config.metadata.clone(),
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
        };
        let usage = record.is_running().then(|| self.cgroups.measure(&record.cgroup)).flatten();
        let now = now_ns();
        let cpu = usage.as_ref().map(|usage| {
            let before = container.last_cpu.lock().replace((now, usage.cpu_ns));
            cpu_usage(now, usage.cpu_ns, before)
        });
        ContainerStats {
            attributes: Some(attributes),
            cpu,
            memory: usage.as_ref().map(|usage| memory_usage(now, usage)),
            writable_layer: Some(FilesystemUsage {
                timestamp: counted_at,
                fs_id: Some(FilesystemIdentifier { mountpoint: self.config.data_dir.display().to_string() }),
                used_bytes: some(disk_bytes),
                inodes_used: some(inodes),
            }),
            ..Default::default()
        }
    }

    fn disk_of(&self, container: &Container, id: &str) -> (u64, u64, i64) {
        let now = now_ns();
        let mut last = container.last_disk.lock();
        if let Some((at, bytes, inodes)) = *last
            && now - at < DISK_COUNT_LIFE_NS
        {
            return (bytes, inodes, at);
        }
        let data = self.container_data(id);
        let (bytes, inodes) = [data.join("upper"), data.join("root"), data.join("volumes")]
            .iter()
            .map(|path| disk_usage(path))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        *last = Some((now, bytes, inodes));
        (bytes, inodes, now)
    }

    pub fn sandbox_stats(&self, sandbox: &Sandbox) -> PodSandboxStats {
        let record = sandbox.record.lock().clone();
        let now = now_ns();
        let containers: Vec<ContainerStats> = self
            .containers_of(&record.id)
            .iter()
            .filter(|one| one.record.lock().is_running())
            .map(|one| self.container_stats(one))
            .collect();
        let parent = cgroup_parent(&record.config);
        let usage = if parent.is_empty() { None } else { self.cgroups.measure(parent) };
        let network = record.ready.then(|| self.network_usage(&record.id, now)).flatten();
        PodSandboxStats {
            attributes: Some(PodSandboxAttributes {
                id: record.id.clone(),
                metadata: record.config.metadata.clone(),
                labels: record.config.labels.clone(),
                annotations: record.config.annotations.clone(),
            }),
            linux: Some(LinuxPodSandboxStats {
                cpu: usage.as_ref().map(|usage| cpu_usage(now, usage.cpu_ns, None)),
                memory: usage.as_ref().map(|usage| memory_usage(now, usage)),
                network,
                process: usage.as_ref().map(|usage| ProcessUsage { timestamp: now, process_count: some(usage.processes) }),
                containers,
                ..Default::default()
            }),
            windows: None,
        }
    }

    fn network_usage(&self, id: &str, now: i64) -> Option<NetworkUsage> {
        let folder = self.sandbox_folder(id);
        if !crate::namespaces::network(&folder).exists() {
            return None;
        }
        let table: Outcome<String> =
            crate::namespaces::in_network(&folder, || Ok(std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default()));
        let mut interfaces: Vec<NetworkInterfaceUsage> = table.ok()?.lines().filter_map(interface).filter(|one| one.name != "lo").collect();
        let default = interfaces.iter().position(|one| one.name == "eth0").map(|at| interfaces.remove(at));
        Some(NetworkUsage { timestamp: now, default_interface: default, interfaces })
    }

    /// What images occupy, and what containers write.
    pub fn file_systems(&self) -> (FilesystemUsage, FilesystemUsage) {
        let usage = |path: &Path, bytes: u64, inodes: u64| FilesystemUsage {
            timestamp: now_ns(),
            fs_id: Some(FilesystemIdentifier { mountpoint: path.display().to_string() }),
            used_bytes: some(bytes),
            inodes_used: some(inodes),
        };
        let all: Vec<_> = self.containers.lock().values().cloned().collect();
        let written = all.iter().map(|one| {
            let id = one.record.lock().id.clone();
            self.disk_of(one, &id)
        });
        let (bytes, inodes) = written.fold((0, 0), |sum, (bytes, inodes, _)| (sum.0 + bytes, sum.1 + inodes));
        let (image_bytes, image_inodes) = self.image_disk_usage();
        (usage(self.images.root(), image_bytes, image_inodes), usage(&self.config.data_dir.join("containers"), bytes, inodes))
    }

    /// Counted again only when a layer or blob has come or gone: its folder's time tells.
    fn image_disk_usage(&self) -> (u64, u64) {
        let root = self.images.root();
        let time = |name: &str| std::fs::metadata(root.join(name)).map(|data| (data.mtime(), data.mtime_nsec())).unwrap_or_default();
        let now = [time("layers"), time("blobs")];
        let mut last = self.image_disk.lock();
        match *last {
            Some((then, used)) if then == now => used,
            _ => {
                let used = disk_usage(root);
                *last = Some((now, used));
                used
            }
        }
    }
}

fn cpu_usage(now: i64, total_ns: u64, before: Option<(i64, u64)>) -> CpuUsage {
    let rate = before.filter(|(at, _)| now > *at).map(|(at, then)| {
        let (span, used) = ((now - at) as u128, u128::from(total_ns.saturating_sub(then)));
        UInt64Value { value: (used * 1_000_000_000 / span) as u64 }
    });
    CpuUsage { timestamp: now, usage_core_nano_seconds: some(total_ns), usage_nano_cores: rate, psi: None }
}

fn memory_usage(now: i64, usage: &crate::cgroup::Usage) -> MemoryUsage {
    let available = usage.memory_limit_bytes.map(|limit| limit.saturating_sub(usage.working_set_bytes));
    MemoryUsage {
        timestamp: now,
        working_set_bytes: some(usage.working_set_bytes),
        available_bytes: available.and_then(some),
        usage_bytes: some(usage.memory_bytes),
        rss_bytes: some(usage.rss_bytes),
        page_faults: some(usage.page_faults),
        major_page_faults: some(usage.major_page_faults),
        psi: None,
    }
}

fn interface(line: &str) -> Option<NetworkInterfaceUsage> {
    let (name, rest) = line.split_once(':')?;
    let numbers: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
    let at = |index: usize| numbers.get(index).copied().and_then(some);
    Some(NetworkInterfaceUsage { name: name.trim().to_owned(), rx_bytes: at(0), rx_errors: at(2), tx_bytes: at(8), tx_errors: at(10) })
}

/// Bytes on disk and inodes below `path`; a file with several names counts once.
fn disk_usage(path: &Path) -> (u64, u64) {
    let (mut bytes, mut inodes) = (0, 0);
    let (mut seen, mut folders) = (HashSet::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(data) = entry.metadata() else { continue };
            if data.nlink() > 1 && !data.is_dir() && !seen.insert(data.ino()) {
                continue;
            }
            bytes += data.blocks() * 512;
            inodes += 1;
            if data.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    (bytes, inodes)
}
