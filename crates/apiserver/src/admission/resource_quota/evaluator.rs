//! What objects count for: pods their resources, services their kinds, claims their storage, all others one each. Pure.
use crate::admission::amounts::{Amounts, Side, add, amounts, is_pod_level, of, of_pod};
use crate::admission::object::view;
use crate::request::{AdmissionRequest, Operation};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Container, PersistentVolumeClaim, Pod, PodAffinityTerm, ResourceRequirements, ScopedResourceSelectorRequirement, Service,
};
use machinery::object::AnyObject;
use machinery::quantity::{Format, Quantity};
use std::collections::{BTreeMap, BTreeSet};

const POD_RESOURCES: [&str; 11] = [
    "count/pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
/// Where a quota has these, each container must say how much it takes.
const MUST_SAY: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const SERVICE_RESOURCES: [&str; 4] = ["count/services", "services", "services.nodeports", "services.loadbalancers"];
const CLAIM_RESOURCES: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
const BY_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Resources that had a plain name before `count/…`.
const PLAIN_NAMES: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];

pub enum Evaluator {
    Pods,
    Services,
    Claims,
    /// One each, under these names.
    Count(Vec<String>),
}

impl Evaluator {
    pub fn of(group: &str, resource: &str) -> Evaluator {
        match (group, resource) {
            ("", "pods") => Evaluator::Pods,
            ("", "services") => Evaluator::Services,
            ("", "persistentvolumeclaims") => Evaluator::Claims,
            ("", _) => {
                let plain = PLAIN_NAMES.contains(&resource).then(|| resource.to_string());
                Evaluator::Count(std::iter::once(format!("count/{resource}")).chain(plain).collect())
            }
            _ => Evaluator::Count(vec![format!("count/{resource}.{group}")]),
        }
    }

    /// From the request alone: may it change what is used?
    pub fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        let create = request.operation == Operation::Create;
        match (self, request.attributes.subresource.as_str()) {
            (Evaluator::Pods, "resize") => !create,
            (Evaluator::Claims, "status") => !create,
            (Evaluator::Count(_), "") => create,
            (_, subresource) => subresource.is_empty(),
        }
    }

    /// With the objects: does it?
    pub fn handles(&self, request: &AdmissionRequest<'_>, new: &dyn AnyObject) -> bool {
        let update = request.operation == Operation::Update;
        match (self, request.attributes.subresource.as_str()) {
            (Evaluator::Pods, "") if update => {
                let deadline = |object: &dyn AnyObject| view::<Pod>(object).is_some_and(|pod| is_terminating(&pod));
                request.old.is_some_and(|old| deadline(old) != deadline(new))
            }
            (Evaluator::Claims, "status") => {
                let allocated = |object: &dyn AnyObject| {
                    view::<PersistentVolumeClaim>(object).and_then(|claim| claim.status.as_ref()?.allocated_resources.clone())
                };
                request.old.is_some_and(|old| allocated(old) != allocated(new))
            }
            _ => true,
        }
    }

    /// Those of a quota's resources that such objects count for.
    pub fn counted(&self, hard: &Amounts) -> Vec<String> {
        hard.keys().filter(|name| self.counts(name)).cloned().collect()
    }

    fn counts(&self, name: &str) -> bool {
        match self {
            Evaluator::Pods => {
                let requested = name.strip_prefix("requests.");
                let huge = requested.unwrap_or(name).starts_with("hugepages-");
                POD_RESOURCES.contains(&name) || huge || requested.is_some_and(is_extended)
            }
            Evaluator::Services => SERVICE_RESOURCES.contains(&name),
            Evaluator::Claims => {
                let by_class = name.rsplit_once(BY_CLASS).is_some_and(|(_, rest)| CLAIM_RESOURCES.contains(&rest));
                name == "count/persistentvolumeclaims" || CLAIM_RESOURCES.contains(&name) || by_class
            }
            Evaluator::Count(names) => names.iter().any(|own| own == name),
        }
    }

    pub fn usage(&self, object: &dyn AnyObject, now: Timestamp) -> Amounts {
        match self {
            Evaluator::Pods => view::<Pod>(object).map(|pod| pod_usage(&pod, now)).unwrap_or_default(),
            Evaluator::Services => view::<Service>(object).map(|service| service_usage(&service)).unwrap_or_default(),
            Evaluator::Claims => view::<PersistentVolumeClaim>(object).map(|claim| claim_usage(&claim)).unwrap_or_default(),
            Evaluator::Count(names) => names.iter().map(|name| (name.clone(), number(1))).collect(),
        }
    }

    /// What is missing in the object to count it.
    pub fn constraints(&self, names: &[String], object: &dyn AnyObject) -> Result<(), String> {
        let Some(pod) = view::<Pod>(object).filter(|_| matches!(self, Evaluator::Pods)) else { return Ok(()) };
        let Some(spec) = &pod.spec else { return Ok(()) };
        if says_as_a_whole(spec.resources.as_ref()) {
            return Ok(());
        }
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
            let said = named(&container_side(container, Side::Requests), &container_side(container, Side::Limits));
            for name in names.iter().filter(|name| MUST_SAY.contains(&name.as_str()) && !said.contains_key(*name)) {
                missing.entry(name).or_default().insert(&container.name);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(",");
        let parts: Vec<String> = missing.iter().map(|(name, containers)| format!("{name} for: {}", list(containers))).collect();
        Err(format!("must specify {}", parts.join("; ")))
    }

    pub fn in_scope(&self, selector: &ScopedResourceSelectorRequirement, object: &dyn AnyObject) -> bool {
        match self {
            Evaluator::Pods => view::<Pod>(object).is_some_and(|pod| pod_in_scope(&pod, selector)),
            Evaluator::Claims => view::<PersistentVolumeClaim>(object).is_some_and(|claim| claim_in_scope(&claim, selector)),
            // Scopes are about pods and claims; nothing else falls under a quota that has them.
            _ => false,
        }
    }
}

