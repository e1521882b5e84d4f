//! NamespaceLifecycle: nothing is made in a namespace that is not there or is ending; the system's namespaces stay.
use super::{Context, Step, refuse};
use crate::own_writes::find;
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace;
use machinery::object::AnyObject;
use machinery::status::{Cause, Status};
use std::sync::Arc;
use store::Store;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub struct NamespaceLifecycle {
    store: Arc<dyn Store>,
}

impl NamespaceLifecycle {
    pub fn new(context: &Context) -> NamespaceLifecycle {
        NamespaceLifecycle { store: context.store.clone() }
    }
}

#[async_trait]
impl Step for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        let attributes = request.attributes;
        let namespace_itself = attributes.group.is_empty() && attributes.resource == "namespaces";
        match request.operation {
            Operation::Delete => namespace_itself && IMMORTAL.contains(&attributes.name.as_str()),
            Operation::Create => {
                !attributes.namespace.is_empty() && !namespace_itself && attributes.resource != "localsubjectaccessreviews"
            }
            _ => false,
        }
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        let namespace = &request.attributes.namespace;
        let Some(found) = find::<Namespace>(&*self.store, &format!("/registry/namespaces/{namespace}")).await? else {
            return Err(Status::not_found("", "namespaces", namespace));
        };
        if found.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Terminating") {
            return Ok(());
        }
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut status = refuse(request, Some(&**object), why);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause {
                reason: "NamespaceTerminating".into(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".into(),
            });
        }
        Err(status)
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, _: Option<&dyn AnyObject>) -> Result<(), Status> {
        match request.operation {
            Operation::Delete => Err(request.forbidden("", "this namespace may not be deleted")),
            _ => Ok(()),
        }
    }
}
