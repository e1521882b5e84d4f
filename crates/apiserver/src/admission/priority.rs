//! Priority: a pod's priority and preemption policy come from its class, or from the one that is the global default.
use super::object::{edit, view};
use super::{Context, Step, about, refuse, writes};
use crate::own_writes::{find, list};
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use machinery::object::AnyObject;
use machinery::status::Status;
use std::sync::Arc;
use store::Store;

const PREFIX: &str = "/registry/priorityclasses/";
const GROUP: &str = "scheduling.k8s.io";
const LOWER_FIRST: &str = "PreemptLowerPriority";

pub struct Priority {
    store: Arc<dyn Store>,
}

impl Priority {
    pub fn new(context: &Context) -> Priority {
        Priority { store: context.store.clone() }
    }

    /// The default class with the lowest value, should there be several.
    async fn default_class(&self) -> Result<Option<Arc<PriorityClass>>, Status> {
        let all = list::<PriorityClass>(&*self.store, PREFIX).await?;
        Ok(all.into_iter().filter(|class| class.global_default == Some(true)).min_by_key(|class| class.value))
    }

    async fn class(&self, request: &AdmissionRequest<'_>, object: &dyn AnyObject, name: &str) -> Result<Arc<PriorityClass>, Status> {
        let found = find::<PriorityClass>(&*self.store, &format!("{PREFIX}{name}")).await?;
        found.ok_or_else(|| refuse(request, Some(object), format!("no PriorityClass with name {name} was found")))
    }
}

#[async_trait]
impl Step for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        writes(request) && (about(request, "", "pods") || about(request, GROUP, "priorityclasses"))
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        let Some(pod) = view::<Pod>(&**object) else { return Ok(()) };
        if request.operation == Operation::Update {
            keep(object, request.old);
            return Ok(());
        }
        let asked = pod.spec.as_ref().and_then(|spec| spec.priority_class_name.clone()).filter(|name| !name.is_empty());
        let (name, value, policy) = match asked {
            Some(name) => {
                let class = self.class(request, &**object, &name).await?;
                (Some(name), class.value.unwrap_or(0), class.preemption_policy.clone())
            }
            None => match self.default_class().await? {
                Some(class) => (class.metadata.name.clone(), class.value.unwrap_or(0), class.preemption_policy.clone()),
                None => (None, 0, Some(LOWER_FIRST.to_string())),
            },
        };
        let mut refusal = None;
        edit::<Pod>(object, |pod| {
            refusal = resolve(pod.spec.get_or_insert_default(), name, value, policy).err();
            Ok(())
        })?;
        refusal.map_or(Ok(()), |why| Err(refuse(request, Some(&**object), why)))
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let Some((object, class)) = object.and_then(|object| Some((object, view::<PriorityClass>(object)?))) else { return Ok(()) };
        if request.attributes.resource != "priorityclasses" || class.global_default != Some(true) {
            return Ok(());
        }
        match self.default_class().await? {
            Some(other) if request.operation == Operation::Create || other.metadata.name != class.metadata.name => {
                let name = other.metadata.name.as_deref().unwrap_or_default();
                let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
                Err(refuse(request, Some(object), why))
            }
            _ => Ok(()),
        }
    }
}

fn resolve(spec: &mut k8s_openapi::api::core::v1::PodSpec, name: Option<String>, value: i32, policy: Option<String>) -> Result<(), String> {
    if let Some(own) = spec.priority.filter(|own| *own != value) {
        return Err(format!(
            "the integer value of priority ({own}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        ));
    }
    if let (Some(own), Some(policy)) = (&spec.preemption_policy, &policy)
        && own != policy
    {
        return Err(format!(
            "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        ));
    }
    spec.priority_class_name = name;
    spec.priority = Some(value);
    if policy.is_some() {
        spec.preemption_policy = policy;
    }
    Ok(())
}

/// Clients that do not know the fields leave them out when they update.
fn keep(object: &mut Box<dyn AnyObject>, old: Option<&dyn AnyObject>) {
    let Some(old) = old.and_then(view::<Pod>).and_then(|old| old.spec.clone()) else { return };
    let _ = edit::<Pod>(object, |pod| {
        let spec = pod.spec.get_or_insert_default();
        spec.priority = spec.priority.or(old.priority);
        spec.preemption_policy = spec.preemption_policy.take().or_else(|| old.preemption_policy.clone());
        Ok(())
    });
}
