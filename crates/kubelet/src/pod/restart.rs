//! Whether a container that is not running should run again: the pod's policy, the container's own, and its rules.
use crate::pod::observed::{Observed, State};
use crate::pod::view::PodView;
use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, Pod};

/// Is the container of this name to be (re)started, as far as policy goes?
pub fn should_run_again(pod: &Pod, container: &Container, observed: &Observed) -> bool {
    if pod.metadata.deletion_timestamp.is_some() {
        return false;
    }
    match observed.latest(&container.name) {
        None => true,
        Some(seen) => match seen.state {
            State::Running => false,
            State::Unknown | State::Created => true,
            State::Exited => restartable(pod, container, seen.exit_code),
        },
    }
}

/// Does a container that ended with `exit_code` come back?
pub fn restartable(pod: &Pod, container: &Container, exit_code: i32) -> bool {
    if container.restart_policy_rules.iter().flatten().any(|rule| matches(rule, exit_code)) {
        return true;
    }
    match container.restart_policy.as_deref().unwrap_or(pod.restart_policy()) {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    }
}

/// Does the container come back after being killed while it ran? Rules do not count: there is no exit code.
pub fn restarts_after_kill(pod: &Pod, container: &Container) -> bool {
    container.restart_policy.as_deref().unwrap_or(pod.restart_policy()) != "Never"
}

fn matches(rule: &ContainerRestartRule, exit_code: i32) -> bool {
    let Some(codes) = &rule.exit_codes else { return false };
    let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
    match codes.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}
