//! A pod that should run: prepare it, give it a sandbox, start what is due, restart what fell, end it when all is done.
use super::{end, init};
use crate::pod::delay::{Delay, go_seconds};
use crate::pod::effect::{Effect, Kill, Start, Waiting};
use crate::pod::observed::{Observed, Sandbox, Seen, State};
use crate::pod::probe::ProbeKind;
use crate::pod::record::{PodRecord, Why};
use crate::pod::restart::{restarts_after_kill, should_run_again};
use crate::pod::view::{PodView, Role, as_container};
use crate::spec::{labels, resources};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeSet;

/// What one pass over the containers found.
#[derive(Default)]
pub(super) struct Plan {
    pub kill: Vec<Kill>,
    pub start: Vec<(Role, String)>,
    pub resize: Vec<(String, String)>,
    /// A container that will not come back makes the pod fail.
    pub end: bool,
}

pub(super) fn run(record: &mut PodRecord, observed: &Observed, now: Timestamp) -> Vec<Effect> {
    if !record.prepared {
        return when(record.prepare_at, record, now, |_| vec![Effect::Prepare]);
    }
    let pod = record.pod.clone();
    let sandbox = match need(&pod, observed) {
        Need::Sandbox(sandbox) => sandbox,
        Need::New { attempt, old } => return renew(record, observed, now, attempt, old),
    };
    match record.resize_at {
        Some(at) if at > now => record.wake(at),
        _ => record.resize_at = None,
    }
    let plan = survey(record, &pod, observed);
    if plan.end {
        record.stop(Why::Completed, "", "", pod.grace_seconds(), now);
        return end::end(record, observed, now);
    }
    let mut effects = when(record.remove_at, record, now, |_| garbage(observed).into_iter().collect());
    if !plan.kill.is_empty() {
        effects.extend(when(record.kill_at, record, now, |_| vec![Effect::Kill(plan.kill)]));
        return effects;
    }
    effects.extend(plan.resize.into_iter().map(|(id, name)| Effect::Resize { id, name }));
    for (role, name) in plan.start {
        start(record, observed, &pod, sandbox, role, name, now, &mut effects);
    }
    effects
}

/// Does `act` now, or wakes at `at`.
fn when(at: Option<Timestamp>, record: &mut PodRecord, now: Timestamp, act: impl FnOnce(&mut PodRecord) -> Vec<Effect>) -> Vec<Effect> {
    match at.filter(|at| *at > now) {
        Some(at) => {
            record.wake(at);
            Vec::new()
        }
        None => act(record),
    }
}

pub(crate) enum Need<'a> {
    Sandbox(&'a Sandbox),
    New { attempt: u32, old: Option<&'a str> },
}

/// Does the pod have the sandbox it needs?
pub(crate) fn need<'a>(pod: &Pod, observed: &'a Observed) -> Need<'a> {
    match not_ready(pod, observed) {
        None => Need::Sandbox(&observed.sandboxes[0]),
        Some(_) => match observed.sandboxes.first() {
            None => Need::New { attempt: 0, old: None },
            Some(old) => Need::New { attempt: old.attempt + 1, old: Some(&old.id) },
        },
    }
}

/// Why the sandbox will not do, in the words of the condition `PodReadyToStartContainers`.
pub(crate) fn not_ready(pod: &Pod, observed: &Observed) -> Option<&'static str> {
    let Some(sandbox) = observed.sandboxes.first() else { return Some("no pod sandbox exists") };
    if observed.sandboxes.iter().filter(|sandbox| sandbox.ready).count() > 1 {
        return Some("multiple pod sandboxes are ready and need to be reconciled");
    }
    if !sandbox.ready {
        return Some("pod sandbox is not ready");
    }
    if sandbox.host_network != pod.is_host_network() {
        return Some("network namespace mode changed and sandbox needs to be recreated");
    }
    (!sandbox.host_network && sandbox.ips.is_empty()).then_some("pod sandbox has no IP address")
}

