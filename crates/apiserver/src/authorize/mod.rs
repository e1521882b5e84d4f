//! Decides who may do what: the members of `system:masters` everything, nodes what their pods need, all others what RBAC grants.
//! It never refuses with certainty: as in the original each authorizer only has an opinion, and without any the request is refused.
pub mod node;
pub mod rbac;

use crate::request::{Attributes, Authorizer, Decision};
use async_trait::async_trait;
use machinery::status::Status;
use node::NodeAuthorizer;
use rbac::Rbac;
use std::sync::Arc;

pub const MASTERS: &str = "system:masters";

/// The authorizers in their order.
pub struct Authorizers {
    pub node: NodeAuthorizer,
    pub rbac: Arc<Rbac>,
}

#[async_trait]
impl Authorizer for Authorizers {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        if attributes.user.in_group(MASTERS) {
            return Decision::Allow;
        }
        let mut reasons = Vec::new();
        for decision in [self.node.authorize(attributes).await, self.rbac.authorize(attributes).await] {
            match decision {
                Decision::Allow => return Decision::Allow,
                Decision::Deny(reason) if reason.is_empty() => {}
                Decision::Deny(reason) => reasons.push(reason),
            }
        }
        Decision::Deny(reasons.join(", "))
    }
}

/// The answer to a refused request.
pub fn forbidden(attributes: &Attributes, reason: &str) -> Status {
    let Attributes { group, verb, namespace, .. } = attributes;
    let (user, resource) = (&attributes.user.user, attributes.resource_path());
    let what = match (attributes.is_resource, namespace.as_str()) {
        (false, _) => format!("User \"{user}\" cannot {verb} path \"{}\"", attributes.path),
        (true, "") => format!("User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" at the cluster scope"),
        (true, _) => {
            format!("User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" in the namespace \"{namespace}\"")
        }
    };
    // Nothing in an answer may look like markup to a browser.
    let what = what.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let why = if reason.is_empty() { what } else { format!("{what}: {reason}") };
    Status::forbidden(group, &attributes.resource, &attributes.name, &why)
}
