//! The ResourceQuota controller: works out what each namespace uses of its quotas. Admission adds to that on each creation;
//! this is what makes it right again after deletions and changes.
//! Reads quotas and what they count; writes the quotas' status; is woken by all of them.
use super::usage::{self, Amounts, add};
use crate::driver::{Caches, Controller, Moment, Plan, Source, itself, reads_indexed};
use crate::objects::{by_namespace, namespace};
use client::Delta;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Pod, ReplicationController, ResourceQuota, ResourceQuotaStatus, ScopedResourceSelectorRequirement,
    Secret, Service,
};
use machinery::meta::Key;
use machinery::object::Resource;
use std::sync::Arc;

pub static CONTROLLER: Controller = Controller {
    name: "resourcequota",
    account: "resourcequota-controller",
    reads: sources,
    writes: &["resourcequotas/status"],
    workers: 4,
    always: false,
    plan: |caches, key, moment| observe(caches, key, moment).map(|view| reconcile(&view)).unwrap_or_default(),
};

fn sources() -> Vec<Box<dyn Source>> {
    vec![
        reads_indexed::<ResourceQuota>(itself, &[("namespace", by_namespace)]),
        reads_indexed::<Pod>(wake_by_pod, &[("namespace", by_namespace)]),
        reads_indexed::<Service>(wake_by_change, &[("namespace", by_namespace)]),
        reads_indexed::<PersistentVolumeClaim>(wake_by_change, &[("namespace", by_namespace)]),
        counted::<ConfigMap>(),
        counted::<Secret>(),
        counted::<ReplicationController>(),
        counted::<ReplicaSet>(),
        counted::<Deployment>(),
        counted::<StatefulSet>(),
        counted::<Job>(),
        counted::<CronJob>(),
    ]
}

fn counted<T: Resource>() -> Box<dyn Source> {
    reads_indexed::<T>(wake_by_number, &[("namespace", by_namespace)])
}

pub struct View {
    pub quota: Arc<ResourceQuota>,
    pub used: Amounts,
}

pub fn observe(caches: &Caches, key: &Key, moment: &Moment) -> Option<View> {
    let quota = caches.get::<ResourceQuota>(key)?;
    let space = key.namespace.as_str();
    let scopes = scopes(&quota);
    let mut used = Amounts::new();
    for pod in caches.of::<Pod>().by_index("namespace", space) {
        if scopes.iter().all(|scope| is_in(scope, &pod)) {
            add(&mut used, &usage::of_pod(&pod, moment.now));
        }
    }
    // only pods have scopes
    if scopes.is_empty() {
        caches.of::<Service>().by_index("namespace", space).iter().for_each(|one| add(&mut used, &usage::of_service(one)));
        caches.of().by_index("namespace", space).iter().for_each(|one| add(&mut used, &usage::of_claim(one)));
        used.extend(numbers(caches, space));
    }
    Some(View { quota, used })
}

/// How many objects of a kind there are, under the names that a quota may use.
fn numbers(caches: &Caches, space: &str) -> Amounts {
    let mut used = Amounts::new();
    let mut put = |plain: &str, group: &str, count: usize| {
        let name = if group.is_empty() { format!("count/{plain}") } else { format!("count/{plain}.{group}") };
        used.insert(name, usage::number(count as i64));
        if group.is_empty() {
            used.insert(plain.into(), usage::number(count as i64));
        }
    };
    put("configmaps", "", length::<ConfigMap>(caches, space));
    put("secrets", "", length::<Secret>(caches, space));
    put("replicationcontrollers", "", length::<ReplicationController>(caches, space));
    put("resourcequotas", "", length::<ResourceQuota>(caches, space));
    put("replicasets", "apps", length::<ReplicaSet>(caches, space));
    put("deployments", "apps", length::<Deployment>(caches, space));
    put("statefulsets", "apps", length::<StatefulSet>(caches, space));
    put("jobs", "batch", length::<Job>(caches, space));
    put("cronjobs", "batch", length::<CronJob>(caches, space));
    used
}

fn length<T: Resource>(caches: &Caches, space: &str) -> usize {
    caches.of::<T>().by_index("namespace", space).len()
}

pub fn reconcile(view: &View) -> Plan {
    let mut plan = Plan::default();
    let hard = usage::read(view.quota.spec.as_ref().and_then(|spec| spec.hard.as_ref()));
    let old = view.quota.status.clone().unwrap_or_default();
    let before = usage::read(old.used.as_ref());
    let amount = |resource: &String| {
        let known = view.used.get(resource).cloned();
        // what is not counted here keeps its last number
        known.or_else(|| before.get(resource).filter(|_| resource.starts_with("count/")).cloned()).unwrap_or(usage::number(0))
    };
    let used: Amounts = hard.keys().map(|resource| (resource.clone(), amount(resource))).collect();
    if old.used.is_some() && before == used && usage::read(old.hard.as_ref()) == hard {
        return plan;
    }
    let mut quota = (*view.quota).clone();
    let hard = view.quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    quota.status = Some(ResourceQuotaStatus { hard: Some(hard), used: Some(usage::write(&used)) });
    plan.status(&*view.quota, quota);
    plan
}

