//! PersistentVolumeClaimResize: only bound claims of a class that allows it may grow.
use super::amounts::amounts;
use super::object::view;
use super::{Context, Step, about, refuse};
use crate::own_writes::find;
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use machinery::object::AnyObject;
use machinery::quantity::Quantity;
use machinery::status::Status;
use std::sync::Arc;
use store::Store;

const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub struct PersistentVolumeClaimResize {
    store: Arc<dyn Store>,
}

impl PersistentVolumeClaimResize {
    pub fn new(context: &Context) -> PersistentVolumeClaimResize {
        PersistentVolumeClaimResize { store: context.store.clone() }
    }

    async fn grows(&self, class: &str) -> Result<bool, Status> {
        let class = find::<StorageClass>(&*self.store, &format!("/registry/storageclasses/{class}")).await?;
        Ok(class.and_then(|class| class.allow_volume_expansion).unwrap_or(false))
    }
}

#[async_trait]
impl Step for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Update && about(request, "", "persistentvolumeclaims")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let (Some(new), Some(old)) = (object.and_then(view::<PersistentVolumeClaim>), request.old.and_then(view::<PersistentVolumeClaim>))
        else {
            return Ok(());
        };
        if size(&new) <= size(&old) {
            return Ok(());
        }
        if old.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound") {
            return Err(refuse(request, object, "Only bound persistent volume claims can be expanded"));
        }
        let (class, before) = (class_of(&new), class_of(&old));
        if class.is_empty() || class != before || !self.grows(&class).await? {
            let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
            return Err(refuse(request, object, why));
        }
        Ok(())
    }
}

fn size(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let requests = resources.map(|resources| amounts(&resources.requests)).unwrap_or_default();
    requests.get("storage").cloned().unwrap_or(Quantity::ZERO)
}

fn class_of(claim: &PersistentVolumeClaim) -> String {
    let annotated = claim.metadata.annotations.as_ref().and_then(|all| all.get(OLD_CLASS)).cloned();
    annotated.or_else(|| claim.spec.as_ref()?.storage_class_name.clone()).unwrap_or_default()
}
