//! `pods/eviction`: deletes a pod if its disruption budget allows it, and counts that against the budget.
use super::binding::set_condition;
use super::{admit, done};
use crate::kinds::Served;
use crate::request::call::{Answer, Call};
use crate::request::query::write_options;
use crate::request::{Attributes, FieldValidation, Options, Preconditions, Propagation};
use crate::verbs::decode::{self, Expected};
use crate::verbs::{delete, get, managed, storage, update};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{Eviction, PodDisruptionBudget};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, DeleteOptions, Time};
use machinery::object::AnyObject;
use machinery::selector::Selector;
use machinery::status::{Cause, Details, Reason, Status};
use std::sync::Arc;
use store::At;

/// So many evictions may wait for the budget's controller to see them.
const MAX_UNCONFIRMED: usize = 2000;
const VIOLATES: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

pub async fn evict(call: &Call) -> Answer {
    let mut options = write_options(&call.query, "CreateOptions", call.user_agent())?;
    let expected = Expected { group: "policy", version: "v1", kind: "Eviction", schema: "io.k8s.api.policy.v1.Eviction" };
    let value = decode::body(call, &expected, FieldValidation::Ignore).await?;
    let value = admit(call, &options, value).await?;
    let eviction: Eviction = serde_json::from_value(value).map_err(|error| Status::bad_request(error.to_string()))?;
    if eviction.metadata.name.as_deref() != Some(call.attributes.name.as_str()) {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    take_options(&mut options, eviction.delete_options);
    let pods = call.derived(&call.served, Attributes { subresource: String::new(), ..call.attributes.clone() });
    let stored = get::current(call).await?;
    let object = call.served.object(&stored)?;
    let pod = object.downcast_ref::<Pod>().ok_or_else(|| Status::internal("this is no pod"))?;
    let must_be_this = match may_go_freely(pod) {
        true => !is_over(pod),
        false => ask_budget(call, pod, options.dry_run).await?,
    };
    let own_version = options.deletion.preconditions.resource_version.is_some();
    if must_be_this && !own_version {
        options.deletion.preconditions.resource_version = Some(stored.revision.to_string());
    }
    match remove(&pods, &options).await {
        Err(status) if status.is(Reason::Conflict) && must_be_this && !own_version => Err(too_many(&call.attributes.name, 10, None)),
        Err(status) => Err(status),
        Ok(()) => done(call),
    }
}

fn take_options(options: &mut Options, wanted: Option<DeleteOptions>) {
    let Some(wanted) = wanted else { return };
    options.dry_run |= wanted.dry_run.is_some_and(|values| !values.is_empty());
    options.deletion.grace_period_seconds = wanted.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    options.deletion.orphan_dependents = wanted.orphan_dependents;
    options.deletion.propagation = match wanted.propagation_policy.as_deref() {
        Some("Foreground") => Some(Propagation::Foreground),
        Some("Background") => Some(Propagation::Background),
        Some("Orphan") => Some(Propagation::Orphan),
        _ => None,
    };
    let conditions = wanted.preconditions.unwrap_or_default();
    options.deletion.preconditions = Preconditions { uid: conditions.uid, resource_version: conditions.resource_version };
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Ended or ending: whatever happens to it, nobody is disrupted any more.
fn is_over(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() || matches!(phase(pod), "Succeeded" | "Failed")
}

/// Pods that no budget protects.
fn may_go_freely(pod: &Pod) -> bool {
    is_over(pod) || phase(pod) == "Pending"
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Counts the eviction against the pod's budget. True: the pod may go only in the state it was seen in.
async fn ask_budget(call: &Call, pod: &Pod, dry_run: bool) -> Result<bool, Status> {
    let kinds = &call.state.config.kinds;
    let Some(served) = kinds.find("policy", "v1", "poddisruptionbudgets").cloned() else { return Ok(false) };
    let budgets = budgets_of(call, &served, pod).await?;
    let budget = match budgets.as_slice() {
        [] => return Ok(false),
        [only] => only,
        _ => {
            let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status { code: 500, ..Status::new(Reason::Unknown, why) });
        }
    };
    let status = budget.status.clone().unwrap_or_default();
    if !is_ready(pod) {
        let always = budget.spec.as_ref().and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref()) == Some("AlwaysAllow");
        let (current, desired) = (status.current_healthy.unwrap_or(0), status.desired_healthy.unwrap_or(0));
        if always || current >= desired && desired > 0 {
            return Ok(true);
        }
    }
    take_one(call, &served, budget, pod, dry_run).await.map(|()| false)
}

async fn budgets_of(call: &Call, served: &Served, pod: &Pod) -> Result<Vec<PodDisruptionBudget>, Status> {
    let prefix = served.kind.names().prefix(call.namespace());
    let page = call.state.store().list(&prefix, None, 0, At::Latest).await.map_err(storage::failure)?;
    let mut budgets = Vec::new();
    for stored in page.objects {
        let object = served.object(&stored)?;
        let Some(budget) = object.downcast_ref::<PodDisruptionBudget>().cloned() else {
            budgets.extend(serde_json::from_slice::<PodDisruptionBudget>(&stored.json).ok());
            continue;
        };
        budgets.push(budget);
    }
    budgets.retain(|budget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        Selector::from_api(selector).is_ok_and(|selector| selector.matches_labels(pod.metadata.labels.as_ref()))
    });
    Ok(budgets)
}

