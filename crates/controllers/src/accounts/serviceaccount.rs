//! The service account controller: every namespace has a service account called `default`.
//! Reads namespaces and service accounts; creates service accounts; is woken by both.
use crate::driver::{Caches, Controller, Plan, itself, reads};
use crate::objects::{is_deleting, namespace};
use client::Delta;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::meta::Key;
use std::sync::Arc;

const NAME: &str = "default";

pub static CONTROLLER: Controller = Controller {
    name: "serviceaccount",
    account: "service-account-controller",
    reads: || vec![reads::<Namespace>(itself), reads::<ServiceAccount>(wake_by_account)],
    writes: &["serviceaccounts"],
    workers: 4,
    always: false,
    plan: |caches, key, _| observe(caches, key).map(|view| reconcile(&view)).unwrap_or_default(),
};

pub struct View {
    pub namespace: Arc<Namespace>,
    pub account: Option<Arc<ServiceAccount>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let namespace = caches.get::<Namespace>(key)?;
    let account = caches.get(&Key::new(key.name.as_str(), NAME));
    Some(View { namespace, account })
}

pub fn reconcile(view: &View) -> Plan {
    let mut plan = Plan::default();
    if is_active(&view.namespace) && view.account.is_none() {
        let metadata = ObjectMeta { name: Some(NAME.into()), namespace: view.namespace.metadata.name.clone(), ..ObjectMeta::default() };
        plan.create(ServiceAccount { metadata, ..ServiceAccount::default() });
    }
    plan
}

/// A namespace that ends takes nothing new.
pub fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    !is_deleting(&namespace.metadata) && phase != Some("Terminating")
}

fn wake_by_account(_: &Caches, delta: &Delta<ServiceAccount>) -> Vec<Key> {
    match delta {
        Delta::Deleted(account) => vec![Key::new("", namespace(&account.metadata))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::json;

    #[test]
    fn makes_a_lost_account_anew() {
        let mut world = World::new(&[&CONTROLLER]);
        world.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}));
        world.fixpoint();
        assert_eq!(world.told(), "create serviceaccounts default");
        world.remove("v1", "ServiceAccount", "x", "default");
        world.fixpoint();
        assert_eq!(world.told(), "create serviceaccounts default");
    }
}
