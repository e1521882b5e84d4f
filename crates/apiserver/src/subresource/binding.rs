//! `pods/binding` (and the older `bindings`): puts a pod on a node, once.
use super::{admit, done};
use crate::request::call::{Answer, Call};
use crate::request::query::write_options;
use crate::request::{Attributes, FieldValidation};
use crate::verbs::decode::{self, Expected};
use crate::verbs::storage;
use crate::verbs::update::precondition;
use crate::verbs::write::{self, Written};
use k8s_openapi::api::core::v1::{Binding, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::object::AnyObject;
use machinery::status::{Reason, Status};
use store::Expect;

const MAX_ATTEMPTS: usize = 16;

/// `name`: of the pod, as the path has it; empty for `bindings`.
pub async fn bind(call: &Call, name: &str) -> Answer {
    let options = write_options(&call.query, "CreateOptions", call.user_agent())?;
    let expected = Expected { group: "", version: "v1", kind: "Binding", schema: "io.k8s.api.core.v1.Binding" };
    let value = decode::body(call, &expected, FieldValidation::Ignore).await?;
    let value = admit(call, &options, value).await?;
    let binding: Binding = serde_json::from_value(value).map_err(|error| Status::bad_request(error.to_string()))?;
    let own = binding.metadata.name.clone().unwrap_or_default();
    if !name.is_empty() && own != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    check(&binding)?;
    let pods = call.state.config.kinds.find("", "v1", "pods").ok_or_else(|| Status::internal("pods are not served"))?;
    let pod = call.derived(pods, Attributes { resource: "pods".into(), name: own, ..call.attributes.clone() });
    assign(&pod, &binding, options.dry_run).await?;
    done(call)
}

/// The original tells these without a reason of their own.
fn check(binding: &Binding) -> Result<(), Status> {
    let refuse = |why: String| Err(Status { code: 500, ..Status::new(Reason::Unknown, why) });
    match (binding.target.kind.as_deref().unwrap_or_default(), binding.target.name.as_deref().unwrap_or_default()) {
        ("" | "Node", "") => refuse("target.name: Required value".into()),
        ("" | "Node", _) => Ok(()),
        (kind, _) => refuse(format!("target.kind: Unsupported value: \"{kind}\": supported values: \"Node\", \"<empty>\"")),
    }
}

async fn assign(call: &Call, binding: &Binding, dry_run: bool) -> Result<(), Status> {
    let key = call.key();
    for _ in 0..MAX_ATTEMPTS {
        let current = call.state.store().get(&key).await.map_err(storage::failure)?.ok_or_else(|| call.not_found())?;
        let mut object = call.served.own_object(&current)?;
        check_preconditions(call, binding, &*object)?;
        let pod = object.downcast_mut::<Pod>().ok_or_else(|| Status::internal("this is no pod"))?;
        let conflict = |why: String| Status::conflict("", "pods/binding", &call.attributes.name, &why);
        place(pod, binding, Time(call.state.config.clock.now())).map_err(conflict)?;
        if dry_run {
            return Ok(());
        }
        let template = write::template(call, &mut *object)?;
        if let Written::Done(_) = write::put(&key, call, template, Expect::Revision(current.revision)).await? {
            return Ok(());
        }
    }
    Err(call.conflict("the object has been modified; please apply your changes to the latest version and try again"))
}

fn check_preconditions(call: &Call, binding: &Binding, pod: &dyn AnyObject) -> Result<(), Status> {
    let there = pod.meta();
    let (uid, version) = (&binding.metadata.uid, &binding.metadata.resource_version);
    for (what, wanted, own) in [("UID", uid, &there.uid), ("ResourceVersion", version, &there.resource_version)] {
        let (wanted, own) = (wanted.as_deref().unwrap_or_default(), own.as_deref().unwrap_or_default());
        if !wanted.is_empty() && wanted != own {
            return Err(call.conflict(&precondition(&call.key(), what, wanted, own)));
        }
    }
    Ok(())
}

/// Writes the node into the pod, or says why it cannot go there.
fn place(pod: &mut Pod, binding: &Binding, now: Time) -> Result<(), String> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let spec = pod.spec.get_or_insert_default();
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        return Err(format!("pod {name} is already assigned to node \"{node}\""));
    }
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    spec.node_name = binding.target.name.clone();
    if let Some(annotations) = &binding.metadata.annotations {
        pod.metadata.annotations.get_or_insert_default().extend(annotations.clone());
    }
    if let Some(labels) = &binding.metadata.labels {
        pod.metadata.labels.get_or_insert_default().extend(labels.clone());
    }
    let status = pod.status.get_or_insert_default();
    status.nominated_node_name = None;
    set_condition(status.conditions.get_or_insert_default(), "PodScheduled", now, |_| {});
    Ok(())
}

/// Makes a condition true; its time of transition changes only with its state.
pub fn set_condition(conditions: &mut Vec<PodCondition>, kind: &str, now: Time, more: impl FnOnce(&mut PodCondition)) {
    let at = conditions.iter().position(|condition| condition.type_ == kind).unwrap_or_else(|| {
        conditions.push(PodCondition { type_: kind.into(), ..PodCondition::default() });
        conditions.len() - 1
    });
    let condition = &mut conditions[at];
    if condition.status != "True" {
        condition.last_transition_time = Some(Time(jiff::Timestamp::from_second(now.0.as_second()).unwrap_or(now.0)));
    }
    condition.status = "True".into();
    condition.reason = None;
    condition.message = None;
    more(condition);
}
