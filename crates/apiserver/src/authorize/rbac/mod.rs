//! Role-based access control: grants only, from roles and bindings in the store. A binding counts for the very next request.
pub mod defaults;
pub mod escalation;
pub mod index;
pub mod rule;

use crate::follow::Follower;
use crate::request::{Attributes, Decision};
use client::Identity;
use index::{Index, RoleKey};
use machinery::status::Status;
use rule::Rule;
use std::sync::Arc;
use store::Store;

pub const GROUP: &str = "rbac.authorization.k8s.io";
const PREFIXES: [&str; 4] = ["/registry/clusterroles/", "/registry/roles/", "/registry/clusterrolebindings/", "/registry/rolebindings/"];

pub struct Rbac {
    follower: Follower<Index>,
}

impl Rbac {
    pub fn new(store: Arc<dyn Store>) -> Rbac {
        Rbac { follower: Follower::new(store, PREFIXES.map(String::from).into()) }
    }

    pub async fn authorize(&self, attributes: &Attributes) -> Decision {
        let mut missing = Vec::new();
        let allowed = self.follower.read(|index| {
            index.any(&attributes.user, &attributes.namespace, &mut missing, |rules| rules.iter().any(|rule| rule.allows(attributes)))
        });
        match allowed.await {
            Ok(true) => Decision::Allow,
            Ok(false) => Decision::Deny(reason(&missing)),
            Err(error) => Decision::Deny(format!("RBAC: {error}")),
        }
    }

    /// Which binding allows it; empty if none does.
    pub async fn allowed_by(&self, attributes: &Attributes) -> String {
        let allows = |rules: &[Rule]| rules.iter().any(|rule| rule.allows(attributes));
        let found = self.follower.read(|index| index.allowed_by(&attributes.user, &attributes.namespace, allows)).await;
        found.ok().flatten().unwrap_or_default()
    }

    /// All that a user may do in a namespace, and which of its roles do not exist.
    pub async fn rules_for(&self, user: &Identity, namespace: &str) -> Result<(Vec<Rule>, Vec<String>), Status> {
        self.follower.read(|index| index.rules_for(user, namespace)).await.map_err(Status::internal)
    }

    pub async fn role(&self, key: &RoleKey) -> Result<Option<Arc<[Rule]>>, Status> {
        self.follower.read(|index| index.role(key)).await.map_err(Status::internal)
    }
}

/// What is told when bindings refer to roles that are not there.
pub fn reason(missing: &[String]) -> String {
    match missing {
        [] => String::new(),
        [one] => format!("RBAC: {one}"),
        many => format!("RBAC: [{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests;
