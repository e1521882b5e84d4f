//! What a client is warned about: fields that do nothing any more, and mistakes that are no errors.
use super::validate::every_container;
use crate::access::{ApiResources, Entries, List, Text, amount};
use k8s_openapi::api::core::v1::{ContainerPort, Pod, PodSpec, PodTemplateSpec, Volume};
use machinery::content;

pub fn warnings(pod: &Pod) -> Vec<String> {
    let mut all = Vec::new();
    let problems = content::dns_label(pod.metadata.name.text());
    if !problems.is_empty() {
        all.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]",
            problems.join(" ")
        ));
    }
    if let Some(spec) = &pod.spec {
        of_spec("spec", spec, &mut all);
    }
    all
}

/// The same for a template that stands in `field` (`spec.template`).
pub fn template_warnings(field: &str, template: &PodTemplateSpec) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(spec) = &template.spec {
        of_spec(&format!("{field}.spec"), spec, &mut all);
    }
    all
}

fn of_spec(path: &str, spec: &PodSpec, all: &mut Vec<String>) {
    for (index, volume) in spec.volumes.list().iter().enumerate() {
        all.extend(deprecated(volume).map(|(field, why)| format!("{path}.volumes[{index}].{field}: {why}")));
    }
    for (index, constraint) in spec.topology_spread_constraints.list().iter().enumerate() {
        if constraint.label_selector.is_none() {
            all.push(format!("{path}.topologySpreadConstraints[{index}].labelSelector: a null labelSelector results in matching no pod"));
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, secret) in spec.image_pull_secrets.list().iter().enumerate() {
        let (name, field) = (secret.name.as_str(), format!("{path}.imagePullSecrets[{index}].name"));
        if seen.contains(&name) {
            all.push(format!("{field}: duplicate name {name:?}"));
        }
        if name.is_empty() {
            all.push(format!("{field}: invalid empty name \"\""));
        }
        seen.push(name);
    }
    fractions(&format!("{path}.overhead"), &spec.overhead, all);
    containers(path, spec, all);
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        all.push(format!("{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"));
    }
}

fn deprecated(volume: &Volume) -> impl Iterator<Item = (&'static str, &'static str)> {
    let known = [
        (volume.photon_persistent_disk.is_some(), "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        (volume.git_repo.is_some(), "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
        (volume.scale_io.is_some(), "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        (volume.flocker.is_some(), "flocker", "deprecated in v1.22, non-functional in v1.25+"),
        (volume.storageos.is_some(), "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
        (volume.quobyte.is_some(), "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
        (volume.glusterfs.is_some(), "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        (volume.cephfs.is_some(), "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        (volume.rbd.is_some(), "rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ];
    known.into_iter().filter(|(there, ..)| *there).map(|(_, field, why)| (field, why))
}

fn fractions(path: &str, list: &Option<ApiResources>, all: &mut Vec<String>) {
    for (name, quantity) in list.entries().filter(|(name, _)| ["memory", "ephemeral-storage"].contains(&name.as_str())) {
        let value = amount(quantity);
        if value.milli() % 1000 != 0 {
            all.push(format!("{path}[{name}]: fractional byte value \"{value}\" is invalid, must be an integer"));
        }
    }
}

fn containers(path: &str, spec: &PodSpec, all: &mut Vec<String>) {
    let mut ports: Vec<(String, ContainerPort)> = Vec::new();
    every_container(spec, |at, container| {
        let path = format!("{path}.{at}");
        if let Some(resources) = &container.resources {
            fractions(&format!("{path}.resources.limits"), &resources.limits, all);
            fractions(&format!("{path}.resources.requests"), &resources.requests, all);
        }
        let mut names: Vec<&str> = Vec::new();
        for (index, variable) in container.env.list().iter().enumerate() {
            let reference = format!("$({})", variable.name);
            let value = variable.value.text();
            let hides = variable.value_from.is_some() || value == reference || !value.contains(&reference);
            if names.contains(&variable.name.as_str()) && hides {
                let name = &variable.name;
                all.push(format!("{path}.env[{index}]: hides previous definition of {name:?}, which may be dropped when using apply"));
            }
            names.push(&variable.name);
        }
        for (index, port) in container.ports.list().iter().enumerate() {
            let field = format!("{path}.ports[{index}]");
            all.extend(
                ports
                    .iter()
                    .filter_map(|(other, known)| clash(port, known).map(|how| format!("{field}: {how} port definition with {other}"))),
            );
            ports.push((field, port.clone()));
        }
    });
    for (index, (field, port)) in ports.iter().enumerate() {
        let name = port.name.text();
        if let Some((other, _)) = ports[..index].iter().find(|(_, known)| !name.is_empty() && known.name.text() == name) {
            all.push(format!(
                "{field}: duplicate port name {name:?} with {other}, services and probes that select ports by name will use {other}"
            ));
        }
    }
}

fn clash(one: &ContainerPort, other: &ContainerPort) -> Option<&'static str> {
    if one.container_port != other.container_port || one.protocol.text() != other.protocol.text() {
        return None;
    }
    let (port, known) = (one.host_port.unwrap_or(0), other.host_port.unwrap_or(0));
    let (ip, known_ip) = (one.host_ip.text(), other.host_ip.text());
    if ip == known_ip && port == known {
        Some("duplicate")
    } else if port == 0 || known == 0 {
        Some("overlapping")
    } else {
        (port == known && ip.is_empty() != known_ip.is_empty()).then_some("dangerously ambiguous")
    }
}
