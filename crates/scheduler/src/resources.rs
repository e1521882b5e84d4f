//! Amounts of resources as numbers: CPU in thousandths, memory and storage in bytes, everything else counted.
use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Api;
use machinery::quantity::Quantity;
use std::collections::BTreeMap;

/// What a container without requests counts for in scores (not in filters), as the original has it.
const USUAL_CPU_MILLI: i64 = 100;
const USUAL_MEMORY_BYTES: i64 = 200 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub storage_bytes: i64,
    pub pods: i64,
    /// Extended resources, huge pages, attachable volumes.
    pub other: BTreeMap<String, i64>,
}

impl Resources {
    pub fn of(list: Option<&BTreeMap<String, Api>>) -> Resources {
        let mut resources = Resources::default();
        for (name, amount) in list.into_iter().flatten() {
            let Ok(amount) = Quantity::try_from(amount) else { continue };
            match name.as_str() {
                "cpu" => resources.cpu_milli = amount.milli(),
                "memory" => resources.memory_bytes = amount.value(),
                "ephemeral-storage" => resources.storage_bytes = amount.value(),
                "pods" => resources.pods = amount.value(),
                _ => drop(resources.other.insert(name.clone(), amount.value())),
            }
        }
        resources
    }

    pub fn add(&mut self, more: &Resources) {
        self.combine(more, |own, more| own + more);
    }

    pub fn subtract(&mut self, less: &Resources) {
        self.combine(less, |own, less| own - less);
    }

    /// The larger of both, resource by resource.
    pub fn at_least(&mut self, other: &Resources) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Resources, with: impl Fn(i64, i64) -> i64) {
        self.cpu_milli = with(self.cpu_milli, other.cpu_milli);
        self.memory_bytes = with(self.memory_bytes, other.memory_bytes);
        self.storage_bytes = with(self.storage_bytes, other.storage_bytes);
        self.pods = with(self.pods, other.pods);
        for (name, amount) in &other.other {
            let own = self.other.entry(name.clone()).or_default();
            *own = with(*own, *amount);
        }
    }
}

/// What a pod takes from a node: containers and sidecars together, or its largest init container if that is more
/// (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers), and overhead.
pub fn requests(spec: &PodSpec) -> Resources {
    total(spec, |container| container_requests(container.resources.as_ref()))
}

/// The same with usual amounts for containers that ask for nothing: CPU and memory.
pub fn scored_requests(spec: &PodSpec) -> (i64, i64) {
    let all = total(spec, |container| {
        let mut requests = container_requests(container.resources.as_ref());
        if requests.cpu_milli == 0 {
            requests.cpu_milli = USUAL_CPU_MILLI;
        }
        if requests.memory_bytes == 0 {
            requests.memory_bytes = USUAL_MEMORY_BYTES;
        }
        requests
    });
    (all.cpu_milli, all.memory_bytes)
}

fn container_requests(resources: Option<&ResourceRequirements>) -> Resources {
    Resources::of(resources.and_then(|resources| resources.requests.as_ref()))
}

fn total(spec: &PodSpec, of: impl Fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    spec.containers.iter().for_each(|container| running.add(&of(container)));
    let (mut sidecars, mut starting) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&own);
            sidecars.add(&own);
            starting.at_least(&sidecars);
        } else {
            let mut then = sidecars.clone();
            then.add(&own);
            starting.at_least(&then);
        }
    }
    running.at_least(&starting);
    if let Some(pod_level) = &spec.resources {
        let asked = Resources::of(pod_level.requests.as_ref());
        for (amount, own) in [(asked.cpu_milli, &mut running.cpu_milli), (asked.memory_bytes, &mut running.memory_bytes)] {
            if amount > 0 {
                *own = amount;
            }
        }
    }
    running.add(&Resources::of(spec.overhead.as_ref()));
    running.pods = 1;
    running
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn init_containers_count_when_they_are_larger() {
        let container = |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = container("100m");
        sidecar["restartPolicy"] = "Always".into();
        let spec = |init: Vec<serde_json::Value>| {
            from_value(json!({"containers": [container("1"), container("500m")], "initContainers": init})).unwrap()
        };
        assert_eq!(requests(&spec(vec![])).cpu_milli, 1500);
        assert_eq!(requests(&spec(vec![container("2")])).cpu_milli, 2000);
        assert_eq!(requests(&spec(vec![sidecar.clone(), container("1450m")])).cpu_milli, 1600);
        assert_eq!(requests(&spec(vec![container("1550m"), sidecar])).cpu_milli, 1600);
    }
}
