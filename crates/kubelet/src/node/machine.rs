//! What the machine under the kubelet is and has left, read from `/proc` and the file system.
use crate::eviction::Signals;
use rustix::fs::statvfs;
use std::fs;
use std::path::Path;

#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub cpus: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub machine_id: String,
    pub boot_id: String,
    pub kernel: String,
    pub os_image: String,
    /// As Go names it.
    pub architecture: &'static str,
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

pub fn look(root: &Path) -> Machine {
    let first = |text: String| text.lines().next().unwrap_or_default().to_string();
    Machine {
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
        memory_bytes: meminfo("MemTotal:"),
        disk_bytes: statvfs(root).map_or(0, |disk| disk.f_blocks * disk.f_frsize),
        machine_id: first(read("/etc/machine-id")),
        boot_id: first(read("/proc/sys/kernel/random/boot_id")),
        kernel: first(read("/proc/sys/kernel/osrelease")),
        os_image: os_image(&read("/etc/os-release")),
        architecture: match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        },
    }
}

fn os_image(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or_else(|| "Linux".into(), |name| name.trim_matches('"').to_string())
}

fn meminfo(field: &str) -> u64 {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What is left now.
pub fn signals(root: &Path) -> Signals {
    let disk = statvfs(root).ok();
    let of = |read: fn(&rustix::fs::StatVfs) -> u64| disk.as_ref().map_or(0, read);
    let pids: u64 = read("/proc/sys/kernel/pid_max").trim().parse().unwrap_or(0);
    let tasks = read("/proc/loadavg").split_whitespace().nth(3).and_then(|field| field.split('/').nth(1)?.parse::<u64>().ok()).unwrap_or(0);
    Signals {
        memory_available: meminfo("MemAvailable:"),
        disk_available: of(|disk| disk.f_bavail * disk.f_frsize),
        disk_capacity: of(|disk| disk.f_blocks * disk.f_frsize),
        inodes_free: of(|disk| disk.f_ffree),
        inodes: of(|disk| disk.f_files),
        pids_available: pids.saturating_sub(tasks),
        pids,
    }
}
