//! InterPodAffinity keeps pods near to, or away from, other pods, as both sides ask; what is preferred counts in scores
//! (https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity).
use crate::cluster::{Cluster, Row};
use crate::framework::{Before, Event, Normal, Plugin, Verdict};
use crate::pod::{PodInfo, Term};
use std::collections::{HashMap, HashSet};

/// A topology's domain: label key and value.
type Domain = (String, String);

#[derive(Default)]
pub struct State {
    /// For each required term: its key, and the domains where a matching pod is.
    wanted: Vec<(String, HashSet<String>)>,
    /// No pod anywhere matches the required terms, but the pod itself does: it may be the first.
    first_of_its_kind: bool,
    /// For each required anti-affinity term: key and domains where a matching pod is.
    unwanted: Vec<(String, HashSet<String>)>,
    /// Domains that pods which are there keep this one out of.
    forbidden: HashSet<Domain>,
    preferred: HashMap<Domain, i64>,
}

/// What a pod that is there and wants others near weighs when one of them comes (the original's default).
const HARD_WEIGHT: i64 = 1;

pub static INTER_POD_AFFINITY: Plugin<State> = Plugin {
    name: "InterPodAffinity",
    weight: 2,
    wakes_on: &[Event::PodPlaced, Event::PodGone, Event::NodeAdded, Event::NodeChanged, Event::LabelsChanged],
    prefilter: |pod, cluster| match !pod.has_affinity() && cluster.with_affinity.is_empty() {
        true => Before::Skip,
        false => Before::Go(read(pod, cluster)),
    },
    filter: Some(filter),
    score: Some(|state, row| {
        state.preferred.iter().filter(|((key, value), _)| row.labels.get(key) == Some(value)).map(|(_, weight)| weight).sum()
    }),
    normal: Normal::Stretched,
};

fn read(pod: &PodInfo, cluster: &Cluster) -> State {
    let labels = |namespace: &str| cluster.namespace_labels(namespace);
    let mut state = State {
        wanted: pod.affinity.iter().map(|term| (term.topology_key.clone(), HashSet::new())).collect(),
        unwanted: pod.anti_affinity.iter().map(|term| (term.topology_key.clone(), HashSet::new())).collect(),
        ..State::default()
    };
    if pod.has_affinity() {
        for row in cluster.nodes() {
            for other in row.pods.values() {
                state.look_at(pod, row, other, &labels);
            }
        }
    }
    for at in &cluster.with_affinity {
        let row = &cluster.rows[*at];
        for other in row.pods.values().filter(|other| other.has_affinity()) {
            state.asked_by(pod, row, other, &labels);
        }
    }
    let nobody = state.wanted.iter().all(|(_, domains)| domains.is_empty());
    state.first_of_its_kind = nobody && pod.affinity.iter().all(|term| term.covers(pod, &labels));
    state
}

type Labels<'a> = &'a dyn Fn(&str) -> Option<std::collections::BTreeMap<String, String>>;

impl State {
    /// What the pod's own terms make of one that is there.
    fn look_at(&mut self, pod: &PodInfo, row: &Row, other: &PodInfo, labels: Labels) {
        let domain = |term: &Term| row.labels.get(&term.topology_key).cloned();
        // A matching pod has to match all required terms, each counts it in its own topology.
        if !pod.affinity.is_empty() && pod.affinity.iter().all(|term| term.covers(other, labels)) {
            for (term, (_, domains)) in pod.affinity.iter().zip(&mut self.wanted) {
                domains.extend(domain(term));
            }
        }
        for (term, (_, domains)) in pod.anti_affinity.iter().zip(&mut self.unwanted) {
            if term.covers(other, labels) {
                domains.extend(domain(term));
            }
        }
        let liked = pod.preferred_affinity.iter().map(|(weight, term)| (*weight, term));
        let disliked = pod.preferred_anti_affinity.iter().map(|(weight, term)| (-weight, term));
        for (weight, term) in liked.chain(disliked).filter(|(_, term)| term.covers(other, labels)) {
            if let Some(value) = domain(term) {
                *self.preferred.entry((term.topology_key.clone(), value)).or_default() += weight;
            }
        }
    }

    /// What the terms of one that is there make of the pod.
    fn asked_by(&mut self, pod: &PodInfo, row: &Row, other: &PodInfo, labels: Labels) {
        let domain = |term: &Term| row.labels.get(&term.topology_key).map(|value| (term.topology_key.clone(), value.clone()));
        let concerned = |term: &&Term| term.covers(pod, labels);
        self.forbidden.extend(other.anti_affinity.iter().filter(concerned).filter_map(domain));
        let hard = other.affinity.iter().map(|term| (HARD_WEIGHT, term));
        let liked = other.preferred_affinity.iter().map(|(weight, term)| (*weight, term));
        let disliked = other.preferred_anti_affinity.iter().map(|(weight, term)| (-weight, term));
        for (weight, term) in hard.chain(liked).chain(disliked).filter(|(_, term)| concerned(term)) {
            if let Some(domain) = domain(term) {
                *self.preferred.entry(domain).or_default() += weight;
            }
        }
    }
}

fn filter(state: &State, row: &Row) -> Verdict {
    let inside = |(key, domains): &(String, HashSet<String>)| row.labels.get(key).is_some_and(|value| domains.contains(value));
    let has_keys = || state.wanted.iter().all(|(key, _)| row.labels.contains_key(key));
    let near = state.wanted.iter().all(inside) || state.first_of_its_kind && has_keys();
    if !near {
        return Verdict::never("node(s) didn't match pod affinity rules");
    }
    if state.unwanted.iter().any(inside) {
        return Verdict::full("node(s) didn't match pod anti-affinity rules");
    }
    if state.forbidden.iter().any(|(key, value)| row.labels.get(key) == Some(value)) {
        return Verdict::full("node(s) didn't satisfy existing pods anti-affinity rules");
    }
    Verdict::Fits
}
