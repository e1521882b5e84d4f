//! Reading a pod without the noise of optional fields. Nothing here decides; it only says what the object says.
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::sync::LazyLock;

static NO_SPEC: LazyLock<PodSpec> = LazyLock::new(PodSpec::default);
static NO_STATUS: LazyLock<PodStatus> = LazyLock::new(PodStatus::default);

/// Grace of a pod that names none.
pub const DEFAULT_GRACE_SECONDS: i64 = 30;
/// The annotation that a mirror pod carries: the hash of the static pod it shows.
pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
pub const SOURCE_ANNOTATION: &str = "kubernetes.io/config.source";
pub const HASH_ANNOTATION: &str = "kubernetes.io/config.hash";
pub const SEEN_ANNOTATION: &str = "kubernetes.io/config.seen";

/// What kind of container of a pod it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    App,
    Ephemeral,
}

pub trait PodView {
    fn uid(&self) -> &str;
    fn pod_name(&self) -> &str;
    fn pod_namespace(&self) -> &str;
    fn pod_spec(&self) -> &PodSpec;
    fn pod_status(&self) -> &PodStatus;
    fn annotation(&self, key: &str) -> Option<&str>;
    fn restart_policy(&self) -> &str;
    fn grace_seconds(&self) -> i64;
    fn generation(&self) -> i64;
    fn is_host_network(&self) -> bool;
    fn init_containers(&self) -> &[Container];
    fn ephemeral(&self) -> &[EphemeralContainer];
    /// All containers with their roles, init first, then apps, then ephemeral.
    fn every_container(&self) -> Vec<(Role, Container)>;
    fn container(&self, name: &str) -> Option<(Role, Container)>;
    /// `name_namespace(uid)`: how messages name a pod.
    fn shown(&self) -> String;
    fn is_mirror(&self) -> bool;
    fn is_static(&self) -> bool;
    fn is_terminal(&self) -> bool;
}

impl PodView for Pod {
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }
    fn pod_name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
    fn pod_namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }
    fn pod_spec(&self) -> &PodSpec {
        self.spec.as_ref().unwrap_or(&NO_SPEC)
    }
    fn pod_status(&self) -> &PodStatus {
        self.status.as_ref().unwrap_or(&NO_STATUS)
    }
    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }
    fn restart_policy(&self) -> &str {
        self.pod_spec().restart_policy.as_deref().unwrap_or("Always")
    }
    fn grace_seconds(&self) -> i64 {
        let spec = self.pod_spec().termination_grace_period_seconds;
        self.metadata.deletion_grace_period_seconds.or(spec).unwrap_or(DEFAULT_GRACE_SECONDS)
    }
    fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or(0)
    }
    fn is_host_network(&self) -> bool {
        self.pod_spec().host_network.unwrap_or(false)
    }
    fn init_containers(&self) -> &[Container] {
        self.pod_spec().init_containers.as_deref().unwrap_or_default()
    }
    fn ephemeral(&self) -> &[EphemeralContainer] {
        self.pod_spec().ephemeral_containers.as_deref().unwrap_or_default()
    }
    fn every_container(&self) -> Vec<(Role, Container)> {
        let init = self.init_containers().iter().map(|container| (init_role(container), container.clone()));
        let apps = self.pod_spec().containers.iter().map(|container| (Role::App, container.clone()));
        let ephemeral = self.ephemeral().iter().map(|container| (Role::Ephemeral, as_container(container)));
        init.chain(apps).chain(ephemeral).collect()
    }
    fn container(&self, name: &str) -> Option<(Role, Container)> {
        if let Some(found) = self.init_containers().iter().find(|container| container.name == name) {
            return Some((init_role(found), found.clone()));
        }
        if let Some(found) = self.pod_spec().containers.iter().find(|container| container.name == name) {
            return Some((Role::App, found.clone()));
        }
        self.ephemeral().iter().find(|container| container.name == name).map(|found| (Role::Ephemeral, as_container(found)))
    }
    fn shown(&self) -> String {
        format!("{}_{}({})", self.pod_name(), self.pod_namespace(), self.uid())
    }
    fn is_mirror(&self) -> bool {
        self.annotation(MIRROR_ANNOTATION).is_some()
    }
    fn is_static(&self) -> bool {
        self.annotation(SOURCE_ANNOTATION).is_some_and(|source| source != "api") && !self.is_mirror()
    }
    fn is_terminal(&self) -> bool {
        matches!(self.pod_status().phase.as_deref(), Some("Succeeded" | "Failed"))
    }
}

pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn init_role(container: &Container) -> Role {
    if is_sidecar(container) { Role::Sidecar } else { Role::Init }
}

/// An ephemeral container has the fields of a container, and a target.
pub fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let value = serde_json::to_value(ephemeral).unwrap_or_default();
    serde_json::from_value(value).unwrap_or_else(|_| Container { name: ephemeral.name.clone(), ..Container::default() })
}

/// The API's times have whole seconds.
pub fn api_time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
