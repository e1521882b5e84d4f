//! PodTopologySpread keeps the numbers of matching pods in a topology's domains within the allowed skew, or prefers that
//! (https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/).
use super::{matches_node_selector, tolerates_all};
use crate::cluster::{Cluster, Row};
use crate::framework::{Before, Event, Normal, Plugin, Verdict};
use crate::pod::{PodInfo, Spread};
use std::collections::HashMap;

/// One constraint with its counts.
struct Count {
    key: String,
    required: bool,
    max_skew: i64,
    /// The pod itself matches: where it goes there is one more.
    own: i64,
    by_value: HashMap<String, i64>,
    least: i64,
}

pub struct State(Vec<Count>);

pub static POD_TOPOLOGY_SPREAD: Plugin<State> = Plugin {
    name: "PodTopologySpread",
    weight: 2,
    wakes_on: &[Event::PodPlaced, Event::PodGone, Event::NodeAdded, Event::NodeChanged, Event::LabelsChanged],
    prefilter: |pod, cluster| match pod.spread.is_empty() {
        true => Before::Skip,
        false => Before::Go(State(pod.spread.iter().map(|spread| count(pod, spread, cluster)).collect())),
    },
    filter: Some(filter),
    score: Some(score),
    normal: Normal::LowestIsBest,
};

fn count(pod: &PodInfo, spread: &Spread, cluster: &Cluster) -> Count {
    let tolerations = pod.spec().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let counted = |row: &&Row| {
        (!spread.honours_affinity || matches_node_selector(pod, row)) && (!spread.honours_taints || tolerates_all(tolerations, row))
    };
    let matches = |other: &PodInfo| {
        other.key.namespace == pod.key.namespace
            && !other.is_being_deleted()
            && spread.selector.matches_labels(other.pod.metadata.labels.as_ref())
    };
    let mut by_value: HashMap<String, i64> = HashMap::new();
    for row in cluster.nodes().filter(counted) {
        let Some(value) = row.labels.get(&spread.topology_key) else { continue };
        let here = row.pods.values().filter(|other| matches(other)).count() as i64;
        *by_value.entry(value.clone()).or_default() += here;
    }
    let enough = by_value.len() as i64 >= spread.min_domains;
    let least = if enough { by_value.values().copied().min().unwrap_or(0) } else { 0 };
    let own = i64::from(spread.selector.matches_labels(pod.pod.metadata.labels.as_ref()));
    Count { key: spread.topology_key.clone(), required: spread.required, max_skew: spread.max_skew, own, by_value, least }
}

fn filter(state: &State, row: &Row) -> Verdict {
    for count in state.0.iter().filter(|count| count.required) {
        let Some(value) = row.labels.get(&count.key) else {
            return Verdict::never("node(s) didn't match pod topology spread constraints (missing required label)");
        };
        let here = count.by_value.get(value).copied().unwrap_or(0);
        if here + count.own - count.least > count.max_skew {
            return Verdict::full("node(s) didn't match pod topology spread constraints");
        }
    }
    Verdict::Fits
}

/// Fewer matching pods are better; domains of a rare kind weigh more, as in the original.
fn score(state: &State, row: &Row) -> i64 {
    let preferred = state.0.iter().filter(|count| !count.required);
    let one = |count: &Count| {
        let here = row.labels.get(&count.key).and_then(|value| count.by_value.get(value)).copied().unwrap_or(0);
        let weight = ((count.by_value.len() + 2) as f64).ln();
        here as f64 * weight + (count.max_skew - 1) as f64
    };
    preferred.map(one).sum::<f64>().round() as i64
}
