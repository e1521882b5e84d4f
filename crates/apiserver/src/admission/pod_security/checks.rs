//! The table of checks, in the order in which their findings are told, with the versions of the standard from which each holds.
//! Pure.
use super::policy::{Level, LevelVersion};
use super::{baseline, restricted};
use k8s_openapi::api::core::v1::{ContainerPort, Lifecycle, PodSpec, Probe, SecurityContext};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeSet;

/// What is wrong: a reason, and details that may be empty.
pub type Finding = Option<(String, String)>;
type CheckFn = fn(&Subject) -> Finding;

pub struct Check {
    id: &'static str,
    level: Level,
    /// From which minor version each form of the check holds, rising.
    versions: &'static [(u32, CheckFn)],
    /// The baseline check whose place it takes.
    instead_of: &'static str,
}

const fn baseline(id: &'static str, versions: &'static [(u32, CheckFn)]) -> Check {
    Check { id, level: Level::Baseline, versions, instead_of: "" }
}

const fn restricted(id: &'static str, versions: &'static [(u32, CheckFn)], instead_of: &'static str) -> Check {
    Check { id, level: Level::Restricted, versions, instead_of }
}

/// The newest version in which the standards changed.
const NEWEST: u32 = 37;

static CHECKS: &[Check] = &[
    baseline("appArmorProfile", &[(0, baseline::app_armor)]),
    baseline("capabilities_baseline", &[(0, baseline::capabilities)]),
    baseline("hostNamespaces", &[(0, baseline::host_namespaces)]),
    baseline("hostPathVolumes", &[(0, baseline::host_path_volumes)]),
    baseline("hostPorts", &[(0, baseline::host_ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, baseline::host_probes)]),
    baseline("privileged", &[(0, baseline::privileged)]),
    baseline("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_35)]),
    baseline("seLinuxOptions", &[(0, baseline::se_linux), (31, baseline::se_linux_31)]),
    baseline("seccompProfile_baseline", &[(0, baseline::seccomp_annotations), (19, baseline::seccomp)]),
    baseline(
        "sysctls",
        &[
            (0, baseline::sysctls),
            (27, baseline::sysctls_27),
            (29, baseline::sysctls_29),
            (32, baseline::sysctls_32),
            (37, baseline::sysctls_37),
        ],
    ),
    baseline("windowsHostProcess", &[(0, baseline::windows_host_process)]),
    restricted("allowPrivilegeEscalation", &[(8, restricted::escalation), (25, restricted::escalation_25)], ""),
    restricted("capabilities_restricted", &[(22, restricted::capabilities), (25, restricted::capabilities_25)], "capabilities_baseline"),
    restricted("procMount_restricted", &[(35, baseline::proc_mount)], "procMount"),
    restricted("restrictedVolumes", &[(0, restricted::volumes)], "hostPathVolumes"),
    restricted("runAsNonRoot", &[(0, restricted::non_root), (35, restricted::non_root_35)], ""),
    restricted("runAsUser", &[(23, restricted::user), (35, restricted::user_35)], ""),
    restricted("seccompProfile_restricted", &[(19, restricted::seccomp), (25, restricted::seccomp_25)], "seccompProfile_baseline"),
];

/// All findings of one evaluation.
#[derive(Debug, Default)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `hostPort, privileged`.
    pub fn reason(&self) -> String {
        self.0.iter().map(|(reason, _)| reason.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// `hostPort (container "a" uses hostPort 80), …`.
    pub fn detail(&self) -> String {
        let shown = self.0.iter().map(|(reason, detail)| if detail.is_empty() { reason.clone() } else { format!("{reason} ({detail})") });
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// What of a pod breaks the level.
pub fn evaluate(level: LevelVersion, meta: &ObjectMeta, spec: &PodSpec) -> Violations {
    if level.level == Level::Privileged {
        return Violations::default();
    }
    let minor = level.version.unwrap_or(NEWEST).min(NEWEST);
    let at = |check: &Check| check.versions.iter().rev().find(|(from, _)| *from <= minor).map(|(_, run)| *run);
    let strict = level.level == Level::Restricted;
    let replaced: Vec<&str> = match strict {
        true => CHECKS.iter().filter(|check| at(check).is_some()).map(|check| check.instead_of).collect(),
        false => Vec::new(),
    };
    let chosen = CHECKS.iter().filter(|check| (strict || check.level == Level::Baseline) && !replaced.contains(&check.id));
    let subject = Subject { meta, spec, containers: containers(spec) };
    Violations(chosen.filter_map(at).filter_map(|run| run(&subject)).collect())
}

/// The pod, with its containers of all kinds as one list.
pub struct Subject<'a> {
    pub meta: &'a ObjectMeta,
    pub spec: &'a PodSpec,
    pub containers: Vec<AnyContainer<'a>>,
}

pub struct AnyContainer<'a> {
    pub name: &'a str,
    pub security: Option<&'a SecurityContext>,
    pub ports: &'a [ContainerPort],
    pub probes: [Option<&'a Probe>; 3],
    pub lifecycle: Option<&'a Lifecycle>,
}

impl Subject<'_> {
    pub fn is_windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }

    /// Its users are not the host's.
    pub fn has_own_users(&self) -> bool {
        self.spec.host_users == Some(false)
    }

    /// The names of containers for which `bad` says so.
    pub fn which(&self, bad: impl FnMut(&&AnyContainer) -> bool) -> Vec<String> {
        self.containers.iter().filter(bad).map(|container| container.name.to_string()).collect()
    }
}

fn containers(spec: &PodSpec) -> Vec<AnyContainer<'_>> {
    let plain = spec.init_containers.iter().flatten().chain(&spec.containers).map(|container| AnyContainer {
        name: &container.name,
        security: container.security_context.as_ref(),
        ports: container.ports.as_deref().unwrap_or_default(),
        probes: [container.liveness_probe.as_ref(), container.readiness_probe.as_ref(), container.startup_probe.as_ref()],
        lifecycle: container.lifecycle.as_ref(),
    });
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| AnyContainer {
        name: &container.name,
        security: container.security_context.as_ref(),
        ports: container.ports.as_deref().unwrap_or_default(),
        probes: [container.liveness_probe.as_ref(), container.readiness_probe.as_ref(), container.startup_probe.as_ref()],
        lifecycle: container.lifecycle.as_ref(),
    });
    plain.chain(ephemeral).collect()
}

pub fn found(reason: &str, detail: String) -> Finding {
    Some((reason.to_string(), detail))
}

/// `"a", "b"`.
pub fn quoted<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect::<Vec<_>>().join(", ")
}

pub fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"` or `containers "a", "b"`.
pub fn named(containers: &[String]) -> String {
    format!("{} {}", plural("container", "containers", containers.len()), quoted(containers))
}

/// Who sets something: the pod, containers, or both.
pub fn setters(pod: bool, containers: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    if pod {
        all.push("pod".to_string());
    }
    if !containers.is_empty() {
        all.push(named(containers));
    }
    all
}

/// Collects values while filtering, sorted and once each.
pub type Values = BTreeSet<String>;

#[cfg(test)]
mod tests;
