//! The check that nobody hands out more rights than he has, as a step of the chain.
use super::{Context, Step, writes};
use crate::authorize::Authorizers;
use crate::authorize::rbac::{GROUP, escalation};
use crate::request::AdmissionRequest;
use async_trait::async_trait;
use machinery::object::AnyObject;
use machinery::status::Status;
use std::sync::Arc;

pub struct Escalation {
    authorizers: Arc<Authorizers>,
}

impl Escalation {
    pub fn new(context: &Context) -> Escalation {
        Escalation { authorizers: context.authorizers.clone() }
    }
}

#[async_trait]
impl Step for Escalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        writes(request) && request.attributes.group == GROUP
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        escalation::check(request, &**object, &self.authorizers.rbac, &*self.authorizers).await
    }
}