/// A new sandbox, after everything in the old one has stopped; or the end, if nothing would run in it.
fn renew(record: &mut PodRecord, observed: &Observed, now: Timestamp, attempt: u32, old: Option<&str>) -> Vec<Effect> {
    let pod = record.pod.clone();
    let never = pod.restart_policy() == "Never" && attempt != 0 && !observed.containers.is_empty();
    let any_app = pod.pod_spec().containers.iter().any(|app| observed.latest(&app.name).is_some());
    let done = pod.pod_spec().containers.iter().all(|app| succeeded_for_good(&pod, app, observed));
    if never || (done && any_app) {
        record.stop(Why::Completed, "", "", pod.grace_seconds(), now);
        return end::end(record, observed, now);
    }
    let left: Vec<String> = observed.sandboxes.iter().filter(|sandbox| sandbox.ready).map(|sandbox| sandbox.id.clone()).collect();
    let kills = end::kills(&pod, observed, pod.grace_seconds());
    if !left.is_empty() || !kills.is_empty() {
        let grace_seconds = pod.grace_seconds();
        return when(record.kill_at, record, now, |_| vec![Effect::KillPod { grace_seconds, kills, sandboxes: left }]);
    }
    let changed = old.map(|_| Effect::Event {
        warning: false,
        reason: "SandboxChanged",
        message: "Pod sandbox changed, it will be killed and re-created.".into(),
        container: None,
    });
    when(record.sandbox_at, record, now, |_| changed.into_iter().chain([Effect::CreateSandbox { attempt }]).collect())
}

fn succeeded_for_good(pod: &Pod, app: &Container, observed: &Observed) -> bool {
    let once = app.restart_policy.as_deref().unwrap_or(pod.restart_policy()) == "OnFailure";
    once && observed.latest(&app.name).is_some_and(|seen| seen.state == State::Exited && seen.exit_code == 0)
}

fn survey(record: &mut PodRecord, pod: &Pod, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    for container in pod.ephemeral().iter().map(as_container) {
        if observed.latest(&container.name).is_none() {
            plan.start.push((Role::Ephemeral, container.name));
        }
    }
    let initialized = init::survey(record, pod, observed, &mut plan);
    if plan.end || !initialized {
        return plan;
    }
    let mut kept = 0;
    let before = plan.start.len();
    for container in &pod.pod_spec().containers {
        match observed.latest(&container.name).filter(|seen| seen.state == State::Running) {
            None if record.restart_anyway.contains(&container.name) => plan.start.push((Role::App, container.name.clone())),
            None if should_run_again(pod, container, observed) => plan.start.push((Role::App, container.name.clone())),
            None => {}
            Some(seen) => match unfit(record, container, seen) {
                None => {
                    kept += 1;
                    plan.resize.extend(resized(record, container, seen));
                }
                Some((message, grace_seconds, anyway)) => {
                    let again = anyway || restarts_after_kill(pod, container);
                    let message = if again { format!("{message}, will be restarted") } else { message };
                    if anyway {
                        record.restart_anyway.insert(container.name.clone());
                    }
                    kept += 1;
                    plan.kill.push(kill(pod, seen, message, grace_seconds));
                }
            },
        }
    }
    plan.end = kept == 0 && plan.start.len() == before;
    plan
}

/// Why a running container has to be killed: message, its own grace, and whether it is restarted against the policy.
pub(super) fn unfit(record: &PodRecord, container: &Container, seen: &Seen) -> Option<(String, Option<i64>, bool)> {
    let grace = |kind: ProbeKind| kind.of(container).and_then(|probe| probe.termination_grace_period_seconds);
    let name = &container.name;
    if !seen.hash.is_empty() && seen.hash != labels::hash(container) {
        return Some((format!("Container {name} definition changed"), None, true));
    }
    let failed = |kind| record.probes.verdict(&seen.id, kind) == Some(false);
    if failed(ProbeKind::Liveness) {
        return Some((format!("Container {name} failed liveness probe"), grace(ProbeKind::Liveness), false));
    }
    if failed(ProbeKind::Startup) {
        return Some((format!("Container {name} failed startup probe"), grace(ProbeKind::Startup), false));
    }
    let restart = |resource: &str| {
        container
            .resize_policy
            .iter()
            .flatten()
            .any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
    };
    let (cpu, memory) = record.resized(container, &seen.id);
    if (cpu && restart("cpu")) || (memory && restart("memory")) {
        return Some((format!("Container {name} resize requires restart"), None, true));
    }
    None
}

