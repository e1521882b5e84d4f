//! A kubelet and pods: it makes and removes mirror pods of its own, writes the status of its pods, and evicts them.
use super::name_of;
use crate::admission::object::view;
use crate::admission::{Context, refuse};
use crate::authorize::node::graph::{Kind, references};
use crate::own_writes::find;
use crate::request::{AdmissionRequest, Operation};
use k8s_openapi::api::core::v1::{Node, Pod};
use machinery::object::AnyObject;
use machinery::status::Status;

const MIRROR: &str = "kubernetes.io/config.mirror";

pub async fn check(context: &Context, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>, node: &str) -> Result<(), Status> {
    let operation = request.operation;
    let refused = |why: String| refuse(request, object, why);
    match (request.attributes.subresource.as_str(), operation) {
        ("", Operation::Create) => {
            let Some(pod) = object.and_then(view::<Pod>) else { return Err(refused("unexpected type".into())) };
            check_mirror(&pod, node).map_err(refused)?;
            check_owner(context, &pod, node).await?.map_err(refused)?;
            match referenced(&pod) {
                None => Ok(()),
                Some(what) => Err(refused(format!("node {node:?} can not create pods that reference {what}"))),
            }
        }
        ("", Operation::Delete) => match existing(context, request, object).await? {
            pod if bound_to(&pod, node) => Ok(()),
            _ => Err(refused(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))),
        },
        ("", other) => {
            Err(refused(format!("unexpected operation {:?}, node {node:?} can only create and delete mirror pods", other.name())))
        }
        ("status", Operation::Update) => check_status(request, object, node).map_err(refused),
        ("eviction", Operation::Create) => match existing(context, request, object).await? {
            pod if bound_to(&pod, node) => Ok(()),
            _ => Err(refused(format!("node {node} can only evict pods with spec.nodeName set to itself"))),
        },
        ("status" | "eviction", other) => Err(refused(format!("unexpected operation {:?}", other.name()))),
        (other, _) => Err(refused(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))),
    }
}

async fn existing(
    context: &Context,
    request: &AdmissionRequest<'_>,
    object: Option<&dyn AnyObject>,
) -> Result<std::sync::Arc<Pod>, Status> {
    let (namespace, name) = (&request.attributes.namespace, name_of(request, object));
    let pod = find::<Pod>(&*context.store, &format!("/registry/pods/{namespace}/{name}")).await?;
    pod.ok_or_else(|| Status::not_found("", "pods", name))
}

fn bound_to(pod: &Pod, node: &str) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node)
}

fn check_mirror(pod: &Pod, node: &str) -> Result<(), String> {
    if !pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(MIRROR)) {
        return Err(format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"));
    }
    if !bound_to(pod, node) {
        return Err(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    Ok(())
}

/// The inner result says why it is refused.
async fn check_owner(context: &Context, pod: &Pod, node: &str) -> Result<Result<(), String>, Status> {
    let owner = match pod.metadata.owner_references.as_deref().unwrap_or_default() {
        [owner] => owner,
        [] => return Ok(Err(format!("node {node:?} can only create pods with an owner reference set to itself"))),
        _ => return Ok(Err(format!("node {node:?} can only create pods with a single owner reference set to itself"))),
    };
    if owner.api_version != "v1" || owner.kind != "Node" || owner.name != node {
        return Ok(Err(format!("node {node:?} can only create pods with an owner reference set to itself")));
    }
    if owner.controller != Some(true) {
        return Ok(Err(format!("node {node:?} can only create pods with a controller owner reference set to itself")));
    }
    if owner.block_owner_deletion == Some(true) {
        return Ok(Err(format!("node {node:?} must not set blockOwnerDeletion on an owner reference")));
    }
    let found = find::<Node>(&*context.store, &format!("/registry/minions/{node}")).await?;
    let uid = found.ok_or_else(|| Status::not_found("", "nodes", node))?.metadata.uid.clone().unwrap_or_default();
    Ok(match owner.uid == uid {
        true => Ok(()),
        false => Err(format!("node {node} UID mismatch: expected {} got {uid}", owner.uid)),
    })
}

/// What of the API the pod refers to, in the original's words.
fn referenced(pod: &Pod) -> Option<&'static str> {
    let spec = pod.spec.as_ref()?;
    if spec.service_account_name.as_deref().is_some_and(|name| !name.is_empty()) {
        return Some("serviceaccounts");
    }
    let named = references(pod);
    if named.iter().any(|(kind, _)| *kind == Kind::Secret) {
        return Some("secrets");
    }
    if named.iter().any(|(kind, _)| *kind == Kind::ConfigMap) {
        return Some("configmaps");
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Some("resourceclaims");
    }
    spec.volumes.iter().flatten().find_map(|volume| {
        let projected = volume.projected.iter().flat_map(|source| source.sources.iter().flatten());
        let inside = projected.into_iter().find_map(|source| {
            let token = source.service_account_token.as_ref().map(|_| "serviceaccounts (via projected volumes)");
            let bundle = source.cluster_trust_bundle.as_ref().map(|_| "clustertrustbundles");
            token.or(bundle).or(source.pod_certificate.as_ref().map(|_| "podcertificates"))
        });
        let csi = volume.csi.as_ref().map(|_| "csidrivers (via CSI volumes)");
        let glusterfs = volume.glusterfs.as_ref().map(|_| "endpoints (via glusterFS volumes)");
        let claim = volume.persistent_volume_claim.as_ref().map(|_| "persistentvolumeclaims");
        let ephemeral = volume.ephemeral.as_ref().map(|_| "persistentvolumeclaims (via ephemeral volumes)");
        inside.or(csi).or(glusterfs).or(claim).or(ephemeral)
    })
}

fn check_status(request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>, node: &str) -> Result<(), String> {
    let (Some(old), Some(new)) = (request.old.and_then(view::<Pod>), object.and_then(view::<Pod>)) else {
        return Err("unexpected type".into());
    };
    if !bound_to(&old, node) {
        return Err(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
    }
    if old.metadata.labels.clone().unwrap_or_default() != new.metadata.labels.clone().unwrap_or_default() {
        return Err(format!("node {node:?} cannot update labels through pod status"));
    }
    let (before, after) = (old.status.clone().unwrap_or_default(), new.status.clone().unwrap_or_default());
    if before.resource_claim_statuses.unwrap_or_default() != after.resource_claim_statuses.unwrap_or_default() {
        return Err(format!("node {node:?} cannot update resource claim statues"));
    }
    if before.extended_resource_claim_status != after.extended_resource_claim_status {
        return Err(format!("node {node:?} cannot update extended resource claim status"));
    }
    Ok(())
}
