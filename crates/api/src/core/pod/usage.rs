//! What a pod takes: requests and limits of its containers together, with init containers, sidecars, pod-level resources and overhead.
use crate::access::{ApiResources, Entries, List, Text, amount};
use crate::core::resources::is_pod_level;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use machinery::quantity::Quantity;
use std::collections::BTreeMap;

/// Amounts by name of the resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// A container that starts before the others and stays (KEP-753).
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.text() == "Always"
}

/// What the scheduler and quotas count: the effective requests, pod-level ones and overhead included.
pub fn pod_requests(spec: &PodSpec) -> Amounts {
    let mut total = containers_requests(spec);
    let own = spec.resources.as_ref().and_then(|own| own.requests.as_ref());
    total.extend(own.into_iter().flatten().filter(|(name, _)| is_pod_level(name)).map(|(name, value)| (name.clone(), amount(value))));
    add(&mut total, spec.overhead.as_ref());
    total
}

/// The effective limits; overhead counts only where there is a limit.
pub fn pod_limits(spec: &PodSpec) -> Amounts {
    let mut total = containers_limits(spec);
    let own = spec.resources.as_ref().and_then(|own| own.limits.as_ref());
    total.extend(own.into_iter().flatten().filter(|(name, _)| is_pod_level(name)).map(|(name, value)| (name.clone(), amount(value))));
    for (name, overhead) in spec.overhead.entries() {
        if let Some(limit) = total.get_mut(name).filter(|limit| !limit.is_zero()) {
            limit.add(&amount(overhead));
        }
    }
    total
}

/// Requests of the containers, without pod-level resources and overhead.
pub fn containers_requests(spec: &PodSpec) -> Amounts {
    together(spec, |container| container.resources.as_ref()?.requests.as_ref())
}

/// Limits of the containers, without pod-level resources and overhead.
pub fn containers_limits(spec: &PodSpec) -> Amounts {
    together(spec, |container| container.resources.as_ref()?.limits.as_ref())
}

/// Containers run side by side with all sidecars; an init container runs with the sidecars started before it.
fn together<'a>(spec: &'a PodSpec, of: impl Fn(&'a Container) -> Option<&'a ApiResources>) -> Amounts {
    let mut running = Amounts::new();
    spec.containers.iter().for_each(|container| add(&mut running, of(container)));
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.list() {
        let mut now = sidecars.clone();
        add(&mut now, of(container));
        if is_sidecar(container) {
            add(&mut running, of(container));
            sidecars.clone_from(&now);
        }
        keep_larger(&mut starting, now);
    }
    keep_larger(&mut running, starting);
    running
}

fn add(total: &mut Amounts, list: Option<&ApiResources>) {
    for (name, value) in list.into_iter().flatten() {
        let value = amount(value);
        match total.get_mut(name) {
            Some(sum) => sum.add(&value),
            None => drop(total.insert(name.clone(), value)),
        }
    }
}

fn keep_larger(total: &mut Amounts, other: Amounts) {
    for (name, value) in other {
        if total.get(&name).is_none_or(|there| value > *there) {
            total.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(value: serde_json::Value) -> PodSpec {
        serde_json::from_value(value).unwrap()
    }

    fn cpu(amounts: &Amounts) -> String {
        amounts["cpu"].to_string()
    }

    #[test]
    fn init_containers_count_with_the_sidecars_before_them() {
        let container =
            |cpu: &str, policy: Option<&str>| json!({"name": "c", "restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}});
        let pod = spec(json!({
            "initContainers": [container("1", Some("Always")), container("3", None), container("1", Some("Always"))],
            "containers": [container("500m", None)], "overhead": {"cpu": "250m"}}));
        assert_eq!(cpu(&containers_requests(&pod)), "4");
        assert_eq!(cpu(&pod_requests(&pod)), "4250m");
    }

    #[test]
    fn pod_level_resources_win() {
        let pod =
            spec(json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}], "resources": {"requests": {"cpu": "2"}}}));
        assert_eq!(cpu(&pod_requests(&pod)), "2");
    }
}
