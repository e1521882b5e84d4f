//! What objects use of a quota: pods their requests and limits, services their ports, claims their storage.
use crate::objects::{annotation, pods, seconds};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, Pod, PodSpec, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::quantity::{Format, Quantity};
use std::collections::BTreeMap;

pub type Amounts = BTreeMap<String, Quantity>;

pub fn one() -> Quantity {
    number(1)
}

pub fn number(value: i64) -> Quantity {
    Quantity::new(value, Format::DecimalSi)
}

pub fn read(list: Option<&BTreeMap<String, Text>>) -> Amounts {
    let parse = |(key, text): (&String, &Text)| Some((key.clone(), Quantity::try_from(text).ok()?));
    list.into_iter().flatten().filter_map(parse).collect()
}

pub fn write(amounts: &Amounts) -> BTreeMap<String, Text> {
    amounts.iter().map(|(key, amount)| (key.clone(), Text::from(amount))).collect()
}

pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (key, amount) in more {
        match sum.get_mut(key) {
            Some(old) => old.add(amount),
            None => drop(sum.insert(key.clone(), amount.clone())),
        }
    }
}

fn raise(sum: &mut Amounts, other: &Amounts) {
    for (key, amount) in other {
        if sum.get(key).is_none_or(|old| old < amount) {
            sum.insert(key.clone(), amount.clone());
        }
    }
}

/// A pod that has ended, or should have by now, uses nothing but its place in storage.
pub fn of_pod(pod: &Pod, now: Timestamp) -> Amounts {
    let mut used = Amounts::from([("count/pods".to_string(), one())]);
    let overdue = match (&pod.metadata.deletion_timestamp, pod.metadata.deletion_grace_period_seconds) {
        (Some(at), Some(grace)) => now > at.0 + seconds(grace),
        _ => false,
    };
    let Some(spec) = pod.spec.as_ref().filter(|_| !pods::is_finished(pod) && !overdue) else { return used };
    used.insert("pods".into(), one());
    for (resource, amount) in total(spec, |container| container.resources.as_ref().and_then(|own| own.requests.as_ref())) {
        if !resource.contains('/') || resource.starts_with("hugepages-") {
            used.insert(resource.clone(), amount.clone());
        }
        used.insert(format!("requests.{resource}"), amount);
    }
    for (resource, amount) in total(spec, |container| container.resources.as_ref().and_then(|own| own.limits.as_ref())) {
        used.insert(format!("limits.{resource}"), amount);
    }
    used
}

/// The sum over containers and sidecars, or the largest init container with the sidecars before it; and the overhead.
fn total(spec: &PodSpec, of: fn(&Container) -> Option<&BTreeMap<String, Text>>) -> Amounts {
    let mut sum = Amounts::new();
    spec.containers.iter().for_each(|container| add(&mut sum, &read(of(container))));
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let own = read(of(container));
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut sidecars, &own);
            raise(&mut peak, &sidecars);
        } else {
            let mut now = sidecars.clone();
            add(&mut now, &own);
            raise(&mut peak, &now);
        }
    }
    add(&mut sum, &sidecars);
    raise(&mut sum, &peak);
    add(&mut sum, &read(spec.overhead.as_ref()));
    sum
}

pub fn of_service(service: &Service) -> Amounts {
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    let given = ports.iter().filter(|port| port.node_port.unwrap_or(0) != 0).count();
    let (balancers, node_ports) = match spec.type_.as_deref() {
        Some("NodePort") => (0, ports.len()),
        Some("LoadBalancer") if spec.allocate_load_balancer_node_ports == Some(false) => (1, given),
        Some("LoadBalancer") => (1, ports.len()),
        _ => (0, 0),
    };
    Amounts::from([
        ("count/services".to_string(), one()),
        ("services".to_string(), one()),
        ("services.loadbalancers".to_string(), number(balancers)),
        ("services.nodeports".to_string(), number(node_ports as i64)),
    ])
}

pub fn of_claim(claim: &PersistentVolumeClaim) -> Amounts {
    let mut used = Amounts::from([("persistentvolumeclaims".to_string(), one()), ("count/persistentvolumeclaims".to_string(), one())]);
    let class = annotation(&claim.metadata, "volume.beta.kubernetes.io/storage-class").map(String::from);
    let class = class.or_else(|| claim.spec.as_ref()?.storage_class_name.clone()).filter(|class| !class.is_empty());
    let requested = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let mut storage = read(requested).remove("storage");
    let allocated = read(claim.status.as_ref().and_then(|status| status.allocated_resources.as_ref())).remove("storage");
    if let (Some(more), Some(asked)) = (allocated, &storage)
        && more > *asked
    {
        storage = Some(more);
    }
    if let Some(class) = &class {
        used.insert(format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"), one());
    }
    if let Some(storage) = storage {
        if let Some(class) = &class {
            used.insert(format!("{class}.storageclass.storage.k8s.io/requests.storage"), storage.clone());
        }
        used.insert("requests.storage".into(), storage);
    }
    used
}

/// Neither requests nor limits of cpu or memory anywhere.
pub fn is_best_effort(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let empty = |list: Option<&BTreeMap<String, Text>>| {
        read(list).iter().all(|(key, amount)| !matches!(key.as_str(), "cpu" | "memory") || amount.is_zero())
    };
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut resources = all.map(|container| container.resources.as_ref()).chain([spec.resources.as_ref()]).flatten();
    resources.all(|own| empty(own.requests.as_ref()) && empty(own.limits.as_ref()))
}