fn number(value: i64) -> Quantity {
    Quantity::new(value, Format::DecimalSi)
}

/// Names of devices and the like: of a domain that is not Kubernetes' own.
fn is_extended(name: &str) -> bool {
    let Some((domain, _)) = name.split_once('/') else { return false };
    let native = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    !native || name.starts_with("deviceclass.resource.kubernetes.io/")
}

fn container_side(container: &Container, side: Side) -> Amounts {
    of(container.resources.as_ref(), side)
}

fn says_as_a_whole(resources: Option<&ResourceRequirements>) -> bool {
    let says = |side| of(resources, side).keys().any(|name| is_pod_level(name));
    says(Side::Requests) || says(Side::Limits)
}

/// Requests and limits under the names that quotas have for them.
fn named(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut result = Amounts::from([("pods".to_string(), number(1))]);
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(quantity) = requests.get(name) {
            result.insert(name.into(), quantity.clone());
            result.insert(format!("requests.{name}"), quantity.clone());
        }
        if let Some(quantity) = limits.get(name) {
            result.insert(format!("limits.{name}"), quantity.clone());
        }
    }
    for (name, quantity) in requests {
        if name.starts_with("hugepages-") {
            result.insert(name.clone(), quantity.clone());
        }
        if name.starts_with("hugepages-") || is_extended(name) {
            result.insert(format!("requests.{name}"), quantity.clone());
        }
    }
    result
}

fn pod_usage(pod: &Pod, now: Timestamp) -> Amounts {
    let mut result = Amounts::from([("count/pods".to_string(), number(1))]);
    if has_ended(pod, now) {
        return result;
    }
    let overhead = pod.spec.as_ref().map(|spec| amounts(&spec.overhead)).unwrap_or_default();
    let mut requests = of_pod(pod, Side::Requests);
    add(&mut requests, &overhead);
    let mut limits = of_pod(pod, Side::Limits);
    let limited: Amounts = overhead.into_iter().filter(|(name, _)| limits.get(name).is_some_and(|limit| !limit.is_zero())).collect();
    add(&mut limits, &limited);
    add(&mut result, &named(&requests, &limits));
    result
}

/// It takes nothing any more: it is over, or its grace is.
fn has_ended(pod: &Pod, now: Timestamp) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let over = match (&pod.metadata.deletion_timestamp, pod.metadata.deletion_grace_period_seconds) {
        (Some(time), Some(seconds)) => now > time.0 + SignedDuration::from_secs(seconds),
        _ => false,
    };
    matches!(phase, "Failed" | "Succeeded") || over
}

fn service_usage(service: &Service) -> Amounts {
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.as_deref().unwrap_or_default();
    let assigned = ports.iter().filter(|port| port.node_port.is_some_and(|port| port != 0)).count();
    let (node_ports, balancers) = match spec.type_.as_deref() {
        Some("NodePort") => (ports.len(), 0),
        Some("LoadBalancer") if spec.allocate_load_balancer_node_ports == Some(false) => (assigned, 1),
        Some("LoadBalancer") => (ports.len(), 1),
        _ => (0, 0),
    };
    let counts = [("count/services", 1), ("services", 1), ("services.nodeports", node_ports as i64), ("services.loadbalancers", balancers)];
    counts.into_iter().map(|(name, count)| (name.to_string(), number(count))).collect()
}

