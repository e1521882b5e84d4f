//! Preemption: which pods of lower priority have to go so that a pod fits. Pure.
use crate::cluster::{Cluster, Row};
use crate::cycle::{Failure, Running};
use crate::framework::DynPlugin;
use crate::pod::PodInfo;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use machinery::selector::Selector;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// So many nodes are looked at in one attempt.
const MAX_CANDIDATES: usize = 100;

#[derive(Debug)]
pub struct Plan {
    pub node: String,
    pub victims: Vec<Arc<PodInfo>>,
    budgets_broken: usize,
}

/// The node where least is lost, or none.
pub fn plan(
    pod: &PodInfo,
    failure: &Failure,
    cluster: &Cluster,
    budgets: &[Arc<PodDisruptionBudget>],
    plugins: &'static [&'static dyn DynPlugin],
) -> Option<Plan> {
    let never = pod.spec().and_then(|spec| spec.preemption_policy.as_deref()) == Some("Never");
    if never || waits_for_victims(pod, cluster) {
        return None;
    }
    let rows = failure.candidates.iter().filter_map(|name| cluster.row(name)).take(MAX_CANDIDATES);
    rows.filter_map(|row| on(pod, row, cluster, budgets, plugins)).min_by_key(cost)
}

/// It has a node nominated already and its victims there are still leaving.
fn waits_for_victims(pod: &PodInfo, cluster: &Cluster) -> bool {
    let leaving = |row: &Row| row.pods.values().any(|other| other.priority < pod.priority && other.is_being_deleted());
    cluster.row(pod.nominated_node()).is_some_and(leaving)
}

/// Everybody of lower priority goes; then as many come back as still fit, the important ones first.
fn on(
    pod: &PodInfo,
    row: &Row,
    cluster: &Cluster,
    budgets: &[Arc<PodDisruptionBudget>],
    plugins: &'static [&'static dyn DynPlugin],
) -> Option<Plan> {
    let mut lower: Vec<Arc<PodInfo>> = row.pods.values().filter(|other| other.priority < pod.priority).cloned().collect();
    if lower.is_empty() {
        return None;
    }
    let mut without = cluster.clone();
    lower.iter().for_each(|other| drop(without.remove_pod(&other.key)));
    if !fits(pod, &row.name, &without, plugins) {
        return None;
    }
    let mut left = Allowances::new(budgets);
    // Those whose budget would break come back before the others; then by priority, then the older.
    let mut ranked: Vec<(bool, Arc<PodInfo>)> = Vec::new();
    lower.sort_by_key(|other| (Reverse(other.priority), started(other)));
    for other in lower {
        ranked.push((left.would_break(&other), other));
    }
    ranked.sort_by_key(|(breaks, _)| !breaks);
    let mut plan = Plan { node: row.name.clone(), victims: Vec::new(), budgets_broken: 0 };
    for (breaks, other) in ranked {
        without.set_pod(other.clone(), &row.name);
        if !fits(pod, &row.name, &without, plugins) {
            without.remove_pod(&other.key);
            plan.budgets_broken += usize::from(breaks);
            plan.victims.push(other);
        }
    }
    Some(plan)
}

fn fits(pod: &PodInfo, node: &str, cluster: &Cluster, plugins: &'static [&'static dyn DynPlugin]) -> bool {
    let (Ok(running), Some(row)) = (Running::begin(pod, cluster, plugins), cluster.row(node)) else { return false };
    running.refusal(row).is_none()
}

/// Fewest broken budgets, then the lowest of the highest priorities, the lowest sum, the fewest pods, the youngest.
fn cost(plan: &Plan) -> (usize, i32, i64, usize, Reverse<String>, String) {
    let highest = plan.victims.iter().map(|pod| pod.priority).max().unwrap_or(i32::MIN);
    // Priorities may be negative: shifted, so that more pods never count for less.
    let sum = plan.victims.iter().map(|pod| i64::from(pod.priority) + i64::from(i32::MAX) + 1).sum();
    let oldest = plan.victims.iter().filter(|pod| pod.priority == highest).map(|pod| started(pod)).min().unwrap_or_default();
    (plan.budgets_broken, highest, sum, plan.victims.len(), Reverse(oldest), plan.node.clone())
}

