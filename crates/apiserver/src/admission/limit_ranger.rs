//! LimitRanger: a namespace's limit ranges give containers their default requests and limits, and bound what containers, pods and
//! claims may ask for.
use super::amounts::{Amounts, Side, amounts, joined, of, of_pod};
use super::object::{edit, view};
use super::{Context, Step, about, refuse};
use crate::own_writes::list;
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use machinery::object::AnyObject;
use machinery::quantity::Quantity;
use machinery::status::Status;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Store;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub struct LimitRanger {
    store: Arc<dyn Store>,
}

impl LimitRanger {
    pub fn new(context: &Context) -> LimitRanger {
        LimitRanger { store: context.store.clone() }
    }

    async fn ranges(&self, request: &AdmissionRequest<'_>) -> Result<Vec<Arc<LimitRange>>, Status> {
        list(&*self.store, &format!("/registry/limitranges/{}/", request.attributes.namespace)).await
    }
}

#[async_trait]
impl Step for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        let ending = request.old.is_some_and(|old| old.meta().deletion_timestamp.is_some());
        let wanted = match request.operation {
            Operation::Create => about(request, "", "pods") || about(request, "", "persistentvolumeclaims"),
            Operation::Update => about(request, "", "pods/resize") || about(request, "", "persistentvolumeclaims"),
            _ => false,
        };
        wanted && !ending
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        if request.attributes.resource != "pods" {
            return Ok(());
        }
        for range in self.ranges(request).await? {
            edit::<Pod>(object, |pod| {
                set_defaults(pod, &range);
                Ok(())
            })?;
        }
        Ok(())
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        for range in self.ranges(request).await? {
            let items = range.spec.iter().flat_map(|spec| &spec.limits);
            let problems = if let Some(pod) = view::<Pod>(object) {
                items.flat_map(|item| check_pod(&pod, item)).collect()
            } else if let Some(claim) = view::<PersistentVolumeClaim>(object) {
                items.flat_map(|item| check_claim(&claim, item)).collect()
            } else {
                Vec::new()
            };
            if let Some(why) = joined(problems) {
                return Err(refuse(request, Some(object), why));
            }
        }
        Ok(())
    }
}

fn set_defaults(pod: &mut Pod, range: &LimitRange) {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    let items = range.spec.iter().flat_map(|spec| &spec.limits).filter(|item| item.type_ == "Container");
    for item in items {
        requests.extend(item.default_request.clone().unwrap_or_default());
        limits.extend(item.default.clone().unwrap_or_default());
    }
    let Some(spec) = &mut pod.spec else { return };
    let mut told = Vec::new();
    for container in &mut spec.containers {
        fill(container, "container", &requests, &limits, &mut told);
    }
    for container in spec.init_containers.iter_mut().flatten() {
        fill(container, "init container", &requests, &limits, &mut told);
    }
    if !told.is_empty() {
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        pod.metadata.annotations.get_or_insert_default().insert(ANNOTATION.into(), text);
    }
}

type ApiAmounts = BTreeMap<String, ApiQuantity>;

fn fill(container: &mut Container, kind: &str, requests: &ApiAmounts, limits: &ApiAmounts, told: &mut Vec<String>) {
    if requests.is_empty() && limits.is_empty() {
        return;
    }
    let resources = container.resources.get_or_insert_default();
    for (what, defaults, own) in [("request", requests, &mut resources.requests), ("limit", limits, &mut resources.limits)] {
        let own = own.get_or_insert_default();
        let missing: Vec<&str> = defaults.keys().filter(|name| !own.contains_key(*name)).map(String::as_str).collect();
        if !missing.is_empty() {
            told.push(format!("{} {what} for {kind} {}", missing.join(", "), container.name));
        }
        for (name, quantity) in defaults {
            own.entry(name.clone()).or_insert_with(|| quantity.clone());
        }
    }
    for own in [&mut resources.requests, &mut resources.limits] {
        if own.as_ref().is_some_and(BTreeMap::is_empty) {
            *own = None;
        }
    }
}

fn check_pod(pod: &Pod, item: &LimitRangeItem) -> Vec<String> {
    match item.type_.as_str() {
        "Container" => {
            let Some(spec) = &pod.spec else { return Vec::new() };
            let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            let bounds = |container: &Container| {
                let resources = container.resources.as_ref();
                check_both(item, &of(resources, Side::Requests), &of(resources, Side::Limits))
            };
            all.flat_map(bounds).collect()
        }
        "Pod" => check_both(item, &of_pod(pod, Side::Requests), &of_pod(pod, Side::Limits)),
        _ => Vec::new(),
    }
}

fn check_both(item: &LimitRangeItem, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let kind = &item.type_;
    let min = amounts(&item.min).into_iter().filter_map(|(name, bound)| check_min(kind, &name, &bound, requests, limits));
    let max = amounts(&item.max).into_iter().filter_map(|(name, bound)| check_max(kind, &name, &bound, requests, limits));
    let ratios = amounts(&item.max_limit_request_ratio).into_iter();
    let ratio = ratios.filter_map(|(name, bound)| check_ratio(kind, &name, &bound, requests, limits));
    min.chain(max).chain(ratio).collect()
}

fn check_min(kind: &str, name: &str, bound: &Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let what = format!("minimum {name} usage per {kind} is {bound}");
    match (requests.get(name), limits.get(name)) {
        (None, _) => Some(format!("{what}.  No request is specified")),
        (Some(request), _) if request < bound => Some(format!("{what}, but request is {request}")),
        (_, Some(limit)) if limit < bound => Some(format!("{what}, but limit is {limit}")),
        _ => None,
    }
}

fn check_max(kind: &str, name: &str, bound: &Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let what = format!("maximum {name} usage per {kind} is {bound}");
    match (requests.get(name), limits.get(name)) {
        (_, None) => Some(format!("{what}.  No limit is specified")),
        (_, Some(limit)) if limit > bound => Some(format!("{what}, but limit is {limit}")),
        (Some(request), _) if request > bound => Some(format!("{what}, but request is {request}")),
        _ => None,
    }
}

fn check_ratio(kind: &str, name: &str, bound: &Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let what = format!("{name} max limit to request ratio per {kind} is {bound}");
    let given = |amounts: &Amounts| amounts.get(name).map(Quantity::as_f64).filter(|amount| *amount != 0.0);
    let Some(request) = given(requests) else { return Some(format!("{what}, but no request is specified or request is 0")) };
    let Some(limit) = given(limits) else { return Some(format!("{what}, but no limit is specified or limit is 0")) };
    let ratio = limit / request;
    (ratio > bound.as_f64()).then(|| format!("{what}, but provided ratio is {ratio:.6}"))
}

fn check_claim(claim: &PersistentVolumeClaim, item: &LimitRangeItem) -> Vec<String> {
    if item.type_ != "PersistentVolumeClaim" {
        return Vec::new();
    }
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let requests = resources.map(|resources| amounts(&resources.requests)).unwrap_or_default();
    let kind = &item.type_;
    let min = amounts(&item.min).into_iter().filter_map(|(name, bound)| check_min(kind, &name, &bound, &requests, &Amounts::new()));
    let max = amounts(&item.max).into_iter().filter_map(|(name, bound)| {
        let what = format!("maximum {name} usage per {kind} is {bound}");
        match requests.get(&name) {
            None => Some(format!("{what}.  No request is specified")),
            Some(request) if *request > bound => Some(format!("{what}, but request is {request}")),
            _ => None,
        }
    });
    min.chain(max).collect()
}
