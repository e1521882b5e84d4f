//! The disruption controller: tells how many pods of a PodDisruptionBudget may be evicted now.
//! Reads budgets, pods and the sets that own pods; writes the budgets' status; is woken by budgets, pods and sets.
use crate::driver::{Caches, Controller, Moment, Plan, itself, looks_at, reads_indexed};
use crate::objects::conditions::{self, Condition as _};
use crate::objects::owners::{OWNER, by_owner, controller_of};
use crate::objects::selectors::Selector;
use crate::objects::{by_namespace, is_deleting, labels, name, namespace, pods, scaled, seconds, time};
use client::Delta;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodCondition, ReplicationController};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::meta::Key;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An evicted pod that is still there after so long counts as healthy again.
const DELETION_SECONDS: i64 = 120;
/// Keys of pods that are about to be disrupted; budgets cannot have such a name.
const POD_PREFIX: &str = "pod/";

pub static CONTROLLER: Controller = Controller {
    name: "disruption",
    account: "disruption-controller",
    reads: || {
        vec![
            reads_indexed::<PodDisruptionBudget>(itself, &[("namespace", by_namespace)]),
            reads_indexed::<Pod>(wake_by_pod, &[("namespace", by_namespace)]),
            reads_indexed::<ReplicaSet>(wake_by_set, &[("namespace", by_namespace), (OWNER, by_owner)]),
            reads_indexed::<StatefulSet>(wake_by_set, &[("namespace", by_namespace)]),
            reads_indexed::<ReplicationController>(wake_by_set, &[("namespace", by_namespace)]),
            looks_at::<Deployment>(&[("namespace", by_namespace)]),
        ]
    },
    writes: &["poddisruptionbudgets/status", "pods/status"],
    workers: 4,
    always: false,
    plan: |caches, key, moment| match key.name.strip_prefix(POD_PREFIX) {
        Some(pod) => spare(caches, &Key::new(key.namespace.as_str(), pod), moment.now),
        None => observe(caches, key).map(|view| reconcile(&view, moment)).unwrap_or_default(),
    },
};

/// One budget, its pods, and how many pods each of their controllers wants.
pub struct View {
    pub budget: Arc<PodDisruptionBudget>,
    pub pods: Vec<Arc<Pod>>,
    /// By the controller's uid; an error names a pod whose controller is unknown.
    pub scales: Result<BTreeMap<String, i32>, String>,
}

pub fn observe(caches: &Caches, key: &Key) -> Option<View> {
    let budget = caches.get::<PodDisruptionBudget>(key)?;
    let pods = pods_of(caches, &budget);
    let scales = scales(caches, &pods);
    Some(View { budget, pods, scales })
}

fn pods_of(caches: &Caches, budget: &PodDisruptionBudget) -> Vec<Arc<Pod>> {
    let Some(selector) = selector(budget) else { return Vec::new() };
    let mut pods = caches.of::<Pod>().by_index("namespace", namespace(&budget.metadata));
    // an empty selector means all pods here (policy/v1)
    pods.retain(|pod| selector.meets(labels(&pod.metadata)));
    pods
}

fn selector(budget: &PodDisruptionBudget) -> Option<Selector> {
    budget.spec.as_ref()?.selector.as_ref().map(Selector::of)
}

fn scales(caches: &Caches, pods: &[Arc<Pod>]) -> Result<BTreeMap<String, i32>, String> {
    let mut scales = BTreeMap::new();
    for pod in pods {
        let Some(owner) = controller_of(&pod.metadata) else { continue };
        if scales.contains_key(&owner.uid) {
            continue;
        }
        let scale = scale(caches, namespace(&pod.metadata), owner);
        let (uid, count) = scale.ok_or_else(|| format!("found no controllers for pod \"{}\"", name(&pod.metadata)))?;
        scales.insert(uid, count);
    }
    Ok(scales)
}

/// Who decides about the number of pods, and the number.
fn scale(caches: &Caches, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
    let key = Key::new(namespace, owner.name.as_str());
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let set = caches.get::<ReplicaSet>(&key).filter(|set| set.metadata.uid.as_deref() == Some(&owner.uid))?;
            let above = controller_of(&set.metadata).filter(|above| above.kind == "Deployment");
            let deployment = above.and_then(|above| caches.get::<Deployment>(&Key::new(namespace, above.name.as_str())));
            match deployment {
                Some(deployment) => Some((deployment.metadata.uid.clone()?, deployment.spec.replicas.unwrap_or(1))),
                None => Some((owner.uid.clone(), set.spec.replicas.unwrap_or(1))),
            }
        }
        "StatefulSet" => Some((owner.uid.clone(), caches.get::<StatefulSet>(&key)?.spec.replicas.unwrap_or(1))),
        "ReplicationController" => {
            let set = caches.get::<ReplicationController>(&key)?;
            Some((owner.uid.clone(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))
        }
        _ => None,
    }
}

