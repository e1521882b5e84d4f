//! Checks of a pod's spec, alike in pods and templates, and what holds for pods alone.
mod affinity;
mod annotations;
mod containers;
mod env;
mod mounts;
mod network;
pub(crate) mod probes;
mod projected;
mod remote;
pub(crate) mod requirements;
mod scheduling;
mod security;
pub(crate) mod volumes;
mod windows;

pub(crate) use affinity::node_selector;
pub(super) use annotations::unchanged as unchanged_annotations;
pub(crate) use probes::port;
pub(crate) use remote::{driver_name, flex_options, iscsi_name};
pub(super) use scheduling::tolerations;
pub(crate) use volumes::volume_source;

use crate::access::{Entries, Flag, List, Text};
use crate::meta::{annotations as annotation_keys, labels, not_negative, report};
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec, PodTemplateSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::content;
use machinery::errors::Errors;

/// What the checks of parts need to know of the whole.
pub(crate) struct Scope<'a> {
    pub spec: &'a PodSpec,
    /// A pod, and not a template.
    pub pod: bool,
    /// Volumes without mistakes of their own.
    pub volumes: Vec<&'a Volume>,
}

impl Scope<'_> {
    fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().copied().find(|volume| volume.name == name)
    }

    fn host_users(&self) -> bool {
        self.spec.host_users.unwrap_or(true)
    }
}

/// Checks a template; the caller has put its field on the path (`errors.at("template", …)`).
pub fn validate_pod_template(template: &PodTemplateSpec, errors: &mut Errors) {
    let (no_meta, no_spec) = (ObjectMeta::default(), PodSpec::default());
    let meta = template.metadata.as_ref().unwrap_or(&no_meta);
    let spec = template.spec.as_ref().unwrap_or(&no_spec);
    labels(errors, "labels", meta.labels.as_ref());
    annotation_keys(errors, "annotations", meta.annotations.as_ref());
    annotations::check(meta, spec, errors);
    errors.at("spec", |errors| {
        validate_pod_spec(spec, None, errors);
        annotations::match_fields(meta, spec, errors);
        if !spec.ephemeral_containers.list().is_empty() {
            errors.forbidden("ephemeralContainers", "ephemeral containers not allowed in pod template");
        }
    });
}

/// Checks a spec; the caller has put its field on the path. `meta` is the pod's; none for a template.
pub fn validate_pod_spec(spec: &PodSpec, meta: Option<&ObjectMeta>, errors: &mut Errors) {
    if spec.termination_grace_period_seconds.is_none() {
        errors.required("terminationGracePeriodSeconds", "");
    }
    let volumes = volumes::check(spec.volumes.list(), meta, errors);
    let scope = Scope { spec, pod: meta.is_some(), volumes };
    requirements::pod_claims(spec, meta, errors);
    containers::check(&scope, errors);
    requirements::pod_level(spec, errors);
    network::host_ports(&scope, errors);
    policies(spec, errors);
    labels(errors, "nodeSelector", spec.node_selector.as_ref());
    security::check_pod(spec, errors);
    affinity::check(spec.affinity.as_ref(), errors);
    network::check(spec, errors);
    scheduling::check(spec, errors);
    windows::host_process(spec, errors);
    names(spec, errors);
    scheduling::tolerations(spec.tolerations.list(), errors);
    network::aliases(spec, errors);
    if spec.overhead.is_some() {
        errors.at("overhead", |errors| requirements::overhead(spec, errors));
    }
    os(spec, errors);
    env::file_volumes(spec, errors);
}

/// Checks a pod, new or changed; what only a new one may not have is told by its having no version yet.
pub fn validate(pod: &Pod, errors: &mut Errors) {
    whole(pod, errors);
    let Some(spec) = pod.spec.as_ref().filter(|_| pod.metadata.resource_version.text().is_empty()) else { return };
    errors.at("spec", |errors| {
        if !spec.ephemeral_containers.list().is_empty() {
            errors.forbidden("ephemeralContainers", "cannot be set on create");
        }
        if !spec.node_name.text().is_empty() && !spec.scheduling_gates.list().is_empty() {
            errors.forbidden("nodeName", "cannot be set until all schedulingGates have been cleared");
        }
        annotations::match_fields(&pod.metadata, spec, errors);
    });
}

/// What holds for every pod, new or changed.
pub(super) fn whole(pod: &Pod, errors: &mut Errors) {
    let no_spec = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    errors.at("metadata", |errors| annotations::check(&pod.metadata, spec, errors));
    errors.at("spec", |errors| {
        validate_pod_spec(spec, Some(&pod.metadata), errors);
        if spec.service_account_name.text().is_empty() {
            errors.each("volumes", spec.volumes.list(), |errors, volume| projected::without_account(volume, errors));
        }
        if let Some(seconds) = spec.termination_grace_period_seconds {
            not_negative(errors, "terminationGracePeriodSeconds", seconds);
        }
        let padded = |errors: &mut Errors, container: &Container| {
            if container.image.text().trim() != container.image.text() {
                errors.invalid("image", container.image.text(), "must not have leading or trailing whitespace");
            }
        };
        errors.each("containers", &spec.containers, padded);
        errors.each("initContainers", spec.init_containers.list(), padded);
    });
}

