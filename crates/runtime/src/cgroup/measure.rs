//! What a group uses.
use super::Cgroups;
use std::path::Path;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Usage {
    pub cpu_ns: u64,
    pub memory_bytes: u64,
    /// Without what the kernel could give back at once.
    pub working_set_bytes: u64,
    pub rss_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    pub memory_limit_bytes: Option<u64>,
    pub processes: u64,
}

/// Limits beyond this are "no limit" on version 1.
const NO_LIMIT: u64 = 1 << 62;

impl Cgroups {
    /// `None` when the group does not exist.
    pub fn measure(&self, group: &str) -> Option<Usage> {
        if self.is_version_2() { self.measure_version_2(group) } else { self.measure_version_1(group) }
    }

    fn measure_version_1(&self, group: &str) -> Option<Usage> {
        let (cpu, memory) = (self.folder("cpuacct", group)?, self.folder("memory", group)?);
        let stat = std::fs::read_to_string(memory.join("memory.stat")).ok()?;
        let used = number(&memory.join("memory.usage_in_bytes"))?;
        Some(Usage {
            cpu_ns: number(&cpu.join("cpuacct.usage"))?,
            memory_bytes: used,
            working_set_bytes: used.saturating_sub(field(&stat, "total_inactive_file")),
            rss_bytes: field(&stat, "total_rss"),
            page_faults: field(&stat, "total_pgfault"),
            major_page_faults: field(&stat, "total_pgmajfault"),
            memory_limit_bytes: number(&memory.join("memory.limit_in_bytes")).filter(|limit| *limit < NO_LIMIT),
            processes: self.folder("pids", group).and_then(|folder| number(&folder.join("pids.current"))).unwrap_or_default(),
        })
    }

    fn measure_version_2(&self, group: &str) -> Option<Usage> {
        let folder = self.folder("", group)?;
        let cpu = std::fs::read_to_string(folder.join("cpu.stat")).ok()?;
        let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let used = number(&folder.join("memory.current")).unwrap_or_default();
        Some(Usage {
            cpu_ns: field(&cpu, "usage_usec") * 1000,
            memory_bytes: used,
            working_set_bytes: used.saturating_sub(field(&stat, "inactive_file")),
            rss_bytes: field(&stat, "anon"),
            page_faults: field(&stat, "pgfault"),
            major_page_faults: field(&stat, "pgmajfault"),
            memory_limit_bytes: number(&folder.join("memory.max")),
            processes: number(&folder.join("pids.current")).unwrap_or_default(),
        })
    }
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().filter_map(|line| line.split_once(' ')).find(|(key, _)| *key == name);
    value.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or_default()
}
