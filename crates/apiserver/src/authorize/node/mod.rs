//! What kubelets may do: their own node, lease and pods, and of secrets, config maps, claims, volumes and service accounts only
//! those that their pods use. It has no opinion about anybody else.
pub mod graph;

use super::rbac::defaults::defaults;
use super::rbac::rule::Rule;
use crate::follow::Follower;
use crate::request::{Attributes, Decision};
use graph::{Graph, Kind};
use std::sync::Arc;
use store::Store;

const LEASE_NAMESPACE: &str = "kube-node-lease";
const PREFIXES: [&str; 5] = [
    "/registry/pods/",
    "/registry/persistentvolumes/",
    "/registry/volumeattachments/",
    "/registry/resourceslices/",
    "/registry/podcertificaterequests/",
];

pub struct NodeAuthorizer {
    follower: Follower<Graph>,
    /// What every node may do, whichever its pods.
    rules: Vec<Rule>,
}

/// The name of the node that a user speaks for: empty if he is in the group but has no node's name.
pub fn node_name(user: &client::Identity) -> Option<&str> {
    user.in_group("system:nodes").then(|| user.user.strip_prefix("system:node:").unwrap_or_default())
}

impl NodeAuthorizer {
    pub fn new(store: Arc<dyn Store>) -> NodeAuthorizer {
        let role = defaults().cluster_roles.into_iter().find(|role| role.metadata.name.as_deref() == Some("system:node"));
        let rules = role.and_then(|role| role.rules).unwrap_or_default().iter().map(Rule::from).collect();
        NodeAuthorizer { follower: Follower::new(store, PREFIXES.map(String::from).into()), rules }
    }

    pub async fn authorize(&self, attributes: &Attributes) -> Decision {
        let Some(node) = node_name(&attributes.user) else { return no_opinion() };
        if node.is_empty() {
            return deny(format!("unknown node for user {:?}", attributes.user.user));
        }
        match decide(node, attributes) {
            Opinion::Allow => Decision::Allow,
            Opinion::Deny(reason) => deny(reason),
            Opinion::Rules if self.rules.iter().any(|rule| rule.allows(attributes)) => Decision::Allow,
            Opinion::Rules => no_opinion(),
            Opinion::Related(kind) => self.related(node, kind, attributes).await,
        }
    }

    async fn related(&self, node: &str, kind: Kind, attributes: &Attributes) -> Decision {
        let Attributes { namespace, name, .. } = attributes;
        if name.is_empty() {
            return deny("No Object name found".into());
        }
        match self.follower.read(|graph| graph.reaches(node, kind, namespace, name)).await {
            Ok(true) => Decision::Allow,
            Ok(false) => deny(format!("no relationship found between node '{node}' and this object")),
            Err(error) => deny(error.to_string()),
        }
    }
}

/// What the request alone tells; `Related` leaves the answer to the graph, `Rules` to the rules of all nodes.
#[derive(Debug, PartialEq, Eq)]
enum Opinion {
    Allow,
    Deny(String),
    Related(Kind),
    Rules,
}

fn no_opinion() -> Decision {
    Decision::Deny(String::new())
}

fn deny(reason: String) -> Decision {
    Decision::Deny(reason)
}

fn decide(node: &str, attributes: &Attributes) -> Opinion {
    if !attributes.is_resource {
        return Opinion::Rules;
    }
    let (verb, subresource) = (attributes.verb.as_str(), attributes.subresource.as_str());
    match (attributes.group.as_str(), attributes.resource.as_str()) {
        ("", "secrets") => read(Kind::Secret, attributes),
        ("", "configmaps") => read(Kind::ConfigMap, attributes),
        ("", "persistentvolumeclaims") if subresource == "status" => match verb {
            "update" | "patch" => Opinion::Related(Kind::Claim),
            _ => because("can only get/update/patch this type"),
        },
        ("", "persistentvolumeclaims") => get(Kind::Claim, attributes),
        ("", "persistentvolumes") => get(Kind::Volume, attributes),
        ("resource.k8s.io", "resourceclaims") => get(Kind::ResourceClaim, attributes),
        ("storage.k8s.io", "volumeattachments") => get(Kind::Attachment, attributes),
        ("", "serviceaccounts") => service_account(attributes),
        ("coordination.k8s.io", "leases") => lease(node, attributes),
        ("storage.k8s.io", "csinodes") => csi_node(node, attributes),
        ("resource.k8s.io", "resourceslices") => slice(node, attributes),
        ("", "nodes") => own_node(node, attributes),
        ("", "pods") => pod(node, attributes),
        ("certificates.k8s.io", "podcertificaterequests") => certificate_request(node, attributes),
        _ => Opinion::Rules,
    }
}

fn because(reason: &str) -> Opinion {
    Opinion::Deny(reason.into())
}

fn get(kind: Kind, attributes: &Attributes) -> Opinion {
    match (attributes.verb.as_str(), attributes.subresource.as_str()) {
        ("get", "") => Opinion::Related(kind),
        ("get", _) => because("cannot get subresource"),
        _ => because("can only get individual resources of this type"),
    }
}

