//! The admission chain: small steps in the original's order, each a file. The first half of a request's admission may change the
//! object (`mutate`), the second only refuses (`validate`). Steps read the store's memory; none of them asks another server.
pub mod amounts;
pub mod certificates;
pub mod default_ingress_class;
pub mod default_storage_class;
pub mod default_toleration_seconds;
pub mod escalation;
pub mod limit_ranger;
pub mod namespace_lifecycle;
pub mod node_restriction;
pub mod object;
pub mod persistent_volume_claim_resize;
pub mod pod_security;
pub mod priority;
pub mod resource_quota;
pub mod runtime_class;
pub mod service_account;
pub mod service_allocator;
pub mod storage_object_in_use_protection;
pub mod taint_nodes_by_condition;

use crate::authorize::Authorizers;
use crate::request::{Admission, AdmissionRequest, Operation};
use async_trait::async_trait;
use machinery::object::AnyObject;
use machinery::status::Status;
use std::sync::Arc;
use stdx::clock::Clock;
use stdx::random::Random;
use store::Store;

/// What the steps work with.
#[derive(Clone)]
pub struct Context {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub random: Random,
    pub authorizers: Arc<Authorizers>,
}

/// One step. Both halves do nothing unless a step says otherwise.
#[async_trait]
pub trait Step: Send + Sync {
    /// As the original calls it, in `--disable-admission-plugins` and elsewhere.
    fn name(&self) -> &'static str;
    /// Whether the step looks at such requests at all; cheap.
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool;
    async fn mutate(&self, _: &AdmissionRequest<'_>, _: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        Ok(())
    }
    async fn validate(&self, _: &AdmissionRequest<'_>, _: Option<&dyn AnyObject>) -> Result<(), Status> {
        Ok(())
    }
}

pub struct Chain {
    steps: Vec<Box<dyn Step>>,
}

impl Chain {
    /// The steps that the original has on by default, without those that `disabled` names.
    pub fn new(context: &Context, services: service_allocator::Settings, disabled: &[String]) -> Chain {
        let mut steps: Vec<Box<dyn Step>> = vec![
            Box::new(namespace_lifecycle::NamespaceLifecycle::new(context)),
            Box::new(limit_ranger::LimitRanger::new(context)),
            Box::new(service_account::ServiceAccountStep::new(context)),
            Box::new(node_restriction::NodeRestriction::new(context)),
            Box::new(taint_nodes_by_condition::TaintNodesByCondition),
            Box::new(pod_security::PodSecurity::new(context)),
            Box::new(priority::Priority::new(context)),
            Box::new(default_toleration_seconds::DefaultTolerationSeconds),
            Box::new(default_storage_class::DefaultStorageClass::new(context)),
            Box::new(storage_object_in_use_protection::StorageObjectInUseProtection),
            Box::new(persistent_volume_claim_resize::PersistentVolumeClaimResize::new(context)),
            Box::new(runtime_class::RuntimeClassStep::new(context)),
            Box::new(certificates::CertificateApproval::new(context)),
            Box::new(certificates::CertificateSigning::new(context)),
            Box::new(certificates::ClusterTrustBundleAttest::new(context)),
            Box::new(certificates::CertificateSubjectRestriction),
            Box::new(default_ingress_class::DefaultIngressClass::new(context)),
        ];
        // Last, because what it takes is not given back when a later step refuses.
        steps.push(Box::new(resource_quota::ResourceQuotaStep::new(context)));
        steps.retain(|step| !disabled.iter().any(|name| name == step.name()));
        // Not plugins in the original but parts of the resources themselves: they cannot be turned off. They only change or refuse
        // in the first half, so that quota has the last word.
        steps.push(Box::new(escalation::Escalation::new(context)));
        steps.push(Box::new(service_allocator::ServiceAllocator::new(context, services)));
        Chain { steps }
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.steps.iter().map(|step| step.name()).collect()
    }
}

#[async_trait]
impl Admission for Chain {
    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        for step in self.steps.iter().filter(|step| step.concerns(request)) {
            step.mutate(request, object).await?;
        }
        Ok(())
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        for step in self.steps.iter().filter(|step| step.concerns(request)) {
            step.validate(request, object).await?;
        }
        Ok(())
    }
}

/// Is the request about this resource (`group`, `resource/subresource`)?
pub(crate) fn about(request: &AdmissionRequest<'_>, group: &str, resource: &str) -> bool {
    let attributes = request.attributes;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    attributes.resource == resource && attributes.subresource == subresource && attributes.group == group
}

pub(crate) fn writes(request: &AdmissionRequest<'_>) -> bool {
    matches!(request.operation, Operation::Create | Operation::Update)
}

/// `forbidden` about the object of the request.
pub(crate) fn refuse(request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>, why: impl AsRef<str>) -> Status {
    let meta = object.or(request.old).map(|object| object.meta());
    let name = meta.and_then(|meta| meta.name.as_deref().or(meta.generate_name.as_deref()));
    request.forbidden(name.unwrap_or_default(), why.as_ref())
}

#[cfg(test)]
mod tests;
