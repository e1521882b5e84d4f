//! The root CA publisher: every namespace has the cluster's CA in the ConfigMap `kube-root-ca.crt`.
//! Reads namespaces and ConfigMaps; writes ConfigMaps; is woken by both.
use super::serviceaccount::is_active;
use crate::driver::{Caches, Controller, Plan, itself, reads};
use crate::objects::{name, namespace, set_entry};
use client::Delta;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::meta::Key;
use std::collections::BTreeMap;
use std::sync::Arc;

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
/// The original's text, which users see.
const TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
                    internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

pub static CONTROLLER: Controller = Controller {
    name: "root-ca-certificate-publisher",
    account: "root-ca-cert-publisher",
    reads: || vec![reads::<Namespace>(itself), reads::<ConfigMap>(wake_by_map)],
    writes: &["configmaps"],
    workers: 4,
    always: false,
    plan: |caches, key, moment| observe(caches, key).map(|view| reconcile(&view, &moment.settings.root_ca)).unwrap_or_default(),
};

pub struct View {
    pub namespace: Arc<Namespace>,
    pub map: Option<Arc<ConfigMap>>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let namespace = caches.get::<Namespace>(key)?;
    let map = caches.get(&Key::new(key.name.as_str(), NAME));
    Some(View { namespace, map })
}

pub fn reconcile(view: &View, root_ca: &str) -> Plan {
    let mut plan = Plan::default();
    if !is_active(&view.namespace) || root_ca.is_empty() {
        return plan;
    }
    let metadata = ObjectMeta { name: Some(NAME.into()), namespace: view.namespace.metadata.name.clone(), ..ObjectMeta::default() };
    let mut map = view.map.as_ref().map_or_else(|| ConfigMap { metadata, ..ConfigMap::default() }, |map| (**map).clone());
    set_entry(&mut map.metadata.annotations, DESCRIPTION, TEXT);
    map.data = Some(BTreeMap::from([("ca.crt".to_string(), root_ca.to_string())]));
    match &view.map {
        Some(old) => plan.update(&**old, map),
        None => plan.create(map),
    }
    plan
}

fn wake_by_map(_: &Caches, delta: &Delta<ConfigMap>) -> Vec<Key> {
    let meta = &delta.object().metadata;
    if name(meta) == NAME { vec![Key::new("", namespace(meta))] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::json;

    #[test]
    fn publishes_and_repairs() {
        let mut world = World::new(&[&CONTROLLER]);
        world.settings.root_ca = "PEM".into();
        world.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}));
        world.fixpoint();
        world.change("v1", "ConfigMap", "x", NAME, |map| map["data"]["ca.crt"] = "other".into());
        world.fixpoint();
        assert_eq!(world.told(), "create configmaps kube-root-ca.crt, update configmaps kube-root-ca.crt");
        assert_eq!(world.get("v1", "ConfigMap", "x", NAME)["data"]["ca.crt"], "PEM");
    }
}
