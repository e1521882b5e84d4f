//! Sums of resources: what the containers of a pod ask for and may use together. Pure.
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use machinery::quantity::Quantity;
use std::collections::BTreeMap;

/// By the resource's name.
pub type Amounts = BTreeMap<String, Quantity>;

/// Quantities that cannot be read are left out: validation has seen them.
pub fn amounts(list: &Option<BTreeMap<String, ApiQuantity>>) -> Amounts {
    list.iter().flatten().filter_map(|(name, quantity)| Some((name.clone(), Quantity::parse(&quantity.0).ok()?))).collect()
}

pub fn to_api(amounts: &Amounts) -> BTreeMap<String, ApiQuantity> {
    amounts.iter().map(|(name, quantity)| (name.clone(), ApiQuantity(quantity.to_string()))).collect()
}

pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, quantity) in more {
        sum.entry(name.clone()).and_modify(|own| own.add(quantity)).or_insert_with(|| quantity.clone());
    }
}

fn raise(own: &mut Amounts, other: &Amounts) {
    for (name, quantity) in other {
        if own.get(name).is_none_or(|own| quantity > own) {
            own.insert(name.clone(), quantity.clone());
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Requests,
    Limits,
}

pub fn of(resources: Option<&ResourceRequirements>, side: Side) -> Amounts {
    let list = resources.map(|resources| if side == Side::Requests { &resources.requests } else { &resources.limits });
    list.map(amounts).unwrap_or_default()
}

/// What a pod needs at once: its containers and sidecars, or more while an init container runs; pod-level amounts win.
pub fn of_pod(pod: &Pod, side: Side) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::new() };
    let one = |container: &Container| of(container.resources.as_ref(), side);
    let mut sum = Amounts::new();
    for container in &spec.containers {
        add(&mut sum, &one(container));
    }
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let own = one(container);
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut starting, &sidecars);
        } else {
            let mut together = own;
            add(&mut together, &sidecars);
            raise(&mut starting, &together);
        }
    }
    raise(&mut sum, &starting);
    for (name, quantity) in of(spec.resources.as_ref(), side) {
        if is_pod_level(&name) {
            sum.insert(name, quantity);
        }
    }
    sum
}

pub fn is_pod_level(name: &str) -> bool {
    name == "cpu" || name == "memory"
}

/// Several refusals as one text, each once.
pub fn joined(mut problems: Vec<String>) -> Option<String> {
    let mut seen = Vec::new();
    problems.retain(|problem| {
        !seen.contains(problem) && {
            seen.push(problem.clone());
            true
        }
    });
    match problems.len() {
        0 => None,
        1 => problems.pop(),
        _ => Some(format!("[{}]", problems.join(", "))),
    }
}
