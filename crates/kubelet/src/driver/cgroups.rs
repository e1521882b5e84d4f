//! The cgroups of pods: `kubepods/[burstable|besteffort/]pod<uid>` below the configured root, on version 1 and 2.
//! Best effort: a machine that allows less still runs pods, with the limits of their containers alone.
use crate::pod::observed::Resources;
use crate::pod::view::PodView;
use crate::spec::resources::{self, Qos};
use k8s_openapi::api::core::v1::Pod;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Version 1's hierarchies that the kubelet uses.
const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "cpuset"];

pub struct Cgroups {
    /// Where cgroups are mounted; `None`: leave cgroups to the runtime.
    mount: Option<PathBuf>,
    /// Below which everything is made, starting with a slash or empty.
    root: String,
    pub v2: bool,
}

impl Cgroups {
    pub fn new(mount: Option<PathBuf>, root: &str) -> Cgroups {
        let v2 = mount.as_ref().is_some_and(|mount| mount.join("cgroup.controllers").exists());
        Cgroups { mount, root: root.trim_end_matches('/').into(), v2 }
    }

    /// The pod's cgroup as the runtime is told.
    pub fn parent(&self, pod: &Pod) -> String {
        let class = match resources::qos(pod) {
            Qos::Guaranteed => "",
            Qos::Burstable => "/burstable",
            Qos::BestEffort => "/besteffort",
        };
        format!("{}/kubepods{class}/pod{}", self.root, pod.uid())
    }

    pub fn make(&self, pod: &Pod) {
        let Some(mount) = &self.mount else { return };
        let (path, set) = (self.parent(pod), resources::of_pod(pod));
        let made = if self.v2 { make_v2(mount, &path, &set) } else { make_v1(mount, &path, &set) };
        if let Err(error) = made {
            tracing::debug!(%error, path, "the pod's cgroup could not be made");
        }
    }

    pub fn remove(&self, pod: &Pod) {
        let path = self.parent(pod);
        for hierarchy in self.hierarchies() {
            remove_tree(&below(&hierarchy, &path));
        }
    }

    /// Removes what is left of these pods, and the directories above them unless others use them.
    pub fn leave(&self, uids: &[String]) {
        for hierarchy in self.hierarchies() {
            let top = below(&hierarchy, &format!("{}/kubepods", self.root));
            for class in ["burstable", "besteffort", ""] {
                let class = top.join(class);
                uids.iter().for_each(|uid| remove_tree(&class.join(format!("pod{uid}"))));
                let _ = fs::remove_dir(class);
            }
        }
    }

    /// Where cgroups are: one tree on version 2; on version 1 every one that the runtime may have used too.
    fn hierarchies(&self) -> Vec<PathBuf> {
        let Some(mount) = &self.mount else { return Vec::new() };
        if self.v2 {
            return vec![mount.clone()];
        }
        let entries = fs::read_dir(mount).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }
}

fn below(hierarchy: &Path, path: &str) -> PathBuf {
    hierarchy.join(path.trim_start_matches('/'))
}

fn make_v1(mount: &Path, path: &str, set: &Resources) -> io::Result<()> {
    for controller in CONTROLLERS {
        let hierarchy = mount.join(controller);
        if !hierarchy.is_dir() {
            continue;
        }
        let dir = below(&hierarchy, path);
        make_dirs(&hierarchy, &dir, controller == "cpuset")?;
        match controller {
            "cpu" => {
                write(&dir, "cpu.shares", set.cpu_shares)?;
                if set.cpu_quota > 0 {
                    write(&dir, "cpu.cfs_period_us", set.cpu_period)?;
                    write(&dir, "cpu.cfs_quota_us", set.cpu_quota)?;
                }
            }
            "memory" if set.memory_limit_bytes > 0 => write(&dir, "memory.limit_in_bytes", set.memory_limit_bytes)?,
            _ => {}
        }
    }
    Ok(())
}

/// A cpuset is of no use before its CPUs and memory nodes are set, from the one above it.
fn make_dirs(top: &Path, dir: &Path, cpuset: bool) -> io::Result<()> {
    if dir == top || dir.is_dir() {
        return Ok(());
    }
    let Some(parent) = dir.parent() else { return Ok(()) };
    make_dirs(top, parent, cpuset)?;
    fs::create_dir_all(dir)?;
    for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|_| cpuset) {
        fs::write(dir.join(file), fs::read(parent.join(file))?)?;
    }
    Ok(())
}

fn make_v2(mount: &Path, path: &str, set: &Resources) -> io::Result<()> {
    let dir = below(mount, path);
    fs::create_dir_all(&dir)?;
    let mut at = mount.to_path_buf();
    for part in path.trim_start_matches('/').split('/') {
        // Each controller by itself: one that is missing must not keep the others away.
        for controller in CONTROLLERS {
            let _ = fs::write(at.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        at = at.join(part);
    }
    write(&dir, "cpu.weight", resources::weight(set.cpu_shares))?;
    if set.cpu_quota > 0 {
        fs::write(dir.join("cpu.max"), format!("{} {}", set.cpu_quota, set.cpu_period))?;
    }
    if set.memory_limit_bytes > 0 {
        write(&dir, "memory.max", set.memory_limit_bytes)?;
    }
    Ok(())
}

fn write(dir: &Path, file: &str, value: i64) -> io::Result<()> {
    fs::write(dir.join(file), value.to_string())
}

/// Directories of a cgroup go from the leaves; their files cannot be removed and need not be.
fn remove_tree(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(dir);
}
