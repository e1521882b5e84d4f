//! Init containers, one after the other; sidecars among them stay, and let the next one begin once they have started.
use super::live::{Plan, kill, unfit};
use crate::pod::observed::{Observed, Seen, State};
use crate::pod::probe::ProbeKind;
use crate::pod::record::PodRecord;
use crate::pod::restart::{restartable, restarts_after_kill};
use crate::pod::view::{PodView, Role, is_sidecar};
use k8s_openapi::api::core::v1::{Container, Pod};

/// Adds what the init containers need to the plan; says whether the app containers may run.
/// It goes from the last to the first: completed init containers may have been removed, the last one tells for all before it.
pub(super) fn survey(record: &PodRecord, pod: &Pod, observed: &Observed, plan: &mut Plan) -> bool {
    let init = pod.init_containers();
    if init.is_empty() {
        return true;
    }
    let mut initialized = pod.pod_spec().containers.iter().any(|app| observed.active(&app.name).is_some());
    let mut passed = initialized;
    let mut starts: Vec<usize> = Vec::new();
    for (index, container) in init.iter().enumerate().rev() {
        let sidecar = is_sidecar(container);
        let Some(seen) = observed.active(&container.name) else {
            if passed && sidecar {
                starts.push(index);
            }
            continue;
        };
        if passed && !sidecar {
            continue;
        }
        let done = if sidecar { keep_sidecar(record, pod, container, seen, plan) } else { run_once(pod, container, seen, plan) };
        match done {
            Verdict::Wait => {}
            Verdict::Start => starts.push(index),
            Verdict::Fail => {
                plan.end = true;
                return false;
            }
            Verdict::Next { again } => {
                if index + 1 == init.len() {
                    initialized = true;
                } else if !passed {
                    starts.push(index + 1);
                }
                if again {
                    starts.push(index);
                }
            }
        }
        passed = true;
    }
    if !passed {
        starts.push(0);
    }
    starts.sort_unstable();
    starts.dedup();
    let role = |index: &usize| if is_sidecar(&init[*index]) { Role::Sidecar } else { Role::Init };
    plan.start.extend(starts.iter().map(|index| (role(index), init[*index].name.clone())));
    initialized
}

enum Verdict {
    Wait,
    Start,
    Fail,
    /// The one after it may begin; `again`: itself must be started again.
    Next {
        again: bool,
    },
}

fn run_once(pod: &Pod, container: &Container, seen: &Seen, plan: &mut Plan) -> Verdict {
    match seen.state {
        State::Running => Verdict::Wait,
        State::Created => Verdict::Start,
        State::Exited if seen.exit_code == 0 => Verdict::Next { again: false },
        State::Exited if restartable(pod, container, seen.exit_code) => Verdict::Start,
        State::Unknown if restarts_after_kill(pod, container) => {
            plan.kill.push(unknown(pod, seen));
            Verdict::Wait
        }
        State::Exited | State::Unknown => Verdict::Fail,
    }
}

fn keep_sidecar(record: &PodRecord, pod: &Pod, container: &Container, seen: &Seen, plan: &mut Plan) -> Verdict {
    match seen.state {
        State::Created | State::Exited => return Verdict::Start,
        State::Unknown => {
            plan.kill.push(unknown(pod, seen));
            return Verdict::Wait;
        }
        State::Running => {}
    }
    if container.startup_probe.is_some() {
        match record.probes.verdict(&seen.id, ProbeKind::Startup) {
            None => return Verdict::Wait,
            Some(true) => {}
            Some(false) => {
                let message = format!("Init container {} failed startup probe", container.name);
                let grace = container.startup_probe.as_ref().and_then(|probe| probe.termination_grace_period_seconds);
                plan.kill.push(kill(pod, seen, message, grace));
                return Verdict::Wait;
            }
        }
    }
    if let Some((message, grace_seconds, _)) = unfit(record, container, seen) {
        let message = message.replacen("Container", "Init container", 1);
        plan.kill.push(kill(pod, seen, message, grace_seconds));
    }
    Verdict::Next { again: false }
}

fn unknown(pod: &Pod, seen: &Seen) -> crate::pod::effect::Kill {
    kill(pod, seen, "Init container is in \"unknown\" state, try killing it before restart".into(), None)
}
