//! NodeRestriction: what kubelets may write: their own node (without the labels and taints that steer pods), their own lease, mirror
//! pods bound to themselves, the status of their pods, tokens for their pods.
mod labels;
mod own_node;
mod pods;
mod tokens;

use super::object::view;
use super::{Context, Step, refuse};
use crate::authorize::node::node_name;
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::resource::v1::ResourceSlice;
use machinery::object::AnyObject;
use machinery::status::Status;
use pki::SigningRequest;
use serde_json::Value;

const LEASE_NAMESPACE: &str = "kube-node-lease";
const KUBELET_SIGNERS: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

pub struct NodeRestriction {
    context: Context,
}

impl NodeRestriction {
    pub fn new(context: &Context) -> NodeRestriction {
        NodeRestriction { context: context.clone() }
    }

    async fn check(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let attributes = request.attributes;
        let Some(node) = node_name(&attributes.user) else { return Ok(()) };
        let refused = |why: String| refuse(request, object, why);
        if node.is_empty() {
            return Err(refused(format!("could not determine node from user {:?}", attributes.user.user)));
        }
        match (attributes.group.as_str(), attributes.resource.as_str(), attributes.subresource.as_str()) {
            ("", "pods", _) => pods::check(&self.context, request, object, node).await,
            ("", "nodes", _) => own_node::check(request, object, node).map_err(refused),
            ("", "persistentvolumeclaims", "status") => claim_status(request, object, node).map_err(refused),
            ("", "persistentvolumeclaims", _) => Err(refused("may only update PVC status".into())),
            ("", "serviceaccounts", "token") => tokens::check(&self.context, request, object, node).await,
            ("coordination.k8s.io", "leases", _) => lease(request, object, node).map_err(refused),
            ("storage.k8s.io", "csinodes", _) => {
                own_name(request, object, node, "can only access CSINode with the same name as the requesting node").map_err(refused)
            }
            ("resource.k8s.io", "resourceslices", _) => slice(request, object, node).map_err(refused),
            ("certificates.k8s.io", "certificatesigningrequests", "") => signing_request(request, object, node).map_err(refused),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Step for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation != Operation::Connect && node_name(&request.attributes.user).is_some()
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        self.check(request, Some(&**object)).await
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, _: Option<&dyn AnyObject>) -> Result<(), Status> {
        // What is created or changed was looked at before; deletions come here alone.
        match request.operation {
            Operation::Delete => self.check(request, None).await,
            _ => Ok(()),
        }
    }
}

/// The name that the request is about.
fn name_of<'a>(request: &'a AdmissionRequest<'_>, object: Option<&'a dyn AnyObject>) -> &'a str {
    let own = object.and_then(|object| object.meta().name.as_deref()).unwrap_or_default();
    if request.attributes.name.is_empty() { own } else { &request.attributes.name }
}

fn own_name(request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>, node: &str, why: &str) -> Result<(), String> {
    if name_of(request, object) == node { Ok(()) } else { Err(why.into()) }
}

fn lease(request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>, node: &str) -> Result<(), String> {
    if request.attributes.namespace != LEASE_NAMESPACE {
        return Err(format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace"));
    }
    own_name(request, object, node, "can only access node lease with the same name as the requesting node")
}

fn slice(request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>, node: &str) -> Result<(), String> {
    let own = |object: Option<&dyn AnyObject>| object.and_then(view::<ResourceSlice>).and_then(|slice| slice.spec.node_name.clone());
    let (name, verb) = match request.operation {
        Operation::Create => (own(object), "create"),
        Operation::Delete => (own(request.old), "delete"),
        _ => return Ok(()),
    };
    match name.as_deref() == Some(node) {
        true => Ok(()),
        false => Err(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node")),
    }
}

fn signing_request(request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>, node: &str) -> Result<(), String> {
    let csr = object.and_then(view::<CertificateSigningRequest>).filter(|_| request.operation == Operation::Create);
    let Some(csr) = csr.filter(|csr| KUBELET_SIGNERS.contains(&csr.spec.signer_name.as_str())) else { return Ok(()) };
    let parsed =
        SigningRequest::from_pem(&String::from_utf8_lossy(&csr.spec.request.0)).map_err(|error| format!("unable to parse csr: {error}"))?;
    let wanted = format!("system:node:{node}");
    if parsed.subject.user == wanted { Ok(()) } else { Err(format!("can only create a node CSR with CN={wanted}")) }
}

fn claim_status(request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>, node: &str) -> Result<(), String> {
    if request.operation != Operation::Update {
        return Err(format!("unexpected operation {:?}", request.operation.name()));
    }
    let bare = |object: Option<&dyn AnyObject>| {
        let mut claim = object.and_then(view::<PersistentVolumeClaim>)?.into_owned();
        claim.metadata.resource_version = None;
        claim.metadata.managed_fields = None;
        let status = claim.status.get_or_insert_default();
        status.capacity = None;
        status.conditions = None;
        status.allocated_resource_statuses = None;
        status.allocated_resources = None;
        serde_json::to_value(claim).ok()
    };
    let (new, old): (Option<Value>, Option<Value>) = (bare(object), bare(request.old));
    match new == old {
        true => Ok(()),
        false => Err(format!("node {node:?} is not allowed to update fields other than status.quantity and status.conditions")),
    }
}
