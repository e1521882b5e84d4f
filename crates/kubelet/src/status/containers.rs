//! The status of each container, from what the runtime says, what the kubelet waits for, and what was told before.
use crate::pod::observed::{Observed, Seen, State};
use crate::pod::probe::ProbeKind;
use crate::pod::record::PodRecord;
use crate::pod::restart::should_run_again;
use crate::pod::view::{PodView, Role, api_time};
use crate::spec::quantity;
use crate::spec::resources::{self, MIN_SHARES};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, ContainerUser,
    LinuxContainerUser, ResourceRequirements, VolumeMountStatus,
};

const UNKNOWN: &str = "ContainerStatusUnknown";
/// The exit code of a container that is gone without having told one.
const LOST_EXIT_CODE: i32 = 137;

/// Statuses of `containers` (all of one role list), `known` being the ones last told.
pub fn statuses(
    record: &PodRecord,
    observed: &Observed,
    containers: &[(Role, Container)],
    known: &[ContainerStatus],
    runtime: &str,
) -> Vec<ContainerStatus> {
    let one = |(role, container): &(Role, Container)| {
        let old = known.iter().find(|old| old.name == container.name);
        let mut status = base(record, observed, *role, container, old, runtime);
        wait(record, observed, *role, container, &mut status);
        if record.ended {
            lose(record, &mut status, old, *role);
        }
        judge(record, *role, container, &mut status, observed);
        status
    };
    containers.iter().map(one).collect()
}

fn base(
    record: &PodRecord,
    observed: &Observed,
    role: Role,
    container: &Container,
    old: Option<&ContainerStatus>,
    runtime: &str,
) -> ContainerStatus {
    let mut found = observed.containers.iter().filter(|seen| seen.name == container.name);
    let Some(seen) = found.next() else { return absent(record, observed, role, container, old) };
    let mut status = present(container, seen, old, runtime);
    match found.next() {
        Some(before) => status.last_state = Some(state(before, runtime)),
        None => status.last_state = old.filter(|old| old.container_id != status.container_id).and_then(last_of).or(status.last_state),
    }
    status
}

fn last_of(old: &ContainerStatus) -> Option<ContainerState> {
    let ended = old.state.as_ref().filter(|state| state.terminated.is_some());
    ended.or(old.last_state.as_ref()).cloned()
}

/// Never made, or forgotten by the runtime.
fn absent(record: &PodRecord, observed: &Observed, role: Role, container: &Container, old: Option<&ContainerStatus>) -> ContainerStatus {
    let reason = if record.pod.init_containers().is_empty() { "ContainerCreating" } else { "PodInitializing" };
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(waiting(reason, "")),
        volume_mounts: volume_mounts(container),
        ..ContainerStatus::default()
    };
    let Some(old) = old else { return finished_before(record, observed, role, status) };
    let was = old.state.as_ref();
    if was.is_some_and(|state| state.terminated.is_some()) {
        return old.clone();
    }
    status.restart_count = old.restart_count;
    status.last_state = old.last_state.clone();
    let had_end = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    if was.is_some_and(|state| state.running.is_some()) && !had_end {
        let message = "The container could not be located when the pod was deleted.  The container used to be Running";
        status.last_state = Some(lost(message));
        status.restart_count += i32::from(record.pod.metadata.deletion_timestamp.is_none());
    }
    finished_before(record, observed, role, status)
}

/// An init container that nobody remembers must have ended well if app containers have been made.
fn finished_before(record: &PodRecord, observed: &Observed, role: Role, mut status: ContainerStatus) -> ContainerStatus {
    let begun = record.pod.pod_spec().containers.iter().any(|app| observed.latest(&app.name).is_some());
    if role == Role::Init && begun {
        let message =
            "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally";
        status.state = Some(terminated(ContainerStateTerminated {
            reason: Some("Completed".into()),
            message: Some(message.into()),
            ..ContainerStateTerminated::default()
        }));
    }
    status
}

fn present(container: &Container, seen: &Seen, old: Option<&ContainerStatus>, runtime: &str) -> ContainerStatus {
    let known = old.map_or(0, |old| old.restart_count);
    let user = |user: &crate::pod::observed::User| ContainerUser {
        linux: Some(LinuxContainerUser { uid: user.uid, gid: user.gid, supplemental_groups: Some(user.groups.clone()) }),
    };
    ContainerStatus {
        name: seen.name.clone(),
        restart_count: known.max(seen.restart_count as i32),
        image: seen.image.clone(),
        image_id: seen.image_ref.clone(),
        container_id: Some(format!("{runtime}://{}", seen.id)),
        state: Some(state(seen, runtime)),
        last_state: old.and_then(|old| old.last_state.clone()),
        volume_mounts: volume_mounts(container),
        user: seen.user.as_ref().map(user),
        stop_signal: seen.stop_signal.clone(),
        allocated_resources: container.resources.as_ref().and_then(|resources| resources.requests.clone()),
        resources: Some(actual(container, seen)),
        ..ContainerStatus::default()
    }
}

