//! A kubelet and its node object.
use super::labels::forbidden;
use super::name_of;
use crate::admission::object::view;
use crate::request::{AdmissionRequest, Operation};
use k8s_openapi::api::core::v1::Node;
use machinery::object::AnyObject;

pub fn check(request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>, node: &str) -> Result<(), String> {
    let name = name_of(request, object);
    if name != node {
        return Err(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let Some(new) = object.and_then(view::<Node>) else { return Ok(()) };
    let source = |node: &Node| node.spec.as_ref().and_then(|spec| spec.config_source.clone());
    if request.operation == Operation::Create {
        if source(&new).is_some() {
            return Err(format!("node {node:?} is not allowed to create pods with a non-nil configSource"));
        }
        let labels = forbidden(&new.metadata.labels, &None);
        return match labels.is_empty() {
            true => Ok(()),
            false => Err(format!("node {node:?} is not allowed to set the following labels: {}", labels.join(", "))),
        };
    }
    let Some(old) = request.old.and_then(view::<Node>) else { return Ok(()) };
    if source(&new).is_some() && source(&new) != source(&old) {
        return Err(format!("node {node:?} is not allowed to update configSource to a new non-nil configSource"));
    }
    let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    if taints(&new) != taints(&old) {
        return Err(format!("node {node:?} is not allowed to modify taints"));
    }
    let owners = |node: &Node| node.metadata.owner_references.clone().unwrap_or_default();
    if owners(&new) != owners(&old) {
        return Err(format!("node {node:?} is not allowed to modify ownerReferences"));
    }
    let labels = forbidden(&new.metadata.labels, &old.metadata.labels);
    if labels.is_empty() { Ok(()) } else { Err(format!("is not allowed to modify labels: {}", labels.join(", "))) }
}
