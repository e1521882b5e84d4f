//! Linux capabilities by name, and the sets that a container gets.
use crate::problem::{Outcome, Problem};

/// In the kernel's order: the position is the number.
#[rustfmt::skip]
const NAMES: [&str; 41] = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
    "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE",
];

/// What a container holds unless it says otherwise.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The bit of a capability, with or without `CAP_` and in any case.
pub fn bit(name: &str) -> Option<u64> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    NAMES.iter().position(|known| *known == name).map(|number| 1 << number)
}

/// The default set with `add` and `drop` applied; `all` means every one. What the host itself lacks (`host`) is left out.
pub fn choose(add: &[String], drop: &[String], host: u64) -> Outcome<u64> {
    let is_all = |name: &String| matches!(name.to_ascii_uppercase().as_str(), "ALL" | "CAP_ALL");
    let mut set: u64 = DEFAULT.iter().filter_map(|name| bit(name)).sum();
    if add.iter().any(is_all) {
        set = all();
    }
    if drop.iter().any(is_all) {
        set = 0;
    }
    for name in add.iter().filter(|name| !is_all(name)) {
        set |= known(name)?;
    }
    for name in drop.iter().filter(|name| !is_all(name)) {
        set &= !known(name)?;
    }
    Ok(set & host)
}

pub fn all() -> u64 {
    (1 << NAMES.len()) - 1
}

fn known(name: &str) -> Outcome<u64> {
    bit(name).ok_or_else(|| Problem::invalid(format_args!("unknown capability {name:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_and_dropping() {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(choose(&[], &texts(&["ALL"]), u64::MAX).unwrap(), 0);
        assert_eq!(choose(&texts(&["net_admin"]), &texts(&["ALL"]), u64::MAX).unwrap(), 1 << 12);
        assert_eq!(choose(&texts(&["ALL"]), &texts(&["CAP_CHOWN"]), u64::MAX).unwrap(), all() & !1);
        assert!(choose(&texts(&["FLY"]), &[], u64::MAX).unwrap_err().to_string().contains("FLY"));
        assert_eq!(choose(&[], &[], 1).unwrap(), 1);
    }
}
