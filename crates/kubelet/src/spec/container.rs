//! A container in CRI's form, from everything that was resolved for it before.
use crate::spec::expand::expand;
use crate::spec::{labels, quantity, resources, security};
use cri::v1::{
    ContainerConfig, ContainerMetadata, HugepageLimit, ImageSpec, KeyValue, LinuxContainerConfig, LinuxContainerResources, Mount, Signal,
};
use k8s_openapi::api::core::v1::{Container, Pod};

/// Before the names of CRI's signals.
const SIGNAL: &str = "SIGNAL_";

/// What the driver found out for one start.
pub struct Inputs {
    pub restart_count: u32,
    pub image_ref: String,
    pub image_user: security::ImageUser,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    /// The id of the container whose processes an ephemeral container sees.
    pub target: Option<String>,
    pub seccomp_root: String,
    pub memory_capacity: i64,
    pub cgroup_v2: bool,
}

pub fn config(pod: &Pod, container: &Container, inputs: Inputs) -> Result<ContainerConfig, String> {
    let lookup = |name: &str| inputs.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let expanded = |words: &Option<Vec<String>>| words.iter().flatten().map(|word| expand(word, lookup)).collect();
    let (command, args) = (expanded(&container.command), expanded(&container.args));
    let context = security::context(pod, container, &inputs.image_user, inputs.target.as_deref(), &inputs.seccomp_root)?;
    let signal = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: inputs.restart_count }),
        image: Some(ImageSpec {
            image: inputs.image_ref,
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..ImageSpec::default()
        }),
        command,
        args,
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: inputs.env.into_iter().map(|(key, value)| KeyValue { key, value: value.into_bytes() }).collect(),
        mounts: inputs.mounts,
        labels: labels::container_labels(pod, container),
        annotations: labels::container_annotations(pod, container, inputs.restart_count),
        log_path: log_path(&container.name, inputs.restart_count),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(LinuxContainerConfig {
            resources: Some(linux_resources(pod, container, inputs.memory_capacity, inputs.cgroup_v2)),
            security_context: Some(context),
        }),
        stop_signal: signal.map_or(0, stop_signal),
        ..ContainerConfig::default()
    })
}

/// Below the pod's log directory.
pub fn log_path(name: &str, restart_count: u32) -> String {
    format!("{name}/{restart_count}.log")
}

pub fn linux_resources(pod: &Pod, container: &Container, memory_capacity: i64, cgroup_v2: bool) -> LinuxContainerResources {
    let set = resources::of_container(container);
    let limits = container.resources.as_ref().and_then(|all| all.limits.as_ref());
    let pages = limits.into_iter().flatten().filter_map(|(name, amount)| {
        let size = name.strip_prefix("hugepages-")?;
        Some(HugepageLimit { page_size: page_size(size), limit: quantity::value(amount) as u64 })
    });
    let whole = if cgroup_v2 { [("memory.oom.group".to_string(), "1".to_string())].into() } else { Default::default() };
    LinuxContainerResources {
        cpu_period: set.cpu_period,
        cpu_quota: set.cpu_quota,
        cpu_shares: set.cpu_shares,
        memory_limit_in_bytes: set.memory_limit_bytes,
        oom_score_adj: resources::oom_score(pod, container, memory_capacity),
        hugepage_limits: pages.collect(),
        unified: whole,
        ..LinuxContainerResources::default()
    }
}

/// `2Mi` as cgroups call it: `2MB`.
fn page_size(size: &str) -> String {
    size.replace("Ki", "KB").replace("Mi", "MB").replace("Gi", "GB")
}

/// The API's name of a signal as CRI's number, and back.
pub fn stop_signal(name: &str) -> i32 {
    Signal::from_str_name(&format!("{SIGNAL}{name}")).map_or(0, |signal| signal as i32)
}

pub fn signal_name(number: i32) -> Option<String> {
    let signal = Signal::try_from(number).ok().filter(|signal| *signal != Signal::RuntimeDefault)?;
    Some(signal.as_str_name().trim_start_matches(SIGNAL).to_string())
}

/// The image of a pod's container, with `:latest` where neither tag nor digest stands.
pub fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains(':') || image.contains('@') { image.into() } else { format!("{image}:latest") }
}
