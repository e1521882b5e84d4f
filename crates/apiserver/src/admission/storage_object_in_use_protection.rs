//! StorageObjectInUseProtection: claims, volumes and attribute classes get a finalizer that a controller takes away once nobody
//! uses them.
use super::{Step, about};
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use machinery::object::AnyObject;
use machinery::status::Status;

pub struct StorageObjectInUseProtection;

fn finalizer(request: &AdmissionRequest<'_>) -> Option<&'static str> {
    let by_resource = [
        ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
        ("", "persistentvolumes", "kubernetes.io/pv-protection"),
        ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
    ];
    by_resource.into_iter().find(|(group, resource, _)| about(request, group, resource)).map(|(.., finalizer)| finalizer)
}

#[async_trait]
impl Step for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Create && finalizer(request).is_some()
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        let Some(finalizer) = finalizer(request) else { return Ok(()) };
        let own = object.meta_mut().finalizers.get_or_insert_default();
        if !own.iter().any(|own| own == finalizer) {
            own.push(finalizer.into());
        }
        Ok(())
    }
}