fn read(kind: Kind, attributes: &Attributes) -> Opinion {
    if !attributes.read_only() {
        because("can only read resources of this type")
    } else if !attributes.subresource.is_empty() {
        because("cannot read subresource")
    } else if attributes.namespace.is_empty() {
        because("can only read namespaced object of this type")
    } else {
        Opinion::Related(kind)
    }
}

fn service_account(attributes: &Attributes) -> Opinion {
    match (attributes.verb.as_str(), attributes.subresource.as_str()) {
        ("get", "") => read(Kind::ServiceAccount, attributes),
        ("create", _) if attributes.name.is_empty() => because("can only create tokens for individual service accounts"),
        ("create", "token") => Opinion::Related(Kind::ServiceAccount),
        ("create", _) => because("can only create token subresource of serviceaccount"),
        _ => because("can only create tokens for individual service accounts"),
    }
}

fn lease(node: &str, attributes: &Attributes) -> Opinion {
    let verb = attributes.verb.as_str();
    if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
        because("can only get, create, update, patch, or delete a node lease")
    } else if attributes.namespace != LEASE_NAMESPACE {
        Opinion::Deny(format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace"))
    } else if verb != "create" && attributes.name != node {
        because("can only access node lease with the same name as the requesting node")
    } else {
        Opinion::Allow
    }
}

fn csi_node(node: &str, attributes: &Attributes) -> Opinion {
    let verb = attributes.verb.as_str();
    match attributes.subresource.as_str() {
        "" if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") => {
            because("can only get, create, update, patch, or delete a CSINode")
        }
        "" if verb != "create" && attributes.name != node => because("can only access CSINode with the same name as the requesting node"),
        "" => Opinion::Allow,
        "status" => because("CSINode status access requires CSIVolumeHealth feature"),
        _ => because("cannot authorize CSINode subresources"),
    }
}

fn slice(node: &str, attributes: &Attributes) -> Opinion {
    if !attributes.subresource.is_empty() {
        return because("cannot authorize ResourceSlice subresources");
    }
    match attributes.verb.as_str() {
        "create" => Opinion::Allow,
        "get" | "update" | "patch" | "delete" => Opinion::Related(Kind::Slice),
        "watch" | "list" | "deletecollection" if selects(&attributes.field_selector, "spec.nodeName", node) => Opinion::Allow,
        "watch" | "list" | "deletecollection" => {
            because("can only list/watch/deletecollection resourceslices with nodeName field selector")
        }
        _ => because(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        ),
    }
}

fn certificate_request(node: &str, attributes: &Attributes) -> Opinion {
    if !attributes.subresource.is_empty() {
        return because("nodes may not access the status subresource of PodCertificateRequests");
    }
    match attributes.verb.as_str() {
        "create" => Opinion::Allow,
        "get" => Opinion::Related(Kind::CertificateRequest),
        "list" | "watch" if selects(&attributes.field_selector, "spec.nodeName", node) => Opinion::Allow,
        "list" | "watch" => because("can only list/watch podcertificaterequests with nodeName field selector"),
        verb => Opinion::Deny(format!("nodes may not {verb} podcertificaterequests")),
    }
}

fn own_node(node: &str, attributes: &Attributes) -> Opinion {
    match (attributes.subresource.as_str(), attributes.verb.as_str(), attributes.name.as_str()) {
        // Which node it is, NodeRestriction decides.
        ("", "create" | "update" | "patch", _) | ("status", "update" | "patch", _) => Opinion::Allow,
        ("", "get" | "list" | "watch", name) if name == node => Opinion::Allow,
        ("", "get" | "list" | "watch", "") => Opinion::Deny(format!("node '{node}' cannot read all nodes, only its own Node object")),
        ("", "get" | "list" | "watch", name) => Opinion::Deny(format!("node '{node}' cannot read '{name}', only its own Node object")),
        _ => because(""),
    }
}

fn pod(node: &str, attributes: &Attributes) -> Opinion {
    match (attributes.subresource.as_str(), attributes.verb.as_str()) {
        ("", "get") => Opinion::Related(Kind::Pod),
        ("", "list" | "watch") if selects(&attributes.field_selector, "spec.nodeName", node) => Opinion::Allow,
        ("", "list" | "watch") if !attributes.name.is_empty() => Opinion::Related(Kind::Pod),
        ("", "list" | "watch") => because("can only list/watch pods with spec.nodeName field selector"),
        // Which pods they are, NodeRestriction decides.
        ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Opinion::Allow,
        _ => because(""),
    }
}

/// Does the selector ask for `field=value`?
fn selects(selector: &str, field: &str, value: &str) -> bool {
    selector.split(',').any(|part| {
        let Some((name, rest)) = part.split_once('=') else { return false };
        name == field && rest.strip_prefix('=').unwrap_or(rest) == value
    })
}

#[cfg(test)]
mod tests;
