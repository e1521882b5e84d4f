//! From the runtime's answers to what decisions need. Reads termination messages; decides nothing.
use crate::pod::observed::{Observed, Resources, Sandbox, Seen, State, User};
use crate::spec::container::signal_name;
use crate::spec::labels;
use cri::v1::{
    Container, ContainerFilter, ContainerState, ContainerStatus, ContainerStatusRequest, ListContainersRequest, ListPodSandboxRequest,
    NamespaceMode, PodSandboxFilter, PodSandboxState, PodSandboxStatus, PodSandboxStatusRequest,
};
use jiff::Timestamp;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// A termination message longer than this is cut.
const MAX_MESSAGE_BYTES: u64 = 4096;
/// The same for the end of a log that stands in for it.
const MAX_LOG_BYTES: u64 = 2048;
const MAX_LOG_LINES: usize = 80;

pub async fn observe(runtime: &dyn cri::Runtime, uid: &str) -> cri::Result<Observed> {
    let label_selector = HashMap::from([(labels::POD_UID.to_string(), uid.to_string())]);
    let filter = PodSandboxFilter { label_selector: label_selector.clone(), ..PodSandboxFilter::default() };
    let listed = runtime.list_pod_sandbox(ListPodSandboxRequest { filter: Some(filter) }).await?.items;
    let mut sandboxes = Vec::new();
    for item in listed {
        let request = PodSandboxStatusRequest { pod_sandbox_id: item.id, verbose: false };
        match runtime.pod_sandbox_status(request).await {
            Ok(answer) => sandboxes.extend(answer.status.map(sandbox)),
            Err(status) if status.code() == cri::Code::NotFound => {}
            Err(status) => return Err(status),
        }
    }
    sandboxes.sort_by_key(|sandbox: &Sandbox| std::cmp::Reverse((sandbox.created_at, sandbox.attempt)));
    let filter = ContainerFilter { label_selector, ..ContainerFilter::default() };
    let listed = runtime.list_containers(ListContainersRequest { filter: Some(filter) }).await?.containers;
    let mut containers = Vec::new();
    for item in listed {
        let request = ContainerStatusRequest { container_id: item.id.clone(), verbose: false };
        match runtime.container_status(request).await {
            Ok(answer) => containers.extend(answer.status.map(|status| seen(item, status))),
            Err(status) if status.code() == cri::Code::NotFound => {}
            Err(status) => return Err(status),
        }
    }
    containers.sort_by_key(|seen: &Seen| std::cmp::Reverse((seen.created_at, seen.restart_count)));
    Ok(Observed { sandboxes, containers })
}

fn time(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default()
}

fn some_time(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds > 0).then(|| time(nanoseconds))
}

fn sandbox(status: PodSandboxStatus) -> Sandbox {
    let network = status.network.unwrap_or_default();
    let more = network.additional_ips.into_iter().map(|ip| ip.ip);
    let options = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
    Sandbox {
        attempt: status.metadata.map_or(0, |metadata| metadata.attempt),
        ready: status.state == PodSandboxState::SandboxReady as i32,
        created_at: time(status.created_at),
        ips: [network.ip].into_iter().chain(more).filter(|ip| !ip.is_empty()).collect(),
        host_network: options.is_some_and(|options| options.network == NamespaceMode::Node as i32),
        runtime_handler: status.runtime_handler,
        id: status.id,
    }
}

fn seen(item: Container, status: ContainerStatus) -> Seen {
    let state = match ContainerState::try_from(status.state) {
        Ok(ContainerState::ContainerCreated) => State::Created,
        Ok(ContainerState::ContainerRunning) => State::Running,
        Ok(ContainerState::ContainerExited) => State::Exited,
        _ => State::Unknown,
    };
    let annotation = |key: &str| status.annotations.get(key).cloned().unwrap_or_default();
    let attempt = status.metadata.as_ref().map_or(0, |metadata| metadata.attempt);
    let image = status.image.clone().unwrap_or_default();
    let message = if state == State::Exited { message(&status) } else { String::new() };
    Seen {
        name: status.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default(),
        sandbox_id: item.pod_sandbox_id,
        restart_count: annotation(labels::RESTART_COUNT).parse().unwrap_or(attempt),
        created_at: time(status.created_at),
        started_at: some_time(status.started_at),
        finished_at: some_time(status.finished_at),
        exit_code: status.exit_code,
        reason: reason(state, &status),
        message,
        image: if image.user_specified_image.is_empty() { image.image } else { image.user_specified_image },
        hash: annotation(labels::HASH),
        log_path: status.log_path.clone(),
        stop_signal: signal_name(status.stop_signal),
        user: status.user.as_ref().and_then(|user| user.linux.as_ref()).map(|user| User {
            uid: user.uid,
            gid: user.gid,
            groups: user.supplemental_groups.clone(),
        }),
        resources: status.resources.as_ref().and_then(|resources| resources.linux.as_ref()).map(|linux| Resources {
            cpu_shares: linux.cpu_shares,
            cpu_quota: linux.cpu_quota,
            cpu_period: linux.cpu_period,
            memory_limit_bytes: linux.memory_limit_in_bytes,
        }),
        annotations: status.annotations.into_iter().collect(),
        image_ref: status.image_ref,
        id: status.id,
        state,
    }
}

fn reason(state: State, status: &ContainerStatus) -> String {
    match (state, status.reason.as_str(), status.exit_code) {
        (State::Exited, "", 0) => "Completed".into(),
        (State::Exited, "", _) => "Error".into(),
        (_, reason, _) => reason.into(),
    }
}

/// What the container left in its termination log, or the end of its output where it asked for that, or the runtime's words.
fn message(status: &ContainerStatus) -> String {
    let annotation = |key: &str| status.annotations.get(key).map(String::as_str).unwrap_or_default();
    let inside = annotation(labels::MESSAGE_PATH);
    let mount = status.mounts.iter().find(|mount| !inside.is_empty() && mount.container_path == inside);
    let written = mount.and_then(|mount| tail(&mount.host_path, MAX_MESSAGE_BYTES)).unwrap_or_default();
    if !written.is_empty() {
        return written;
    }
    let fall_back = annotation(labels::MESSAGE_POLICY) == "FallbackToLogsOnError" && status.exit_code != 0;
    let logged = Some(&status.log_path).filter(|_| fall_back).and_then(|path| tail(path, 4 * MAX_LOG_BYTES));
    match logged.map(|log| last_lines(&log)).filter(|text| !text.is_empty()) {
        Some(text) => text,
        None => status.message.clone(),
    }
}

fn tail(path: &str, limit: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit))).ok()?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The tag and the text of a log's entry.
fn tagged(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.splitn(4, ' ').skip(2);
    Some((fields.next()?, fields.next()?))
}

/// The text of the last lines of a log in CRI's format.
fn last_lines(log: &str) -> String {
    let entries: Vec<(&str, &str)> = log.lines().filter_map(|line| tagged(line)).collect();
    let kept = &entries[entries.len().saturating_sub(MAX_LOG_LINES)..];
    // A part (P) has no end of line of its own.
    let text: String = kept.iter().flat_map(|(tag, text)| [*text, if tag.starts_with('P') { "" } else { "\n" }]).collect();
    let mut start = text.len().saturating_sub(MAX_LOG_BYTES as usize);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_string()
}
