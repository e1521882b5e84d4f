//! Control groups of containers, version 1 (also hybrid) and 2: create, limit, watch for OOM kills, measure, end, remove. Groups are
//! made only below the parent that the caller names; a controller that the host lacks is done without.
mod devices;
mod limits;
mod measure;

pub use measure::Usage;

use crate::problem::{Doing, Outcome};
use crate::sys::process;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version 1 controllers a container is put under. cpuset only when asked for: a new group of it has no CPU.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "devices"];

#[derive(Clone, Debug)]
pub struct Cgroups {
    /// Mount points by controller; for version 2 the one under the empty name.
    mounts: Vec<(String, PathBuf)>,
    version_2: bool,
}

impl Cgroups {
    pub fn detect() -> Cgroups {
        Cgroups::from_mounts(&std::fs::read_to_string("/proc/self/mounts").unwrap_or_default())
    }

    fn from_mounts(table: &str) -> Cgroups {
        let mut mounts = Vec::new();
        let mut unified = None;
        for fields in table.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|fields| fields.len() > 3) {
            match fields[2] {
                "cgroup" => mounts.extend(fields[3].split(',').map(|option| (option.to_owned(), PathBuf::from(fields[1])))),
                "cgroup2" => unified = Some(PathBuf::from(fields[1])),
                _ => {}
            }
        }
        mounts.retain(|(name, _)| CONTROLLERS.contains(&name.as_str()) || name == "cpuset");
        match (mounts.is_empty(), unified) {
            (true, Some(path)) => Cgroups { mounts: vec![(String::new(), path)], version_2: true },
            _ => Cgroups { mounts, version_2: false },
        }
    }

    pub fn is_version_2(&self) -> bool {
        self.version_2
    }

    fn folder(&self, controller: &str, group: &str) -> Option<PathBuf> {
        let wanted = if self.version_2 { "" } else { controller };
        let (_, mount) = self.mounts.iter().find(|(name, _)| name == wanted)?;
        Some(mount.join(group.trim_start_matches('/')))
    }

    /// The folders of `group`, one per hierarchy.
    fn folders(&self, group: &str) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> =
            self.mounts.iter().filter(|(name, _)| name != "cpuset").map(|(_, mount)| mount.join(group.trim_start_matches('/'))).collect();
        // cpu and cpuacct are often one.
        folders.sort();
        folders.dedup();
        folders
    }

    /// Makes the group and what is missing above it; gives the files by which a process joins.
    pub fn create(&self, group: &str) -> Outcome<Vec<PathBuf>> {
        let folders = self.folders(group);
        for folder in &folders {
            std::fs::create_dir_all(folder).doing(format_args!("make cgroup {}", folder.display()))?;
        }
        if self.version_2 {
            self.delegate(group);
        }
        Ok(folders.into_iter().map(|folder| folder.join("cgroup.procs")).collect())
    }

    /// Version 2: every group above hands its controllers down.
    fn delegate(&self, group: &str) {
        let mut folder = self.mounts[0].1.clone();
        for part in Path::new(group.trim_start_matches('/')).components() {
            for controller in ["cpu", "cpuset", "memory", "pids", "io"] {
                std::fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}")).ok();
            }
            folder.push(part);
        }
    }

    /// The files by which one more process joins the existing group.
    pub fn joins(&self, group: &str) -> Vec<PathBuf> {
        self.folders(group).into_iter().map(|folder| folder.join("cgroup.procs")).filter(|path| path.exists()).collect()
    }

    /// The file that counts OOM kills.
    pub fn oom_file(&self, group: &str) -> Option<PathBuf> {
        self.folder("memory", group).map(|folder| folder.join(if self.version_2 { "memory.events" } else { "memory.oom_control" }))
    }

    pub fn processes(&self, group: &str) -> Vec<i32> {
        let Some(folder) = self.folder("pids", group).or_else(|| self.folders(group).into_iter().next()) else { return Vec::new() };
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Kills whatever is left in the group.
    pub fn kill(&self, group: &str) {
        if self.version_2 && self.folder("", group).is_some_and(|folder| std::fs::write(folder.join("cgroup.kill"), "1").is_ok()) {
            return;
        }
        for pid in self.processes(group) {
            process::kill(pid, libc::SIGKILL).ok();
        }
    }

    /// Removes the group with all that is below it; what is still in it is killed.
    pub async fn remove(&self, group: &str) {
        const PATIENCE: Duration = Duration::from_millis(5);
        for attempt in 0..100 {
            let left = self.folders(group).into_iter().filter(|folder| !remove_tree(folder)).count();
            if left == 0 {
                return;
            }
            if attempt % 10 == 0 {
                self.kill(group);
            }
            tokio::time::sleep(PATIENCE).await;
        }
        tracing::warn!(group, "the cgroup could not be removed");
    }
}

/// Removes a folder of groups from the leaves up; true when it is gone.
fn remove_tree(folder: &Path) -> bool {
    match std::fs::remove_dir(folder) {
        Ok(()) => return true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return true,
        Err(_) => {}
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    std::fs::remove_dir(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_is_version_1() {
        let table = "cgroup /c/cpu cgroup rw,relatime,cpu 0 0\ncgroup /c/memory cgroup rw,memory 0 0\ncgroup2 /c/unified cgroup2 rw 0 0\n";
        let cgroups = Cgroups::from_mounts(table);
        assert!(!cgroups.is_version_2());
        assert_eq!(cgroups.folders("/a/b"), [PathBuf::from("/c/cpu/a/b"), PathBuf::from("/c/memory/a/b")]);
    }

    #[test]
    fn one_mount_is_version_2() {
        let cgroups = Cgroups::from_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
        assert!(cgroups.is_version_2());
        assert_eq!(cgroups.oom_file("/a"), Some(PathBuf::from("/sys/fs/cgroup/a/memory.events")));
    }
}
