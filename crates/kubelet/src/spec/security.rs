//! The security context of a container: the pod's settings, overridden by its own, in CRI's form.
use crate::pod::view::PodView;
use cri::v1::security_profile::ProfileType;
use cri::v1::{
    Capability, Int64Value, LinuxContainerSecurityContext, NamespaceMode, NamespaceOption, SeLinuxOption, SecurityProfile,
    SupplementalGroupsPolicy,
};
use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, SeccompProfile, SecurityContext};

const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const MASKED_TOO: [&str; 1] = ["/sys/devices/virtual/powercap"];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The user that an image names.
#[derive(Clone, Debug, Default)]
pub struct ImageUser {
    pub uid: Option<i64>,
    pub name: String,
}

pub fn namespaces(pod: &Pod) -> NamespaceOption {
    let spec = pod.pod_spec();
    let mode = |host: Option<bool>, else_mode: NamespaceMode| if host.unwrap_or(false) { NamespaceMode::Node } else { else_mode } as i32;
    let shared = if spec.share_process_namespace.unwrap_or(false) { NamespaceMode::Pod } else { NamespaceMode::Container };
    NamespaceOption {
        network: mode(spec.host_network, NamespaceMode::Pod),
        pid: mode(spec.host_pid, shared),
        ipc: mode(spec.host_ipc, NamespaceMode::Pod),
        ..NamespaceOption::default()
    }
}

pub fn supplemental_groups(pod: &Pod) -> Vec<i64> {
    let context = pod.pod_spec().security_context.as_ref();
    let fs_group = context.and_then(|context| context.fs_group);
    let groups = context.and_then(|context| context.supplemental_groups.clone()).unwrap_or_default();
    fs_group.into_iter().chain(groups).collect()
}

pub fn groups_policy(pod: &Pod) -> i32 {
    let context = pod.pod_spec().security_context.as_ref();
    let strict = context.and_then(|context| context.supplemental_groups_policy.as_deref()) == Some("Strict");
    if strict { SupplementalGroupsPolicy::Strict as i32 } else { SupplementalGroupsPolicy::Merge as i32 }
}

/// `target`: the container whose process namespace an ephemeral container joins.
pub fn context(
    pod: &Pod,
    container: &Container,
    image: &ImageUser,
    target: Option<&str>,
    seccomp_root: &str,
) -> Result<LinuxContainerSecurityContext, String> {
    let none = SecurityContext::default();
    let own = container.security_context.as_ref().unwrap_or(&none);
    let shared = pod.pod_spec().security_context.clone().unwrap_or_default();
    verify_non_root(pod, container, image)?;
    let user = own.run_as_user.or(shared.run_as_user);
    let group = own.run_as_group.or(shared.run_as_group);
    let mut namespace_options = namespaces(pod);
    if let Some(target) = target {
        namespace_options.pid = NamespaceMode::Target as i32;
        namespace_options.target_id = target.into();
    }
    let unmasked = own.proc_mount.as_deref() == Some("Unmasked");
    let paths = |list: &[&str]| if unmasked { Vec::new() } else { list.iter().map(|path| path.to_string()).collect() };
    let int = |value: i64| Int64Value { value };
    let selinux = own.se_linux_options.as_ref().or(shared.se_linux_options.as_ref());
    Ok(LinuxContainerSecurityContext {
        capabilities: Some(capabilities(own)),
        privileged: own.privileged.unwrap_or(false),
        namespace_options: Some(namespace_options),
        selinux_options: selinux.map(|options| SeLinuxOption {
            user: options.user.clone().unwrap_or_default(),
            role: options.role.clone().unwrap_or_default(),
            r#type: options.type_.clone().unwrap_or_default(),
            level: options.level.clone().unwrap_or_default(),
        }),
        run_as_user: user.or(image.uid).map(int),
        run_as_username: if user.is_none() { image.name.clone() } else { String::new() },
        run_as_group: group.map(int),
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        supplemental_groups: supplemental_groups(pod),
        supplemental_groups_policy: groups_policy(pod),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(&[&MASKED[..], &MASKED_TOO[..]].concat()),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(seccomp(own.seccomp_profile.as_ref().or(shared.seccomp_profile.as_ref()), seccomp_root)),
        apparmor: own.app_armor_profile.as_ref().or(shared.app_armor_profile.as_ref()).map(apparmor),
        ..LinuxContainerSecurityContext::default()
    })
}

fn capabilities(own: &SecurityContext) -> Capability {
    let Some(asked) = &own.capabilities else { return Capability::default() };
    Capability {
        add_capabilities: asked.add.clone().unwrap_or_default(),
        drop_capabilities: asked.drop.clone().unwrap_or_default(),
        ..Capability::default()
    }
}

/// Without a profile containers run unconfined, as the original's do by default.
pub fn seccomp(profile: Option<&SeccompProfile>, root: &str) -> SecurityProfile {
    let of = |kind: ProfileType, localhost_ref: String| SecurityProfile { profile_type: kind as i32, localhost_ref };
    match profile {
        Some(profile) if profile.type_ == "RuntimeDefault" => of(ProfileType::RuntimeDefault, String::new()),
        Some(profile) if profile.type_ == "Localhost" => {
            of(ProfileType::Localhost, format!("{root}/{}", profile.localhost_profile.as_deref().unwrap_or_default()))
        }
        _ => of(ProfileType::Unconfined, String::new()),
    }
}

fn apparmor(profile: &AppArmorProfile) -> SecurityProfile {
    let kind = match profile.type_.as_str() {
        "RuntimeDefault" => ProfileType::RuntimeDefault,
        "Localhost" => ProfileType::Localhost,
        _ => ProfileType::Unconfined,
    };
    SecurityProfile { profile_type: kind as i32, localhost_ref: profile.localhost_profile.clone().unwrap_or_default() }
}

fn verify_non_root(pod: &Pod, container: &Container, image: &ImageUser) -> Result<(), String> {
    let own = container.security_context.as_ref();
    let shared = pod.pod_spec().security_context.as_ref();
    let wanted = own.and_then(|own| own.run_as_non_root).or(shared.and_then(|shared| shared.run_as_non_root));
    if wanted != Some(true) {
        return Ok(());
    }
    let place = format!("(pod: \"{}\", container: {})", pod.shown(), container.name);
    let user = own.and_then(|own| own.run_as_user).or(shared.and_then(|shared| shared.run_as_user));
    match (user, image.uid) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {place}")),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(format!("container has runAsNonRoot and image will run as root {place}")),
        (None, Some(_)) => Ok(()),
        (None, None) if !image.name.is_empty() => {
            let name = &image.name;
            Err(format!("container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {place}"))
        }
        (None, None) => Ok(()),
    }
}