/// How many pods there should be, and how many of them healthy.
struct Wanted {
    expected: i32,
    healthy: i32,
}

pub fn reconcile(view: &View, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let mut budget = (*view.budget).clone();
    match wanted(view) {
        Ok(wanted) => count(&mut plan, &mut budget, view, &wanted, moment.now),
        Err(error) => {
            let status = budget.status.get_or_insert_default();
            status.disruptions_allowed = Some(0);
            set_condition(status, "False", "SyncFailed", &error, moment.now);
        }
    }
    plan.status(&*view.budget, budget);
    plan
}

fn wanted(view: &View) -> Result<Wanted, String> {
    let Some(spec) = &view.budget.spec else { return Ok(Wanted { expected: 0, healthy: 0 }) };
    let expected = || view.scales.clone().map(|scales| scales.values().sum::<i32>());
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => {
            let expected = expected()?;
            Ok(Wanted { expected, healthy: (expected - scaled(most, expected, true)).max(0) })
        }
        (None, Some(IntOrString::Int(least))) => Ok(Wanted { expected: view.pods.len() as i32, healthy: *least }),
        (None, Some(least)) => {
            let expected = expected()?;
            Ok(Wanted { expected, healthy: scaled(least, expected, true) })
        }
        (None, None) => Ok(Wanted { expected: 0, healthy: 0 }),
    }
}