/// One disruption less is allowed from now on.
async fn take_one(call: &Call, served: &Arc<Served>, budget: &PodDisruptionBudget, pod: &Pod, dry_run: bool) -> Result<(), Status> {
    let name = budget.metadata.name.clone().unwrap_or_default();
    let attributes = Attributes {
        group: "policy".into(),
        resource: "poddisruptionbudgets".into(),
        subresource: "status".into(),
        verb: "update".into(),
        name,
        ..call.attributes.clone()
    };
    let budgets = call.derived(served, attributes);
    let pod_name = pod.metadata.name.clone().unwrap_or_default();
    let now = Time(call.state.config.clock.now());
    let options = Options { dry_run, field_manager: "kube-apiserver".into(), ..Options::default() };
    let make = |old: Option<&dyn AnyObject>| {
        let old = old.ok_or_else(|| budgets.not_found())?;
        let read = |value| serde_json::from_value::<PodDisruptionBudget>(value).map_err(Status::internal);
        let mut budget = read(old.to_value())?;
        check_and_decrement(&mut budget, &pod_name, &now)?;
        let mut new = served.kind.decode(serde_json::to_value(&budget).map_err(Status::internal)?)?;
        managed::track(&budgets, &options, Some(old), &mut new)?;
        Ok(new)
    };
    update::write(&budgets, &options, &make, false).await.map(drop)
}

fn check_and_decrement(budget: &mut PodDisruptionBudget, pod: &str, now: &Time) -> Result<(), Status> {
    let name = budget.metadata.name.clone().unwrap_or_default();
    let generation = budget.metadata.generation.unwrap_or(0);
    let status = budget.status.get_or_insert_default();
    if status.observed_generation.unwrap_or(0) < generation {
        return Err(too_many(&name, 10, None));
    }
    let waiting = status.disrupted_pods.as_ref().map_or(0, |pods| pods.len());
    let forbidden = |why: &str, cause: &str| {
        let mut status = Status::forbidden("policy", "poddisruptionbudget", &name, why);
        let message = format!("The disruption budget {name} does not allow evicting pods currently: {cause}");
        let cause = Cause { field: String::new(), reason: "DisruptionBudget".into(), message };
        status.details.get_or_insert_default().causes.push(cause);
        status
    };
    let allowed = status.disruptions_allowed.unwrap_or(0);
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative", "pdb disruptions allowed is negative"));
    }
    if waiting > MAX_UNCONFIRMED {
        return Err(forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
            "too many pending evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let condition = conditions.iter().find(|condition| condition.type_ == "DisruptionAllowed" && condition.status == "False");
        let why = refusal(&name, status.current_healthy.unwrap_or(0), status.desired_healthy.unwrap_or(0), condition);
        return Err(too_many(&name, 0, Some(why)));
    }
    status.disruptions_allowed = Some(allowed - 1);
    status.disrupted_pods.get_or_insert_default().insert(pod.into(), now.clone());
    if allowed == 1 {
        let condition = Condition {
            type_: "DisruptionAllowed".into(),
            status: "False".into(),
            reason: "InsufficientPods".into(),
            message: String::new(),
            observed_generation: status.observed_generation,
            last_transition_time: now.clone(),
        };
        let conditions = status.conditions.get_or_insert_default();
        conditions.retain(|other| other.type_ != condition.type_);
        conditions.push(condition);
    }
    Ok(())
}

fn refusal(name: &str, current: i32, desired: i32, condition: Option<&Condition>) -> String {
    let blocked = format!("The disruption budget {name} does not allow evicting pods currently");
    match condition.filter(|condition| !condition.message.is_empty()) {
        Some(condition) if condition.reason == "SyncFailed" => format!("{blocked} because it failed sync: {}", condition.message),
        _ if current <= desired => format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently"),
        Some(condition) => format!("{blocked} ({}): {}", condition.reason, condition.message),
        None => blocked,
    }
}

fn too_many(budget: &str, retry_after_seconds: u32, why: Option<String>) -> Status {
    let message = why.unwrap_or_else(|| format!("The disruption budget {budget} is still being processed by the server."));
    let causes = vec![Cause { field: String::new(), reason: "DisruptionBudget".into(), message }];
    Status::new(Reason::TooManyRequests, VIOLATES).with(Details { causes, retry_after_seconds, ..Details::default() })
}

/// The pod tells why it goes, then it goes.
async fn remove(pods: &Call, options: &Options) -> Result<(), Status> {
    let mut options = options.clone();
    if !options.dry_run {
        let told = tell(pods, &options).await?;
        if options.deletion.preconditions.resource_version.is_some() {
            options.deletion.preconditions.resource_version = Some(told.to_string());
        }
    }
    delete::deleted(pods, &options).await.map(drop)
}

async fn tell(pods: &Call, options: &Options) -> Result<u64, Status> {
    let status = pods.derived(&pods.served, Attributes { subresource: "status".into(), verb: "update".into(), ..pods.attributes.clone() });
    let now = Time(pods.state.config.clock.now());
    let make = |old: Option<&dyn AnyObject>| {
        let old = old.ok_or_else(|| pods.not_found())?;
        delete::check_preconditions(pods, &options.deletion.preconditions, old.meta())?;
        let mut object = old.boxed_clone();
        if let Some(pod) = object.downcast_mut::<Pod>() {
            let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
            set_condition(conditions, "DisruptionTarget", now.clone(), |condition| {
                condition.reason = Some("EvictionByEvictionAPI".into());
                condition.message = Some("Eviction API: evicting".into());
            });
        }
        Ok(object)
    };
    let (made, _) = update::write(&status, &Options { deletion: Default::default(), ..options.clone() }, &make, false).await?;
    Ok(made.revision())
}
