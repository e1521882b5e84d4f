//! The `resize` door: CPU and memory of a running pod (KEP-1287).
use super::update::keep_all_but_managed;
use super::usage::is_sidecar;
use super::validate::{is_mirror, whole};
use super::{count_generation, default::default_pod_level, qos};
use crate::access::{ApiResources, List, same};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use machinery::errors::Errors;

const ONLY: &str = "only cpu and memory resources are mutable";

/// Takes back everything but resources and resize policies.
pub fn prepare(new: &mut Pod, old: &Pod) {
    let (Some(wanted), Some(before)) = (new.spec.take(), &old.spec) else { return };
    if wanted.containers.len() != before.containers.len() || wanted.init_containers.list().len() != before.init_containers.list().len() {
        new.spec = Some(wanted);
        return;
    }
    let mut spec = before.clone();
    spec.containers = merged(wanted.containers, &before.containers);
    spec.init_containers = wanted.init_containers.map(|wanted| merged(wanted, before.init_containers.list()));
    if wanted.resources.is_some() {
        spec.resources = wanted.resources;
    }
    if spec.resources.is_some() {
        default_pod_level(&mut spec);
    }
    keep_all_but_managed(new, old);
    new.spec = Some(spec);
    count_generation(new, old);
}

fn merged(wanted: Vec<Container>, before: &[Container]) -> Vec<Container> {
    if wanted.iter().zip(before).any(|(wanted, before)| wanted.name != before.name) {
        return wanted;
    }
    let merge = |(wanted, before): (Container, &Container)| Container {
        resources: wanted.resources,
        resize_policy: wanted.resize_policy,
        ..before.clone()
    };
    wanted.into_iter().zip(before).map(merge).collect()
}

pub fn validate(new: &Pod, old: &Pod, errors: &mut Errors) {
    let none = PodSpec::default();
    let (spec, before) = (new.spec.as_ref().unwrap_or(&none), old.spec.as_ref().unwrap_or(&none));
    if is_mirror(&old.metadata) {
        return errors.forbidden("", "static pods cannot be resized");
    }
    if before.os.as_ref().is_some_and(|os| os.name == "windows") {
        return errors.forbidden("", "windows pods cannot be resized");
    }
    whole(new, errors);
    errors.at("spec", |errors| {
        let class = old.status.as_ref().and_then(|status| status.qos_class.as_deref()).unwrap_or_else(|| qos::class(before));
        if class != qos::class(spec) {
            errors.invalid("", class, "Pod QOS Class may not change as a result of resizing");
        }
        if !supported(old) {
            errors.forbidden("", "Pod running on node without support for resize");
        }
        pod_level(spec, before, errors);
        let ordered = in_order("containers", &spec.containers, &before.containers, errors)
            & in_order("initContainers", spec.init_containers.list(), before.init_containers.list(), errors);
        if ordered {
            containers(spec, before, errors);
        }
    });
}

/// Kubelets that can resize tell the resources of running containers.
fn supported(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().map_or(&[][..], |status| status.container_statuses.list());
    let running = statuses.iter().find(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()));
    running.is_none_or(|status| status.resources.is_some())
}

fn pod_level(new: &PodSpec, old: &PodSpec, errors: &mut Errors) {
    let Some(before) = &old.resources else { return };
    let Some(own) = &new.resources else {
        return errors.forbidden("resources", "pod-level resources cannot be removed");
    };
    if removed(&own.requests, &before.requests) {
        errors.forbidden("resources.requests", "pod-level resource requests cannot be removed");
    }
    if removed(&own.limits, &before.limits) {
        errors.forbidden("resources.limits", "pod-level resource limits cannot be removed");
    }
    if !same(&without_cpu_and_memory(own), &without_cpu_and_memory(before)) {
        errors.forbidden("", "only cpu and memory resources are mutable at pod-level");
    }
}

fn in_order(field: &str, new: &[Container], old: &[Container], errors: &mut Errors) -> bool {
    if new.len() != old.len() {
        errors.forbidden(field, &format!("{field} may not be added or removed on resize"));
        return false;
    }
    let mut ordered = true;
    errors.each(field, new.iter().zip(old), |errors, (new, old)| {
        if new.name != old.name {
            ordered = false;
            errors.forbidden("name", &format!("{field} may not be renamed or reordered on resize"));
        }
    });
    ordered
}

fn containers(new: &PodSpec, old: &PodSpec, errors: &mut Errors) {
    let init = |spec: &PodSpec| spec.init_containers.clone().unwrap_or_default();
    errors.each("initContainers", init(new).iter().zip(&init(old)), |errors, (new, old)| {
        only_larger_or_smaller(new, old, errors);
        if same(new, old) {
            return;
        }
        if !same(&plain(new), &plain(old)) {
            errors.forbidden("", "only cpu and memory resources for init or sidecar containers are mutable");
        }
        if !is_sidecar(new) && new.resize_policy.list().iter().any(|policy| policy.restart_policy == "RestartContainer") {
            errors.forbidden("", "non-sidecar init containers with a resize policy of RestartContainer cannot be resized");
        }
    });
    errors.each("containers", new.containers.iter().zip(&old.containers), |errors, (new, old)| only_larger_or_smaller(new, old, errors));
    for _ in new.containers.iter().zip(&old.containers).filter(|(new, old)| !same(&plain(new), &plain(old))) {
        errors.forbidden("", ONLY);
    }
    let rest = |spec: &PodSpec| PodSpec { containers: Vec::new(), init_containers: None, resources: None, ..spec.clone() };
    if !same(&rest(new), &rest(old)) {
        errors.forbidden("", ONLY);
    }
}

fn only_larger_or_smaller(new: &Container, old: &Container, errors: &mut Errors) {
    let none = ResourceRequirements::default();
    let (new, old) = (new.resources.as_ref().unwrap_or(&none), old.resources.as_ref().unwrap_or(&none));
    if removed(&new.requests, &old.requests) {
        errors.forbidden("resources.requests", "resource requests cannot be removed");
    }
    if removed(&new.limits, &old.limits) {
        errors.forbidden("resources.limits", "resource limits cannot be removed");
    }
}

fn removed(new: &Option<ApiResources>, old: &Option<ApiResources>) -> bool {
    old.iter().flatten().any(|(name, _)| new.as_ref().is_none_or(|new| !new.contains_key(name)))
}

/// The container without what a resize may change.
fn plain(container: &Container) -> Container {
    Container { resources: container.resources.as_ref().map(without_cpu_and_memory), ..container.clone() }
}

fn without_cpu_and_memory(own: &ResourceRequirements) -> ResourceRequirements {
    let without = |list: &Option<ApiResources>| {
        let mut list = list.clone().unwrap_or_default();
        list.retain(|name, _| name != "cpu" && name != "memory");
        Some(list)
    };
    ResourceRequirements { claims: own.claims.clone(), limits: without(&own.limits), requests: without(&own.requests) }
}