fn count(plan: &mut Plan, budget: &mut PodDisruptionBudget, view: &View, wanted: &Wanted, now: Timestamp) {
    let old = budget.status.clone().unwrap_or_default();
    let disrupted = disrupted(plan, &old, view, now);
    let is_healthy = |pod: &&Arc<Pod>| !is_deleting(&pod.metadata) && !disrupted.contains_key(name(&pod.metadata)) && pods::is_ready(pod);
    let healthy = view.pods.iter().filter(is_healthy).count() as i32;
    let allowed = if wanted.expected > 0 { (healthy - wanted.healthy).max(0) } else { 0 };
    let mut status = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(wanted.healthy),
        expected_pods: Some(wanted.expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        observed_generation: budget.metadata.generation,
        conditions: old.conditions,
    };
    let (state, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    set_condition(&mut status, state, reason, "", now);
    budget.status = Some(status);
}

/// Pods that an eviction has announced and that are not gone yet.
fn disrupted(plan: &mut Plan, old: &PodDisruptionBudgetStatus, view: &View, now: Timestamp) -> BTreeMap<String, Time> {
    let mut still = BTreeMap::new();
    for pod in view.pods.iter().filter(|pod| !is_deleting(&pod.metadata)) {
        let own = name(&pod.metadata);
        let Some(since) = old.disrupted_pods.as_ref().and_then(|pods| pods.get(own)) else { continue };
        let until = since.0 + seconds(DELETION_SECONDS);
        if until > now {
            still.insert(own.to_string(), since.clone());
            plan.wake(until);
        } else {
            let meta = &view.budget.metadata;
            let message = format!("Pod was expected by PDB {}/{} to be deleted but it wasn't", namespace(meta), name(meta));
            plan.warning(&**pod, "NotDeleted", message);
        }
    }
    still
}

fn set_condition(status: &mut PodDisruptionBudgetStatus, state: &str, reason: &str, message: &str, now: Timestamp) {
    let new = Condition {
        type_: "DisruptionAllowed".into(),
        status: state.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: status.observed_generation,
        last_transition_time: time(now),
    };
    let list = status.conditions.get_or_insert_default();
    match list.iter_mut().find(|old| old.type_ == new.type_) {
        Some(old) => {
            let since = if old.status == new.status { old.last_transition_time.clone() } else { new.last_transition_time.clone() };
            *old = Condition { last_transition_time: since, ..new };
        }
        None => list.push(new),
    }
}

/// Since when a pod that nobody deletes is said to be about to go.
fn announced(pod: &Pod) -> Option<Timestamp> {
    let target = conditions::find(&pod.status.as_ref()?.conditions, "DisruptionTarget")?;
    let open = target.status() == "True" && target.reason() != "TerminationByKubelet";
    let here = !is_deleting(&pod.metadata) && !pods::is_finished(pod);
    target.since().filter(|_| open && here)
}

/// A disruption that was announced and did not happen is taken back.
fn spare(caches: &Caches, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(pod) = caches.get::<Pod>(key) else { return plan };
    let Some(until) = announced(&pod).map(|since| since + seconds(DELETION_SECONDS)) else { return plan };
    if until > now {
        plan.wake(until);
        return plan;
    }
    let mut new = (*pod).clone();
    let condition = PodCondition::new("DisruptionTarget", "False", "", "", now);
    conditions::put(&mut new.status.get_or_insert_default().conditions, condition);
    plan.status(&*pod, new);
    plan
}

fn wake_by_pod(caches: &Caches, delta: &Delta<Pod>) -> Vec<Key> {
    let new = delta.object();
    let old = match delta {
        Delta::Updated { old, .. } => Some(old),
        _ => None,
    };
    let touches = |budget: &PodDisruptionBudget| {
        let meets = |pod: &Pod| selector(budget).is_some_and(|selector| selector.meets(labels(&pod.metadata)));
        meets(new) || old.is_some_and(|old| meets(old))
    };
    let budgets = caches.of::<PodDisruptionBudget>().by_index("namespace", namespace(&new.metadata));
    let mut keys: Vec<Key> = budgets.iter().filter(|budget| touches(budget)).map(|budget| Key::of(&budget.metadata)).collect();
    if announced(new).is_some() && !matches!(delta, Delta::Deleted(_)) {
        keys.push(Key::new(namespace(&new.metadata), format!("{POD_PREFIX}{}", name(&new.metadata))));
    }
    keys
}

/// A set that wants another number of pods; its budgets are those of its namespace.
fn wake_by_set<T: machinery::object::Resource>(caches: &Caches, delta: &Delta<T>) -> Vec<Key> {
    if let Delta::Updated { old, new } = delta
        && old.metadata().generation == new.metadata().generation
    {
        return Vec::new();
    }
    let budgets = caches.of::<PodDisruptionBudget>().by_index("namespace", namespace(delta.object().metadata()));
    budgets.iter().map(|budget| Key::of(&budget.metadata)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::{Value, json};

    fn check(spec: Value, ready: usize, expected: [i64; 4]) {
        let mut world = World::new(&[&CONTROLLER]);
        let mut spec = spec;
        spec["selector"] = json!({"matchLabels": {"app": "web"}});
        world.put(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "x", "uid": "web"},
            "spec": {"replicas": 4, "selector": {}},
        }));
        for number in 0..4 {
            let state = if number < ready { "True" } else { "False" };
            world.put(json!({
                "apiVersion": "v1", "kind": "Pod", "spec": {"containers": []},
                "metadata": {"name": format!("p{number}"), "namespace": "x", "labels": {"app": "web"}, "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web", "controller": true}]},
                "status": {"conditions": [{"type": "Ready", "status": state}]},
            }));
        }
        world.put(
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "x"}, "spec": spec}),
        );
        world.fixpoint();
        let status = world.get("policy/v1", "PodDisruptionBudget", "x", "b")["status"].clone();
        let number = |key: &str| status[key].as_i64().unwrap();
        assert_eq!(["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"].map(number), expected);
    }

    #[test]
    fn a_disruption_that_did_not_happen_is_taken_back() {
        let mut world = World::new(&[&CONTROLLER]);
        let target =
            json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "lastTransitionTime": time(world.now)});
        world.put(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "x"}, "spec": {"containers": []},
            "status": {"conditions": [target]},
        }));
        world.advance(119);
        let state = |world: &World| world.get("v1", "Pod", "x", "p")["status"]["conditions"][0]["status"].clone();
        assert_eq!(state(&world), "True");
        world.advance(2);
        assert_eq!(state(&world), "False");
        world.fixpoint();
    }

    #[test]
    fn counts_as_the_budget_says() {
        check(json!({"maxUnavailable": 1}), 4, [4, 3, 4, 1]);
        check(json!({"maxUnavailable": "50%"}), 3, [4, 2, 3, 1]);
        check(json!({"minAvailable": 3}), 3, [4, 3, 3, 0]);
        check(json!({"minAvailable": "50%"}), 4, [4, 2, 4, 2]);
    }
}