fn policies(spec: &PodSpec, errors: &mut Errors) {
    one_of(errors, "restartPolicy", spec.restart_policy.text(), &["Always", "OnFailure", "Never"]);
    one_of(errors, "dnsPolicy", spec.dns_policy.text(), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    if let Some(policy) = &spec.preemption_policy {
        one_of(errors, "preemptionPolicy", policy, &["PreemptLowerPriority", "Never"]);
    }
    if let Some(seconds) = spec.active_deadline_seconds.filter(|seconds| !(1..=i64::from(i32::MAX)).contains(seconds)) {
        errors.invalid("activeDeadlineSeconds", seconds, "must be between 1 and 2147483647, inclusive");
    }
}

/// Refuses an empty value and any that is not in the list.
pub(crate) fn one_of(errors: &mut Errors, field: &str, value: &str, known: &[&str]) {
    match value {
        "" => errors.required(field, ""),
        value if known.contains(&value) => {}
        value => errors.not_supported(field, value, known),
    }
}

/// Names of other objects, and the pod's own host name.
fn names(spec: &PodSpec, errors: &mut Errors) {
    let subdomain = |errors: &mut Errors, field: &str, name: &str| {
        if !name.is_empty() {
            report(errors, field, name, content::dns_subdomain(name));
        }
    };
    let label = |errors: &mut Errors, field: &str, name: &str| {
        if !name.is_empty() {
            report(errors, field, name, content::dns_label(name));
        }
    };
    subdomain(errors, "serviceAccountName", spec.service_account_name.text());
    if spec.service_account.text() != spec.service_account_name.text() {
        let why = format!("must be the same as serviceAccountName: {:?}", spec.service_account_name.text());
        errors.invalid("deprecatedServiceAccount", spec.service_account.text(), &why);
    }
    subdomain(errors, "nodeName", spec.node_name.text());
    label(errors, "hostname", spec.hostname.text());
    label(errors, "subdomain", spec.subdomain.text());
    subdomain(errors, "priorityClassName", spec.priority_class_name.text());
    if let Some(class) = &spec.runtime_class_name {
        report(errors, "runtimeClassName", class, content::dns_subdomain(class));
    }
    if let Some(group) = &spec.scheduling_group {
        errors.at("schedulingGroup", |errors| match &group.pod_group_name {
            None => errors.invalid("podGroupName", None::<&str>, "must specify one of: `podGroupName`"),
            Some(name) => report(errors, "podGroupName", name, content::dns_subdomain(name)),
        });
    }
}

fn os(spec: &PodSpec, errors: &mut Errors) {
    match spec.os.as_ref().map(|os| os.name.as_str()) {
        None => {}
        Some("") => errors.required("os.name", ""),
        Some("linux") => windows::linux(spec, errors),
        Some("windows") => windows::windows(spec, errors),
        Some(other) => errors.not_supported("os", other, &["linux", "windows"]),
    }
}

/// Every container of a pod with its path: init, regular, ephemeral.
pub(super) fn every_container(spec: &PodSpec, mut visit: impl FnMut(&str, &Container)) {
    for (index, container) in spec.init_containers.list().iter().enumerate() {
        visit(&format!("initContainers[{index}]"), container);
    }
    for (index, container) in spec.containers.iter().enumerate() {
        visit(&format!("containers[{index}]"), container);
    }
    for (index, container) in spec.ephemeral_containers.list().iter().enumerate() {
        visit(&format!("ephemeralContainers[{index}]"), &plain(container));
    }
}

/// An ephemeral container as one of the others.
pub(super) fn plain(container: &EphemeralContainer) -> Container {
    let from = container.clone();
    Container {
        args: from.args,
        command: from.command,
        env: from.env,
        env_from: from.env_from,
        image: from.image,
        image_pull_policy: from.image_pull_policy,
        lifecycle: from.lifecycle,
        liveness_probe: from.liveness_probe,
        name: from.name,
        ports: from.ports,
        readiness_probe: from.readiness_probe,
        resize_policy: from.resize_policy,
        resources: from.resources,
        restart_policy: from.restart_policy,
        restart_policy_rules: from.restart_policy_rules,
        security_context: from.security_context,
        startup_probe: from.startup_probe,
        stdin: from.stdin,
        stdin_once: from.stdin_once,
        termination_message_path: from.termination_message_path,
        termination_message_policy: from.termination_message_policy,
        tty: from.tty,
        volume_devices: from.volume_devices,
        volume_mounts: from.volume_mounts,
        working_dir: from.working_dir,
    }
}

/// Does the pod have a container of that name?
fn has_container(spec: &PodSpec, name: &str) -> bool {
    let mut found = false;
    every_container(spec, |_, container| found |= container.name == name);
    found
}

/// A mirror of a static pod, written by its kubelet.
pub(super) fn is_mirror(meta: &ObjectMeta) -> bool {
    meta.annotations.entries().any(|(key, _)| key == "kubernetes.io/config.mirror")
}

/// Whether the pod takes part in the node's network.
fn on_host_network(spec: &PodSpec) -> bool {
    spec.host_network.on()
}
