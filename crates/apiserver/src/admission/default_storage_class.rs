//! DefaultStorageClass: a claim that names no class gets the default one: the newest, should several be marked.
use super::object::edit;
use super::{Context, Step, about};
use crate::own_writes::list;
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use machinery::object::AnyObject;
use machinery::status::Status;
use std::cmp::Reverse;
use std::sync::Arc;
use store::Store;

const MARKS: [&str; 2] = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub struct DefaultStorageClass {
    store: Arc<dyn Store>,
}

impl DefaultStorageClass {
    pub fn new(context: &Context) -> DefaultStorageClass {
        DefaultStorageClass { store: context.store.clone() }
    }
}

#[async_trait]
impl Step for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Create && about(request, "", "persistentvolumeclaims")
    }

    async fn mutate(&self, _: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        let classes = list::<StorageClass>(&*self.store, "/registry/storageclasses/").await?;
        let marked = |class: &Arc<StorageClass>| {
            let annotations = class.metadata.annotations.as_ref();
            annotations.is_some_and(|all| MARKS.iter().any(|mark| all.get(*mark).is_some_and(|value| value == "true")))
        };
        let newest = |class: &Arc<StorageClass>| {
            (Reverse(class.metadata.creation_timestamp.as_ref().map(|time| time.0)), class.metadata.name.clone())
        };
        let Some(class) = classes.into_iter().filter(marked).min_by_key(newest) else { return Ok(()) };
        edit::<PersistentVolumeClaim>(object, |claim| {
            let annotated = claim.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(OLD_CLASS));
            let spec = claim.spec.get_or_insert_default();
            if !annotated && spec.storage_class_name.is_none() {
                spec.storage_class_name = class.metadata.name.clone();
            }
            Ok(())
        })
    }
}
