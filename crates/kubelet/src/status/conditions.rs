//! The conditions of a pod that the kubelet owns.
use crate::pod::observed::Observed;
use crate::pod::step::not_ready;
use crate::pod::view::{PodView, api_time, is_sidecar};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

/// Types that this kubelet writes; others' are left as they are.
pub const OWNED: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

type Said = (bool, String, String);

fn yes() -> Said {
    (true, String::new(), String::new())
}

fn no(reason: &str, message: impl Into<String>) -> Said {
    (false, reason.into(), message.into())
}

/// All conditions, owned ones anew and others as `known` has them. `statuses` holds init and app containers.
pub fn conditions(
    pod: &Pod,
    observed: &Observed,
    statuses: &[ContainerStatus],
    phase: &str,
    known: &[PodCondition],
    others: &[PodCondition],
    now: Timestamp,
) -> Vec<PodCondition> {
    let mut all: Vec<PodCondition> = others.iter().filter(|one| !OWNED.contains(&one.type_.as_str())).cloned().collect();
    let containers = containers_ready(pod, statuses, phase);
    let ready = if containers.0 { gates_ready(pod, &all) } else { containers.clone() };
    let sandbox = match not_ready(pod, observed) {
        None => yes(),
        Some(why) => no("PodSandboxNotReady", why),
    };
    let said = [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized(pod, statuses, phase)),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", yes()),
    ];
    all.extend(said.into_iter().map(|(kind, said)| condition(pod, kind, said, known, now)));
    all
}

/// Says that the node ends the pod, for job controllers to tell it from a failure of the pod's own.
pub fn disrupt(all: &mut Vec<PodCondition>, pod: &Pod, message: &str, at: Timestamp) {
    if !all.iter().any(|one| one.type_ == "DisruptionTarget") {
        let said = (true, "TerminationByKubelet".to_string(), message.to_string());
        all.push(condition(pod, "DisruptionTarget", said, &[], at));
    }
}

fn condition(pod: &Pod, kind: &str, (status, reason, message): Said, known: &[PodCondition], now: Timestamp) -> PodCondition {
    let status = if status { "True" } else { "False" };
    let old = known.iter().find(|old| old.type_ == kind);
    let changed = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
    let text = |text: String| (!text.is_empty()).then_some(text);
    PodCondition {
        type_: kind.into(),
        status: status.into(),
        reason: text(reason),
        message: text(message),
        last_transition_time: Some(changed.unwrap_or_else(|| api_time(now))),
        last_probe_time: None,
        observed_generation: Some(pod.generation()).filter(|generation| *generation != 0),
    }
}

fn find<'a>(statuses: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
    statuses.iter().find(|status| status.name == name)
}

fn listed(names: &[&str]) -> String {
    format!("[{}]", names.join(" "))
}

fn containers_ready(pod: &Pod, statuses: &[ContainerStatus], phase: &str) -> Said {
    let sidecars = pod.init_containers().iter().filter(|container| is_sidecar(container));
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    for container in sidecars.chain(&pod.pod_spec().containers) {
        match find(statuses, &container.name) {
            None => unknown.push(container.name.as_str()),
            Some(status) if !status.ready => unready.push(container.name.as_str()),
            Some(_) => {}
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return no("PodCompleted", "");
    }
    if phase == "Failed" {
        return no("PodFailed", "");
    }
    match told(&unknown, &unready, "unready") {
        Some(message) => no("ContainersNotReady", message),
        None => yes(),
    }
}

fn told(unknown: &[&str], other: &[&str], what: &str) -> Option<String> {
    let mut messages = Vec::new();
    if !unknown.is_empty() {
        messages.push(format!("containers with unknown status: {}", listed(unknown)));
    }
    if !other.is_empty() {
        messages.push(format!("containers with {what} status: {}", listed(other)));
    }
    (!messages.is_empty()).then(|| messages.join(", "))
}

fn gates_ready(pod: &Pod, others: &[PodCondition]) -> Said {
    let mut messages = Vec::new();
    for gate in pod.pod_spec().readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match others.iter().find(|one| one.type_ == *kind) {
            None => messages.push(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
            Some(one) if one.status != "True" => {
                messages.push(format!("the status of pod readiness gate \"{kind}\" is not \"True\", but {}", one.status));
            }
            Some(_) => {}
        }
    }
    if messages.is_empty() { yes() } else { no("ReadinessGatesNotReady", messages.join(", ")) }
}

fn initialized(pod: &Pod, statuses: &[ContainerStatus], phase: &str) -> Said {
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    for container in pod.init_containers() {
        match find(statuses, &container.name) {
            None => unknown.push(container.name.as_str()),
            Some(status) => {
                let done = if is_sidecar(container) { status.started == Some(true) } else { status.ready };
                if !done {
                    incomplete.push(container.name.as_str());
                }
            }
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return (true, "PodCompleted".into(), String::new());
    }
    let begun = |status: &ContainerStatus| status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    let apps = &pod.pod_spec().containers;
    if apps.iter().any(|app| find(statuses, &app.name).is_some_and(begun)) {
        return yes();
    }
    match told(&unknown, &incomplete, "incomplete") {
        Some(message) => no("ContainersNotInitialized", message),
        None => yes(),
    }
}