fn claim_usage(claim: &PersistentVolumeClaim) -> Amounts {
    let one = |name: String| (name, number(1));
    let mut result = Amounts::from([one("persistentvolumeclaims".into()), one("count/persistentvolumeclaims".into())]);
    let annotated = claim.metadata.annotations.as_ref().and_then(|all| all.get("volume.beta.kubernetes.io/storage-class")).cloned();
    let class = annotated.or_else(|| claim.spec.as_ref()?.storage_class_name.clone()).filter(|class| !class.is_empty());
    if let Some(class) = &class {
        result.extend([one(format!("{class}{BY_CLASS}persistentvolumeclaims"))]);
    }
    let asked = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()).map(|resources| amounts(&resources.requests));
    let allocated = claim.status.as_ref().map(|status| amounts(&status.allocated_resources));
    let storage = |amounts: Option<Amounts>| amounts.and_then(|amounts| amounts.get("storage").cloned());
    if let Some(size) = storage(asked) {
        // A claim that shrank again after a failed growth still holds what was allocated.
        let size = storage(allocated).filter(|allocated| *allocated > size).unwrap_or(size);
        if let Some(class) = &class {
            result.insert(format!("{class}{BY_CLASS}requests.storage"), size.clone());
        }
        result.insert("requests.storage".into(), size);
    }
    result
}

fn is_terminating(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).is_some_and(|seconds| seconds >= 0)
}

fn pod_in_scope(pod: &Pod, selector: &ScopedResourceSelectorRequirement) -> bool {
    match selector.scope_name.as_str() {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => {
            let class = pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref()).unwrap_or_default();
            selects(selector, class)
        }
        "CrossNamespacePodAffinity" => reaches_other_namespaces(pod),
        _ => false,
    }
}

fn claim_in_scope(claim: &PersistentVolumeClaim, selector: &ScopedResourceSelectorRequirement) -> bool {
    if selector.scope_name != "VolumeAttributesClass" {
        return false;
    }
    let status = claim.status.as_ref();
    let target = status.and_then(|status| status.modify_volume_status.as_ref()?.target_volume_attributes_class_name.clone());
    let asked = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
    let current = status.and_then(|status| status.current_volume_attributes_class_name.clone());
    let names: Vec<String> = [asked, current, target].into_iter().flatten().filter(|name| !name.is_empty()).collect();
    if names.is_empty() { selects(selector, "") } else { names.iter().any(|name| selects(selector, name)) }
}

/// An empty value: there is none.
fn selects(selector: &ScopedResourceSelectorRequirement, value: &str) -> bool {
    let listed = selector.values.iter().flatten().any(|own| own == value);
    match selector.operator.as_str() {
        "Exists" => !value.is_empty(),
        "DoesNotExist" => value.is_empty(),
        "In" => !value.is_empty() && listed,
        "NotIn" => value.is_empty() || !listed,
        _ => false,
    }
}

fn is_best_effort(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let silent = |resources: Option<&ResourceRequirements>| {
        let zero = |side| of(resources, side).iter().all(|(name, quantity)| !is_pod_level(name) || quantity.is_zero());
        zero(Side::Requests) && zero(Side::Limits)
    };
    if says_as_a_whole(spec.resources.as_ref()) {
        return silent(spec.resources.as_ref());
    }
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).all(|container| silent(container.resources.as_ref()))
}

fn reaches_other_namespaces(pod: &Pod) -> bool {
    let Some(affinity) = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()) else { return false };
    let reaches =
        |term: &PodAffinityTerm| term.namespaces.as_ref().is_some_and(|names| !names.is_empty()) || term.namespace_selector.is_some();
    let near = affinity.pod_affinity.iter().flat_map(|affinity| {
        let preferred = affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten().map(|term| &term.pod_affinity_term);
        affinity.required_during_scheduling_ignored_during_execution.iter().flatten().chain(preferred)
    });
    let far = affinity.pod_anti_affinity.iter().flat_map(|affinity| {
        let preferred = affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten().map(|term| &term.pod_affinity_term);
        affinity.required_during_scheduling_ignored_during_execution.iter().flatten().chain(preferred)
    });
    near.chain(far).any(reaches)
}