fn started(pod: &PodInfo) -> String {
    pod.pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0.to_string()).unwrap_or_default()
}

/// How many disruptions each budget still allows, counted down as victims are chosen.
struct Allowances<'a> {
    budgets: Vec<(&'a PodDisruptionBudget, Selector)>,
    left: HashMap<usize, i32>,
}

impl<'a> Allowances<'a> {
    fn new(budgets: &'a [Arc<PodDisruptionBudget>]) -> Allowances<'a> {
        let read = |budget: &'a Arc<PodDisruptionBudget>| {
            let selector = Selector::from_api(budget.spec.as_ref()?.selector.as_ref()).ok()?;
            Some((&**budget, selector))
        };
        let budgets: Vec<_> = budgets.iter().filter_map(read).collect();
        let allowed = |budget: &PodDisruptionBudget| budget.status.as_ref().and_then(|status| status.disruptions_allowed).unwrap_or(0);
        let left = budgets.iter().enumerate().map(|(at, (budget, _))| (at, allowed(budget))).collect();
        Allowances { budgets, left }
    }

    fn would_break(&mut self, pod: &PodInfo) -> bool {
        let mut breaks = false;
        for (at, (budget, selector)) in self.budgets.iter().enumerate() {
            let covers = budget.metadata.namespace.as_deref() == Some(&pod.key.namespace)
                && selector.matches_labels(pod.pod.metadata.labels.as_ref());
            if covers {
                let left = self.left.entry(at).or_default();
                *left -= 1;
                breaks |= *left < 0;
            }
        }
        breaks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycle::{Decision, decide};
    use crate::plugins::PLUGINS;
    use serde_json::{from_value, json};

    fn pod(name: &str, node: &str, priority: i32, cpu: &str) -> Arc<PodInfo> {
        let pod = json!({"metadata": {"name": name, "namespace": "n", "labels": {"name": name}}, "spec": {"nodeName": node, "priority": priority,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        Arc::new(PodInfo::new(Arc::new(from_value(pod).unwrap())))
    }

    fn victims(there: &[Arc<PodInfo>], budgets: &[Arc<PodDisruptionBudget>]) -> String {
        let mut cluster = Cluster::default();
        for name in ["a", "b"] {
            let node = json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "pods": "10"}}});
            cluster.set_node(Arc::new(from_value(node).unwrap()));
        }
        there.iter().for_each(|other| cluster.set_pod(other.clone(), other.node_name()));
        let wanted = pod("wanted", "", 10, "3");
        let Decision::Unschedulable(failure) = decide(&wanted, &cluster, PLUGINS, |_| 0) else { return "fits".into() };
        match plan(&wanted, &failure, &cluster, budgets, PLUGINS) {
            None => "nobody".into(),
            Some(plan) => {
                format!("{} from {}", plan.victims.iter().map(|pod| pod.key.name.clone()).collect::<Vec<_>>().join(" "), plan.node)
            }
        }
    }

    #[test]
    fn as_few_and_as_unimportant_as_possible_leave() {
        let full = [pod("x", "a", 5, "2"), pod("y", "a", 1, "2"), pod("z", "b", 3, "3")];
        assert_eq!(victims(&full, &[]), "z from b");
        let small = [pod("x", "a", 1, "3"), pod("y", "a", 2, "1"), pod("z", "b", 20, "3")];
        assert_eq!(victims(&small, &[]), "x from a");
        assert_eq!(victims(&[pod("x", "a", 20, "3"), pod("z", "b", 10, "3")], &[]), "nobody");
    }

    #[test]
    fn budgets_are_kept_where_that_is_possible() {
        let budget = json!({"metadata": {"name": "z", "namespace": "n"}, "spec": {"selector": {"matchLabels": {"name": "z"}}},
            "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
        let budget = Arc::new(from_value(budget).unwrap());
        assert_eq!(victims(&[pod("x", "a", 5, "3"), pod("z", "b", 1, "3")], &[budget]), "x from a");
    }
}