/// The spec's resources, with what the runtime really set where it tells.
fn actual(container: &Container, seen: &Seen) -> ResourceRequirements {
    let mut told = container.resources.clone().unwrap_or_default();
    let (Some(set), State::Running) = (&seen.resources, seen.state) else { return told };
    let (cpu, memory) = resources::differs(container, Some(set));
    if let Some(requests) = told.requests.as_mut().filter(|list| cpu && list.contains_key("cpu") && set.cpu_shares > MIN_SHARES) {
        requests.insert("cpu".into(), quantity::cpu((set.cpu_shares * 1000 + 1023) / 1024));
    }
    if let Some(limits) = told.limits.as_mut() {
        if cpu && limits.contains_key("cpu") && set.cpu_quota > 0 && set.cpu_period > 0 {
            limits.insert("cpu".into(), quantity::cpu(set.cpu_quota * 1000 / set.cpu_period));
        }
        if memory && limits.contains_key("memory") {
            limits.insert("memory".into(), quantity::plain(set.memory_limit_bytes));
        }
    }
    told
}

fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let told = |mount: &k8s_openapi::api::core::v1::VolumeMount| VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: mount.read_only.filter(|read_only| *read_only),
        recursive_read_only: mount.read_only.unwrap_or(false).then(|| "Disabled".to_string()),
        ..VolumeMountStatus::default()
    };
    container.volume_mounts.as_ref().filter(|mounts| !mounts.is_empty()).map(|mounts| mounts.iter().map(told).collect())
}

fn state(seen: &Seen, runtime: &str) -> ContainerState {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_string());
    match seen.state {
        State::Running => {
            let running = ContainerStateRunning { started_at: seen.started_at.map(api_time) };
            ContainerState { running: Some(running), ..ContainerState::default() }
        }
        State::Exited => terminated(ContainerStateTerminated {
            exit_code: seen.exit_code,
            reason: text(&seen.reason),
            message: text(&seen.message),
            started_at: seen.started_at.map(api_time),
            finished_at: seen.finished_at.map(api_time),
            container_id: Some(format!("{runtime}://{}", seen.id)),
            signal: None,
        }),
        State::Created | State::Unknown => waiting("", ""),
    }
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_string());
    let waiting = ContainerStateWaiting { reason: text(reason), message: text(message) };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(ended: ContainerStateTerminated) -> ContainerState {
    ContainerState { terminated: Some(ended), ..ContainerState::default() }
}

fn lost(message: &str) -> ContainerState {
    terminated(ContainerStateTerminated {
        reason: Some(UNKNOWN.into()),
        message: Some(message.into()),
        exit_code: LOST_EXIT_CODE,
        ..ContainerStateTerminated::default()
    })
}

/// A container that is to run again and could not yet shows why, and its end moves to `lastState`.
fn wait(record: &PodRecord, observed: &Observed, role: Role, container: &Container, status: &mut ContainerStatus) {
    let Some(reason) = record.waiting.get(&container.name) else { return };
    let again =
        should_run_again(&record.pod, container, observed) && (role != Role::Ephemeral || observed.latest(&container.name).is_none());
    if !again {
        return;
    }
    if let Some(ended) = status.state.take().filter(|state| state.terminated.is_some()) {
        status.last_state = Some(ended);
    }
    status.state = Some(waiting(&reason.reason, &reason.message));
}

/// Nothing runs any more: what did not tell its end is lost.
fn lose(record: &PodRecord, status: &mut ContainerStatus, old: Option<&ContainerStatus>, role: Role) {
    let ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
    let ran = old.is_some_and(|old| old.container_id.is_some()) || status.container_id.is_some();
    let begun = record.status.phase.as_deref() == Some("Running");
    if !ended && (ran || (begun && role == Role::App)) {
        status.state = Some(lost("The container could not be located when the pod was terminated"));
    }
}

fn judge(record: &PodRecord, role: Role, container: &Container, status: &mut ContainerStatus, observed: &Observed) {
    let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
    let id = observed.latest(&container.name).map(|seen| seen.id.as_str()).unwrap_or_default();
    let verdict = |kind| record.probes.verdict(id, kind);
    let started = running && (container.startup_probe.is_none() || verdict(ProbeKind::Startup) == Some(true));
    match role {
        Role::Ephemeral => return,
        Role::Init => {
            let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref());
            status.ready = ended.is_some_and(|ended| ended.exit_code == 0);
        }
        Role::App | Role::Sidecar => {
            let probed = container.readiness_probe.is_none() || verdict(ProbeKind::Readiness) == Some(true);
            status.ready = started && probed;
        }
    }
    status.started = Some(started);
}
