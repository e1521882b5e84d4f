//! DefaultIngressClass: an ingress that names no class gets the default one: the newest, should several be marked.
use super::object::edit;
use super::{Context, Step, about};
use crate::own_writes::list;
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use machinery::object::AnyObject;
use machinery::status::Status;
use std::cmp::Reverse;
use std::sync::Arc;
use store::Store;

const MARK: &str = "ingressclass.kubernetes.io/is-default-class";
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

pub struct DefaultIngressClass {
    store: Arc<dyn Store>,
}

impl DefaultIngressClass {
    pub fn new(context: &Context) -> DefaultIngressClass {
        DefaultIngressClass { store: context.store.clone() }
    }
}

#[async_trait]
impl Step for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Create && about(request, "networking.k8s.io", "ingresses")
    }

    async fn mutate(&self, _: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        let classes = list::<IngressClass>(&*self.store, "/registry/ingressclasses/").await?;
        let marked = |class: &Arc<IngressClass>| {
            class.metadata.annotations.as_ref().and_then(|all| all.get(MARK)).is_some_and(|value| value == "true")
        };
        let newest = |class: &Arc<IngressClass>| {
            (Reverse(class.metadata.creation_timestamp.as_ref().map(|time| time.0)), class.metadata.name.clone())
        };
        let Some(class) = classes.into_iter().filter(marked).min_by_key(newest) else { return Ok(()) };
        edit::<Ingress>(object, |ingress| {
            let annotated = ingress.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(OLD_CLASS));
            let spec = ingress.spec.get_or_insert_default();
            if !annotated && spec.ingress_class_name.is_none() {
                spec.ingress_class_name = class.metadata.name.clone();
            }
            Ok(())
        })
    }
}