fn resized(record: &mut PodRecord, container: &Container, seen: &Seen) -> Option<(String, String)> {
    let (cpu, memory) = record.resized(container, &seen.id);
    if record.resize_at.is_some() || !(cpu || memory) {
        return None;
    }
    record.applied.insert(seen.id.clone(), resources::of_container(container));
    Some((seen.id.clone(), container.name.clone()))
}

pub(super) fn kill(pod: &Pod, seen: &Seen, message: String, grace_seconds: Option<i64>) -> Kill {
    let grace_seconds = pod.metadata.deletion_grace_period_seconds.or(grace_seconds).unwrap_or_else(|| pod.grace_seconds());
    Kill { id: seen.id.clone(), name: seen.name.clone(), message, grace_seconds }
}

/// Starts a container, unless it must wait; then says why once.
#[expect(clippy::too_many_arguments, reason = "one call site, all of it is the question")]
fn start(
    record: &mut PodRecord,
    observed: &Observed,
    pod: &Pod,
    sandbox: &Sandbox,
    role: Role,
    name: String,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    if let Some(at) = record.retry_at.get(&name).copied().filter(|at| *at > now) {
        return record.wake(at);
    }
    let dead = observed.containers.iter().find(|seen| seen.name == name && seen.state == State::Exited);
    if let Some(dead) = dead {
        let ended_at = dead.finished_at.unwrap_or(dead.created_at);
        let delay = record.crash.get(&name);
        if let Some(until) = Delay::until(delay, ended_at, now) {
            effects.extend(hold(record, pod, &name));
            return record.wake(until);
        }
        let next = Delay::next(delay, ended_at, now);
        record.crash.insert(name.clone(), next);
    }
    let image = pod.container(&name).and_then(|(_, container)| container.image).unwrap_or_default();
    let pull = record.pulls.get(&image);
    let after = pull.and_then(|(delay, error)| Delay::until(Some(delay), delay.updated_at, now).map(|at| (at, error.clone())));
    effects.push(Effect::Start(Start {
        role,
        restart_count: observed.latest(&name).map(|seen| seen.restart_count + 1),
        sandbox_id: sandbox.id.clone(),
        sandbox_attempt: sandbox.attempt,
        pull_after: after,
        name,
    }));
}

fn hold(record: &mut PodRecord, pod: &Pod, name: &str) -> Option<Effect> {
    let seconds = record.crash.get(name).map_or(0, |delay| delay.seconds);
    let message = format!("back-off {} restarting failed container={name} pod={}", go_seconds(seconds), pod.shown());
    let waiting = Waiting::new("CrashLoopBackOff", message);
    if record.waiting.get(name) == Some(&waiting) {
        return None;
    }
    record.waiting.insert(name.into(), waiting);
    Some(Effect::Event {
        warning: true,
        reason: "BackOff",
        message: format!("Back-off restarting failed container {name} in pod {}", pod.shown()),
        container: Some(name.into()),
    })
}

/// Dead containers but the newest of each name, and sandboxes that hold nothing.
fn garbage(observed: &Observed) -> Option<Effect> {
    let (mut kept, mut containers) = (BTreeSet::new(), Vec::new());
    for seen in observed.containers.iter().filter(|seen| seen.state == State::Exited) {
        if !kept.insert(&seen.name) {
            containers.push(seen.id.clone());
        }
    }
    let holds = |id: &str| observed.containers.iter().any(|seen| seen.sandbox_id == id && !containers.contains(&seen.id));
    let empty = observed.sandboxes.iter().skip(1).filter(|sandbox| !sandbox.ready && !holds(&sandbox.id));
    let sandboxes: Vec<String> = empty.map(|sandbox| sandbox.id.clone()).collect();
    (!containers.is_empty() || !sandboxes.is_empty()).then_some(Effect::Remove { containers, sandboxes })
}
