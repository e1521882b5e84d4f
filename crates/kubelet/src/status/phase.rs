//! The phase of a pod, from the states of its containers.
use crate::pod::restart::restartable;
use crate::pod::view::{PodView, is_sidecar};
use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, ContainerStatus, Pod};

enum Is<'a> {
    Running,
    Ended(&'a ContainerStateTerminated),
    /// Waiting to run again.
    Fallen(&'a ContainerStateTerminated),
    Waiting,
    Unknown,
}

fn is(status: Option<&ContainerStatus>) -> Is<'_> {
    let Some(status) = status else { return Is::Unknown };
    let state = status.state.as_ref();
    if state.is_some_and(|state| state.running.is_some()) {
        return Is::Running;
    }
    if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
        return Is::Ended(ended);
    }
    if state.is_some_and(|state| state.waiting.is_some()) {
        return match status.last_state.as_ref().and_then(|last| last.terminated.as_ref()) {
            Some(last) => Is::Fallen(last),
            None => Is::Waiting,
        };
    }
    Is::Unknown
}

/// `ended`: nothing of the pod runs and nothing will. `initialized`: an app container has been made in the present sandbox.
pub fn phase(pod: &Pod, statuses: &[ContainerStatus], ended: bool, initialized: bool) -> &'static str {
    let find = |container: &Container| statuses.iter().find(|status| status.name == container.name);
    let mut pending_init = false;
    for container in pod.init_containers().iter().filter(|container| !is_sidecar(container)) {
        match is(find(container)) {
            Is::Ended(last) | Is::Fallen(last) => {
                if last.exit_code != 0 && !restartable(pod, container, last.exit_code) {
                    return "Failed";
                }
            }
            Is::Running | Is::Waiting | Is::Unknown => pending_init = true,
        }
    }
    let (mut unknown, mut running, mut waiting, mut stopped, mut for_good, mut succeeded) = (0, 0, 0, 0, 0, 0);
    let mut pending_sidecar = false;
    for container in pod.init_containers().iter().filter(|container| is_sidecar(container)) {
        match is(find(container)) {
            Is::Running => {
                pending_sidecar |= find(container).is_none_or(|status| status.started != Some(true));
                running += 1;
            }
            Is::Ended(_) | Is::Fallen(_) => {}
            Is::Waiting => {
                pending_sidecar = true;
                waiting += 1;
            }
            Is::Unknown => unknown += 1,
        }
    }
    for container in &pod.pod_spec().containers {
        match is(find(container)) {
            Is::Running => running += 1,
            Is::Ended(last) => {
                stopped += 1;
                for_good += usize::from(!restartable(pod, container, last.exit_code));
                succeeded += usize::from(last.exit_code == 0);
            }
            Is::Fallen(last) => {
                stopped += 1;
                for_good += usize::from(!restartable(pod, container, last.exit_code));
            }
            Is::Waiting => waiting += 1,
            Is::Unknown => unknown += 1,
        }
    }
    if pending_init || (pending_sidecar && !initialized) || waiting > 0 {
        return "Pending";
    }
    if running > 0 && unknown == 0 {
        return "Running";
    }
    if running == 0 && stopped > 0 && unknown == 0 {
        return match () {
            () if ended && !pod.is_static() => all_succeeded(stopped, succeeded),
            () if stopped != for_good => "Running",
            () => all_succeeded(stopped, succeeded),
        };
    }
    "Pending"
}

fn all_succeeded(stopped: usize, succeeded: usize) -> &'static str {
    if stopped == succeeded { "Succeeded" } else { "Failed" }
}
