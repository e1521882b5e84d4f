//! The columns of pods: what `kubectl get pods` tells of them.
use super::usage::is_sidecar;
use crate::access::{Flag, List, Text};
use crate::columns::{text, wide};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::kind::Column;
use machinery::table::{age, age_column, name_column, or_none};

pub const COLUMNS: &[Column<Pod>] = &[
    name_column(),
    text("Ready", |pod, _| {
        let told = Summary::of(pod);
        format!("{}/{}", told.ready, told.total).into()
    }),
    text("Status", |pod, _| Summary::of(pod).reason.into()),
    text("Restarts", |pod, now| {
        let told = Summary::of(pod);
        match told.last_restart.filter(|_| told.restarts != 0) {
            Some(last) => format!("{} ({} ago)", told.restarts, age(Some(&last), now)).into(),
            None => told.restarts.to_string().into(),
        }
    }),
    age_column(),
    wide("IP", |pod, _| or_none(first_ip(pod)).into()),
    wide("Node", |pod, _| or_none(pod.spec.as_ref().map_or("", |spec| spec.node_name.text())).into()),
    wide("Nominated Node", |pod, _| or_none(pod.status.as_ref().map_or("", |status| status.nominated_node_name.text())).into()),
    wide("Readiness Gates", |pod, _| readiness_gates(pod).into()),
];

fn first_ip(pod: &Pod) -> &str {
    let first = pod.status.as_ref().and_then(|status| status.pod_ips.list().first());
    first.map_or("", |first| &first.ip)
}

fn readiness_gates(pod: &Pod) -> String {
    let gates = pod.spec.as_ref().map_or(&[][..], |spec| spec.readiness_gates.list());
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = gates.iter().filter(|gate| is_true(pod.status.as_ref(), &gate.condition_type)).count();
    format!("{open}/{}", gates.len())
}

/// The pod in one line.
struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i32,
    last_restart: Option<Time>,
}

impl Summary {
    fn of(pod: &Pod) -> Summary {
        let (no_spec, no_status) = (PodSpec::default(), PodStatus::default());
        let spec = pod.spec.as_ref().unwrap_or(&no_spec);
        let status = pod.status.as_ref().unwrap_or(&no_status);
        let mut told = Summary { ready: 0, total: 0, reason: first_reason(status), restarts: 0, last_restart: None };
        told.total = spec.containers.len() + spec.init_containers.list().iter().filter(|container| is_sidecar(container)).count();
        let (sidecar_restarts, sidecar_last, initializing) = told.init_containers(spec, status);
        if !initializing || is_true(Some(status), "Initialized") {
            (told.restarts, told.last_restart) = (sidecar_restarts, sidecar_last);
            told.containers(status);
        }
        if pod.metadata.deletion_timestamp.is_some() {
            if status.reason.text() == "NodeLost" {
                told.reason = "Unknown".into();
            } else if !["Succeeded", "Failed"].contains(&status.phase.text()) {
                told.reason = "Terminating".into();
            }
        }
        told
    }

    /// Goes through init containers up to the first that has not done its part; gives the sidecars' restarts.
    fn init_containers(&mut self, spec: &PodSpec, status: &PodStatus) -> (i32, Option<Time>, bool) {
        let (mut restarts, mut last) = (0, None);
        let declared = spec.init_containers.list();
        for (index, container) in status.init_container_statuses.list().iter().enumerate() {
            let sidecar = declared.iter().any(|known| known.name == container.name && is_sidecar(known));
            self.restarts += container.restart_count;
            later(&mut self.last_restart, container);
            if sidecar {
                restarts += container.restart_count;
                later(&mut last, container);
            }
            let terminated = state(container).and_then(|state| state.terminated.as_ref());
            let waiting = state(container).and_then(|state| state.waiting.as_ref()).map_or("", |waiting| waiting.reason.text());
            match terminated {
                Some(end) if end.exit_code == 0 => continue,
                _ if sidecar && container.started.on() => {
                    self.ready += usize::from(container.ready);
                    continue;
                }
                Some(end) => self.reason = format!("Init:{}", end_reason(end)),
                None if !["", "PodInitializing"].contains(&waiting) => self.reason = format!("Init:{waiting}"),
                None => self.reason = format!("Init:{index}/{}", declared.len()),
            }
            return (restarts, last, true);
        }
        (restarts, last, false)
    }

    fn containers(&mut self, status: &PodStatus) {
        let (mut running, mut failure) = (false, None);
        for container in status.container_statuses.list().iter().rev() {
            self.restarts += container.restart_count;
            later(&mut self.last_restart, container);
            let Some(state) = state(container) else { continue };
            let waiting = state.waiting.as_ref().map_or("", |waiting| waiting.reason.text());
            if !waiting.is_empty() {
                self.reason = waiting.into();
            } else if let Some(end) = &state.terminated {
                self.reason = end_reason(end);
                if end.exit_code != 0 {
                    failure = Some(self.reason.clone());
                }
            } else if container.ready && state.running.is_some() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            if running && is_true(Some(status), "Ready") {
                self.reason = "Running".into();
            } else if let Some(failure) = failure {
                self.reason = failure;
            } else if running {
                self.reason = "NotReady".into();
            }
        }
    }
}

fn first_reason(status: &PodStatus) -> String {
    let gated = |condition: &k8s_openapi::api::core::v1::PodCondition| {
        condition.type_ == "PodScheduled" && condition.reason.text() == "SchedulingGated"
    };
    if status.conditions.list().iter().any(gated) {
        return "SchedulingGated".into();
    }
    let reason = status.reason.text();
    if reason.is_empty() { status.phase.text().into() } else { reason.into() }
}

fn state(container: &ContainerStatus) -> Option<&ContainerState> {
    container.state.as_ref()
}

fn end_reason(end: &ContainerStateTerminated) -> String {
    match (end.reason.text(), end.signal.unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", end.exit_code),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}

fn later(last: &mut Option<Time>, container: &ContainerStatus) {
    let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref()).and_then(|end| end.finished_at.as_ref());
    if let Some(ended) = ended
        && last.as_ref().is_none_or(|last| last.0 < ended.0)
    {
        *last = Some(ended.clone());
    }
}

fn is_true(status: Option<&PodStatus>, condition: &str) -> bool {
    let conditions = status.map_or(&[][..], |status| status.conditions.list());
    conditions.iter().find(|known| known.type_ == condition).is_some_and(|known| known.status == "True")
}
