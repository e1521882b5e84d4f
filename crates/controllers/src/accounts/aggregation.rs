//! The ClusterRole aggregation controller: a role with an aggregation rule has the rules of all roles that it selects.
//! Reads ClusterRoles; writes their rules; is woken by ClusterRoles.
use crate::driver::{Caches, Controller, Plan, reads};
use crate::objects::labels;
use crate::objects::selectors::Selector;
use client::Delta;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use machinery::meta::Key;
use std::sync::Arc;

pub static CONTROLLER: Controller = Controller {
    name: "clusterrole-aggregation",
    account: "clusterrole-aggregation-controller",
    reads: || vec![reads::<ClusterRole>(wake)],
    writes: &["clusterroles"],
    workers: 1,
    always: false,
    plan: |caches, key, _| observe(caches, key).map(|(role, all)| reconcile(&role, &all)).unwrap_or_default(),
};

/// One role, and all roles in the order of their names.
pub fn observe(caches: &Caches, key: &Key) -> Option<(Arc<ClusterRole>, Vec<Arc<ClusterRole>>)> {
    let role = caches.get::<ClusterRole>(key)?;
    role.aggregation_rule.as_ref()?;
    let mut all = caches.of::<ClusterRole>().all();
    all.sort_by_key(|role| role.metadata.name.clone());
    Some((role, all))
}

pub fn reconcile(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Plan {
    let mut plan = Plan::default();
    let selectors = role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        let selector = Selector::of(selector);
        let selected = all.iter().filter(|one| one.metadata.name != role.metadata.name && selector.meets(labels(&one.metadata)));
        for rule in selected.flat_map(|one| one.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    if role.rules.as_deref().unwrap_or_default() != rules {
        plan.update(role, ClusterRole { rules: Some(rules), ..role.clone() });
    }
    plan
}

/// Any role may be part of any aggregate.
fn wake(caches: &Caches, _: &Delta<ClusterRole>) -> Vec<Key> {
    let all = caches.of::<ClusterRole>().all();
    all.iter().filter(|role| role.aggregation_rule.is_some()).map(|role| Key::of(&role.metadata)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::json;

    #[test]
    fn collects_the_rules_of_selected_roles() {
        let mut world = World::new(&[&CONTROLLER]);
        let role = |name: &str, label: &str, verb: &str| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name, "labels": {"to": label}},
                "rules": [{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}],
            })
        };
        world.put(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "all"},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]},
        }));
        world.put(role("b", "all", "list"));
        world.put(role("a", "all", "get"));
        world.put(role("c", "other", "delete"));
        world.fixpoint();
        let rules = world.get("rbac.authorization.k8s.io/v1", "ClusterRole", "", "all")["rules"].clone();
        assert_eq!(
            (rules[0]["verbs"][0].as_str(), rules[1]["verbs"][0].as_str(), rules.as_array().unwrap().len()),
            (Some("get"), Some("list"), 2)
        );
    }
}
