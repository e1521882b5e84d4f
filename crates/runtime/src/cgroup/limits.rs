//! Writing a container's limits. Zero means "not said" everywhere, as in CRI.
use super::Cgroups;
use crate::problem::{Doing, Outcome};
use cri::v1::LinuxContainerResources;
use std::path::Path;

const DEFAULT_PERIOD_US: i64 = 100_000;

impl Cgroups {
    pub fn limit(&self, group: &str, wanted: &LinuxContainerResources) -> Outcome<()> {
        if self.is_version_2() { self.limit_version_2(group, wanted) } else { self.limit_version_1(group, wanted) }
    }

    fn limit_version_1(&self, group: &str, wanted: &LinuxContainerResources) -> Outcome<()> {
        if let Some(folder) = self.folder("cpu", group) {
            if wanted.cpu_shares > 0 {
                write(&folder, "cpu.shares", &wanted.cpu_shares.max(2).to_string())?;
            }
            if wanted.cpu_period > 0 {
                write(&folder, "cpu.cfs_period_us", &wanted.cpu_period.to_string())?;
            }
            if wanted.cpu_quota != 0 {
                write(&folder, "cpu.cfs_quota_us", &wanted.cpu_quota.to_string())?;
            }
        }
        if let Some(folder) = self.folder("memory", group)
            && wanted.memory_limit_in_bytes != 0
        {
            write(&folder, "memory.limit_in_bytes", &wanted.memory_limit_in_bytes.to_string())?;
        }
        if !wanted.cpuset_cpus.is_empty() || !wanted.cpuset_mems.is_empty() {
            self.limit_cpuset(group, wanted)?;
        }
        Ok(())
    }

    fn limit_cpuset(&self, group: &str, wanted: &LinuxContainerResources) -> Outcome<()> {
        let Some(folder) = self.folder("cpuset", group) else { return Ok(()) };
        std::fs::create_dir_all(&folder).doing("make the cpuset group")?;
        for (name, value) in [("cpuset.cpus", &wanted.cpuset_cpus), ("cpuset.mems", &wanted.cpuset_mems)] {
            let inherited = || folder.parent().and_then(|parent| std::fs::read_to_string(parent.join(name)).ok()).unwrap_or_default();
            let value = if value.is_empty() { inherited() } else { value.clone() };
            write(&folder, name, value.trim())?;
        }
        Ok(())
    }

    fn limit_version_2(&self, group: &str, wanted: &LinuxContainerResources) -> Outcome<()> {
        let Some(folder) = self.folder("", group) else { return Ok(()) };
        if wanted.cpu_shares > 0 {
            write(&folder, "cpu.weight", &weight(wanted.cpu_shares).to_string())?;
        }
        if wanted.cpu_quota != 0 {
            let period = if wanted.cpu_period > 0 { wanted.cpu_period } else { DEFAULT_PERIOD_US };
            let quota = if wanted.cpu_quota < 0 { "max".to_owned() } else { wanted.cpu_quota.to_string() };
            write(&folder, "cpu.max", &format!("{quota} {period}"))?;
        }
        if wanted.memory_limit_in_bytes != 0 {
            let limit = wanted.memory_limit_in_bytes;
            write(&folder, "memory.max", &if limit < 0 { "max".to_owned() } else { limit.to_string() })?;
            let swap = wanted.memory_swap_limit_in_bytes;
            if swap > 0 && folder.join("memory.swap.max").exists() {
                // What CRI names is memory and swap together.
                write(&folder, "memory.swap.max", &(swap - limit).max(0).to_string())?;
            }
        }
        for (name, value) in [("cpuset.cpus", &wanted.cpuset_cpus), ("cpuset.mems", &wanted.cpuset_mems)] {
            if !value.is_empty() {
                write(&folder, name, value)?;
            }
        }
        for (name, value) in wanted.unified.iter().filter(|(name, _)| !name.contains('/')) {
            write(&folder, name, value)?;
        }
        Ok(())
    }

    /// How many processes the group may have at most.
    pub fn limit_processes(&self, group: &str, limit: u64) -> Outcome<()> {
        match self.folder("pids", group) {
            Some(folder) => write(&folder, "pids.max", &limit.to_string()),
            None => Ok(()),
        }
    }
}

fn write(folder: &Path, name: &str, value: &str) -> Outcome<()> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(());
    }
    std::fs::write(&path, value).doing(format_args!("write {value:?} to {}", path.display()))
}

/// CPU shares (2 to 262144) as the weight (1 to 10000) of version 2.
fn weight(shares: i64) -> i64 {
    1 + ((shares.clamp(2, 262_144) - 2) * 9999) / 262_142
}

#[cfg(test)]
mod tests {
    #[test]
    fn shares_become_weight() {
        assert_eq!([2, 1024, 262_144].map(super::weight), [1, 39, 10_000]);
    }
}
