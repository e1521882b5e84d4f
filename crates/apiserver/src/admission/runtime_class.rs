//! RuntimeClass: a pod's class must exist; its overhead and node selection become the pod's.
use super::amounts::amounts;
use super::object::{edit, view};
use super::{Context, Step, about, refuse};
use crate::own_writes::find;
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Toleration};
use k8s_openapi::api::node::v1::{RuntimeClass, Scheduling};
use machinery::object::AnyObject;
use machinery::status::Status;
use std::sync::Arc;
use store::Store;

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
const UNDEFINED: &str = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";

pub struct RuntimeClassStep {
    store: Arc<dyn Store>,
}

impl RuntimeClassStep {
    pub fn new(context: &Context) -> RuntimeClassStep {
        RuntimeClassStep { store: context.store.clone() }
    }

    async fn class(&self, request: &AdmissionRequest<'_>, object: &dyn AnyObject) -> Result<Option<Arc<RuntimeClass>>, Status> {
        let name = view::<Pod>(object).and_then(|pod| pod.spec.as_ref()?.runtime_class_name.clone());
        let Some(name) = name else { return Ok(None) };
        match find::<RuntimeClass>(&*self.store, &format!("/registry/runtimeclasses/{name}")).await? {
            Some(class) => Ok(Some(class)),
            None => Err(refuse(request, Some(object), format!("pod rejected: RuntimeClass {name:?} not found"))),
        }
    }
}

#[async_trait]
impl Step for RuntimeClassStep {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Create && about(request, "", "pods")
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        let Some(class) = self.class(request, &**object).await? else { return Ok(()) };
        let mut problem = None;
        edit::<Pod>(object, |pod| {
            problem = apply(pod.spec.get_or_insert_default(), &class).err();
            Ok(())
        })?;
        problem.map_or(Ok(()), |why| Err(refuse(request, Some(&**object), why)))
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        let class = self.class(request, object).await?;
        let Some(pod) = view::<Pod>(object) else { return Ok(()) };
        let own = pod.spec.as_ref().and_then(|spec| spec.overhead.clone());
        let defined = class.as_ref().and_then(|class| class.overhead.as_ref());
        match (defined, own) {
            (Some(defined), own) if amounts(&defined.pod_fixed) != amounts(&own) => Err(refuse(request, Some(object), MISMATCH)),
            (None, Some(_)) => Err(refuse(request, Some(object), UNDEFINED)),
            _ => Ok(()),
        }
    }
}

fn apply(spec: &mut PodSpec, class: &RuntimeClass) -> Result<(), String> {
    if let Some(overhead) = &class.overhead {
        let own = amounts(&spec.overhead);
        if !own.is_empty() && own != amounts(&overhead.pod_fixed) {
            return Err(MISMATCH.into());
        }
        spec.overhead = overhead.pod_fixed.clone();
    }
    class.scheduling.as_ref().map_or(Ok(()), |scheduling| select(spec, scheduling))
}

fn select(spec: &mut PodSpec, scheduling: &Scheduling) -> Result<(), String> {
    for (key, value) in scheduling.node_selector.iter().flatten() {
        let own = spec.node_selector.get_or_insert_default();
        if let Some(own) = own.get(key).filter(|own| *own != value) {
            return Err(format!("conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"));
        }
        own.insert(key.clone(), value.clone());
    }
    for toleration in scheduling.tolerations.iter().flatten() {
        let own = spec.tolerations.get_or_insert_default();
        if !own.iter().any(|own| covers(own, toleration)) {
            own.retain(|own| !covers(toleration, own));
            own.push(toleration.clone());
        }
    }
    Ok(())
}

/// Does `a` tolerate all that `b` does?
fn covers(a: &Toleration, b: &Toleration) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let exists = |toleration: &Toleration| toleration.operator.as_deref() == Some("Exists");
    if a == b {
        return true;
    }
    let key = text(&a.key) == text(&b.key) || (text(&a.key).is_empty() && exists(a));
    let effect = text(&a.effect) == text(&b.effect) || text(&a.effect).is_empty();
    let value = exists(a) || (!exists(b) && text(&a.value) == text(&b.value));
    let time = match (a.toleration_seconds, b.toleration_seconds) {
        (None, _) => true,
        (Some(a), Some(b)) => a >= b,
        (Some(_), None) => false,
    };
    key && effect && value && time
}
