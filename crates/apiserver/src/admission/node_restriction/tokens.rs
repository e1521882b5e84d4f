//! A kubelet and tokens: only for pods that run on it, and only for audiences that the pod mounts.
use crate::admission::{Context, refuse};
use crate::own_writes::find;
use crate::request::{AdmissionRequest, Attributes, Authorizer, Decision, Operation};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use k8s_openapi::api::storage::v1::CSIDriver;
use machinery::object::AnyObject;
use machinery::status::Status;

pub async fn check(context: &Context, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>, node: &str) -> Result<(), Status> {
    let Some(object) = object.filter(|_| request.operation == Operation::Create) else { return Ok(()) };
    let refused = |why: &str| request.forbidden("", why);
    let spec = object.to_value()["spec"].clone();
    let reference = |key: &str| spec["boundObjectRef"][key].as_str().unwrap_or_default();
    let (name, uid) = (reference("name"), reference("uid"));
    if reference("apiVersion") != "v1" || reference("kind") != "Pod" || name.is_empty() {
        return Err(refused("node requested token not bound to a pod"));
    }
    if uid.is_empty() {
        return Err(refused("node requested token with a pod binding without a uid"));
    }
    let namespace = &request.attributes.namespace;
    let pod = find::<Pod>(&*context.store, &format!("/registry/pods/{namespace}/{name}")).await?;
    let pod = pod.ok_or_else(|| Status::not_found("", "pods", name))?;
    if pod.metadata.uid.as_deref() != Some(uid) {
        return Err(refused(&format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        )));
    }
    if pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) != Some(node) {
        return Err(refused("node requested token bound to a pod scheduled on a different node"));
    }
    let audiences: Vec<&str> = spec["audiences"].as_array().into_iter().flatten().filter_map(|audience| audience.as_str()).collect();
    let audience = match audiences.as_slice() {
        [] => "",
        [one] => one,
        _ => return Err(refused("node may only request 0 or 1 audiences")),
    };
    if mounts(context, &pod, audience).await? || authorized(context, request, audience).await {
        return Ok(());
    }
    let user = &request.attributes.user.user;
    Err(refuse(request, Some(object), format!("{user} is not authorized to request tokens for audience {audience:?}")))
}

async fn mounts(context: &Context, pod: &Pod, audience: &str) -> Result<bool, Status> {
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let sources = volume.projected.iter().flat_map(|source| source.sources.iter().flatten());
        let mut tokens = sources.filter_map(|source| source.service_account_token.as_ref());
        if tokens.any(|token| token.audience.as_deref().unwrap_or_default() == audience) {
            return Ok(true);
        }
        let Some(driver) = driver(context, pod, volume).await? else { continue };
        let found = find::<CSIDriver>(&*context.store, &format!("/registry/csidrivers/{driver}")).await?;
        let mut requests = found.iter().flat_map(|driver| driver.spec.token_requests.iter().flatten());
        if requests.any(|request| request.audience == audience) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The CSI driver behind a volume.
async fn driver(context: &Context, pod: &Pod, volume: &Volume) -> Result<Option<String>, Status> {
    if let Some(csi) = &volume.csi {
        return Ok(Some(csi.driver.clone()));
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let ephemeral = volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name));
    let claim = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone()).or(ephemeral);
    let Some(claim) = claim else { return Ok(None) };
    let key = format!("/registry/persistentvolumeclaims/{namespace}/{claim}");
    let claim = find::<PersistentVolumeClaim>(&*context.store, &key).await?;
    let Some(name) = claim.and_then(|claim| claim.spec.as_ref()?.volume_name.clone()) else { return Ok(None) };
    let volume = find::<PersistentVolume>(&*context.store, &format!("/registry/persistentvolumes/{name}")).await?;
    Ok(volume.and_then(|volume| Some(volume.spec.as_ref()?.csi.as_ref()?.driver.clone())))
}

async fn authorized(context: &Context, request: &AdmissionRequest<'_>, audience: &str) -> bool {
    let attributes = request.attributes;
    let question = Attributes {
        verb: "request-serviceaccounts-token-audience".into(),
        resource: audience.into(),
        subresource: String::new(),
        ..attributes.clone()
    };
    context.authorizers.authorize(&question).await == Decision::Allow
}
