//! The quality-of-service class of a pod: who is evicted first when a node runs short.
use crate::access::{ApiResources, List, amount};
use crate::core::resources::is_pod_level;
use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};
use machinery::quantity::Quantity;

pub const GUARANTEED: &str = "Guaranteed";
pub const BURSTABLE: &str = "Burstable";
pub const BEST_EFFORT: &str = "BestEffort";

pub fn class(spec: &PodSpec) -> &'static str {
    if let Some(own) = spec.resources.as_ref().filter(|own| has_pod_level(own)) {
        return of_requirements(own);
    }
    let containers = spec.init_containers.list().iter().chain(&spec.containers);
    one_of(containers.map(|container| container.resources.as_ref().map_or(BEST_EFFORT, of_requirements)))
}

fn has_pod_level(own: &ResourceRequirements) -> bool {
    [&own.requests, &own.limits].into_iter().flatten().flat_map(ApiResources::keys).any(|name| is_pod_level(name))
}

fn of_requirements(resources: &ResourceRequirements) -> &'static str {
    let value = |list: &Option<ApiResources>, name| list.as_ref().and_then(|list| list.get(name)).map_or(Quantity::ZERO, amount);
    one_of(["cpu", "memory"].into_iter().map(|name| {
        let (request, limit) = (value(&resources.requests, name), value(&resources.limits, name));
        match request == limit {
            false => BURSTABLE,
            true if request.is_zero() => BEST_EFFORT,
            true => GUARANTEED,
        }
    }))
}

/// All of one class, or burstable.
fn one_of(mut classes: impl Iterator<Item = &'static str>) -> &'static str {
    let first = classes.next().unwrap_or(BEST_EFFORT);
    if classes.all(|class| class == first) { first } else { BURSTABLE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes() {
        let full = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}});
        for (resources, expected) in [
            (json!([{}]), BEST_EFFORT),
            (json!([full]), GUARANTEED),
            (json!([full, {}]), BURSTABLE),
            (json!([{"limits": {"cpu": "1"}}]), BURSTABLE),
            (json!([{"requests": {"example.com/a": "1"}, "limits": {"example.com/a": "1"}}]), BEST_EFFORT),
        ] {
            let containers: Vec<_> = resources.as_array().unwrap().iter().map(|list| json!({"name": "c", "resources": list})).collect();
            assert_eq!(class(&serde_json::from_value(json!({"containers": containers})).unwrap()), expected);
        }
    }
}