fn scopes(quota: &ResourceQuota) -> Vec<ScopedResourceSelectorRequirement> {
    let Some(spec) = &quota.spec else { return Vec::new() };
    let plain = spec.scopes.iter().flatten().map(|scope| ScopedResourceSelectorRequirement {
        scope_name: scope.clone(),
        operator: "Exists".into(),
        values: None,
    });
    let selected = spec.scope_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten()).cloned();
    plain.chain(selected).collect()
}

fn is_in(scope: &ScopedResourceSelectorRequirement, pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let terminating = spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0);
    match scope.scope_name.as_str() {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => usage::is_best_effort(pod),
        "NotBestEffort" => !usage::is_best_effort(pod),
        "PriorityClass" => {
            let class = spec.priority_class_name.clone().unwrap_or_default();
            let values = scope.values.clone().unwrap_or_default();
            match scope.operator.as_str() {
                "In" => values.contains(&class),
                "NotIn" => !values.contains(&class),
                "Exists" => !class.is_empty(),
                _ => class.is_empty(),
            }
        }
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

fn crosses_namespaces(pod: &Pod) -> bool {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let mut terms = Vec::new();
    if let Some(near) = near {
        terms.extend(near.required_during_scheduling_ignored_during_execution.iter().flatten());
        terms.extend(near.preferred_during_scheduling_ignored_during_execution.iter().flatten().map(|one| &one.pod_affinity_term));
    }
    if let Some(far) = far {
        terms.extend(far.required_during_scheduling_ignored_during_execution.iter().flatten());
        terms.extend(far.preferred_during_scheduling_ignored_during_execution.iter().flatten().map(|one| &one.pod_affinity_term));
    }
    terms.iter().any(|term| term.namespaces.as_ref().is_some_and(|spaces| !spaces.is_empty()) || term.namespace_selector.is_some())
}

fn quotas_in(caches: &Caches, space: &str) -> Vec<Key> {
    caches.of::<ResourceQuota>().by_index("namespace", space).iter().map(|quota| Key::of(&quota.metadata)).collect()
}

fn wake_by_change<T: Resource>(caches: &Caches, delta: &Delta<T>) -> Vec<Key> {
    quotas_in(caches, namespace(delta.object().metadata()))
}

/// Only coming and going changes a number.
fn wake_by_number<T: Resource>(caches: &Caches, delta: &Delta<T>) -> Vec<Key> {
    match delta {
        Delta::Updated { .. } => Vec::new(),
        _ => quotas_in(caches, namespace(delta.object().metadata())),
    }
}

/// A pod's usage changes with its end and its resources, not with each report of its state.
fn wake_by_pod(caches: &Caches, delta: &Delta<Pod>) -> Vec<Key> {
    if let Delta::Updated { old, new } = delta {
        let ended = |pod: &Pod| crate::objects::pods::is_finished(pod);
        let state = |pod: &Pod| (ended(pod), pod.metadata.deletion_timestamp.clone(), pod.metadata.generation);
        if state(old) == state(new) {
            return Vec::new();
        }
    }
    quotas_in(caches, namespace(&delta.object().metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn counts_what_is_there() {
        let mut world = World::new(&[&CONTROLLER]);
        let hard = json!({"pods": "10", "requests.cpu": "4", "limits.memory": "1Gi", "services.nodeports": "2", "count/deployments.apps": "3", "requests.storage": "10Gi", "example.com/x": "1"});
        world
            .put(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "x"}, "spec": {"hard": hard}}));
        let resources = json!({"requests": {"cpu": "500m"}, "limits": {"memory": "100Mi"}});
        for (name, phase) in [("a", "Running"), ("b", "Pending"), ("c", "Succeeded")] {
            world.put(json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x"}, "status": {"phase": phase},
                "spec": {"containers": [{"name": "c", "resources": resources}]},
            }));
        }
        world.put(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "x"},
            "spec": {"type": "NodePort", "ports": [{"port": 80}]},
        }));
        world.put(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "x"},
            "spec": {"resources": {"requests": {"storage": "3Gi"}}},
        }));
        world.fixpoint();
        let quota: ResourceQuota = serde_json::from_value(world.get("v1", "ResourceQuota", "x", "q")).unwrap();
        let expected = expect![
            "count/deployments.apps=0 example.com/x=0 limits.memory=200Mi pods=2 requests.cpu=1 requests.storage=3Gi services.nodeports=1"
        ];
        let used = quota.status.unwrap().used.unwrap();
        let told: Vec<String> = used.iter().map(|(key, amount)| format!("{key}={}", amount.0)).collect();
        expected.assert_eq(&told.join(" "));
        world.remove("v1", "Pod", "x", "a");
        world.fixpoint();
        assert_eq!(world.get("v1", "ResourceQuota", "x", "q")["status"]["used"]["pods"], "1");
    }
}
