//! NodeAffinity keeps a pod to nodes that its selector and required affinity match, and prefers those it prefers.
use crate::cluster::Row;
use crate::framework::{Before, Event, Normal, Plugin, Verdict};
use crate::pod::PodInfo;
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct State {
    selector: BTreeMap<String, String>,
    required: Option<Vec<NodeSelectorTerm>>,
    preferred: Vec<(i64, NodeSelectorTerm)>,
}

pub static NODE_AFFINITY: Plugin<State> = Plugin {
    name: "NodeAffinity",
    weight: 2,
    wakes_on: &[Event::NodeAdded, Event::NodeChanged],
    prefilter: |pod, _| {
        let state = read(pod);
        let nothing = state.selector.is_empty() && state.required.is_none() && state.preferred.is_empty();
        if nothing { Before::Skip } else { Before::Go(state) }
    },
    filter: Some(|state, row| match fits(state, row) {
        true => Verdict::Fits,
        false => Verdict::never("node(s) didn't match Pod's node affinity/selector"),
    }),
    score: Some(|state, row| state.preferred.iter().filter(|(_, term)| term_matches(term, row)).map(|(weight, _)| weight).sum()),
    normal: Normal::HighestIsBest,
};

fn read(pod: &PodInfo) -> State {
    let Some(spec) = pod.spec() else { return State::default() };
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone()).unwrap_or_default();
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.into_iter().flatten();
    State {
        selector: spec.node_selector.clone().unwrap_or_default(),
        required: affinity.required_during_scheduling_ignored_during_execution.map(|required| required.node_selector_terms),
        preferred: preferred.map(|term| (term.weight.into(), term.preference)).collect(),
    }
}

fn fits(state: &State, row: &Row) -> bool {
    let selected = state.selector.iter().all(|(key, value)| row.labels.get(key) == Some(value));
    selected && state.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term_matches(term, row)))
}

/// Would the pod's node selector and required affinity let it onto the node?
pub fn matches(pod: &PodInfo, row: &Row) -> bool {
    fits(&read(pod), row)
}

/// All requirements of a term hold; a term without any matches nothing.
pub fn term_matches(term: &NodeSelectorTerm, row: &Row) -> bool {
    let (expressions, fields) = (term.match_expressions.as_deref().unwrap_or_default(), term.match_fields.as_deref().unwrap_or_default());
    let field = |requirement: &NodeSelectorRequirement| requirement.key == "metadata.name" && holds(requirement, Some(&row.name));
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|requirement| holds(requirement, row.labels.get(&requirement.key)))
        && fields.iter().all(field)
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(value, bound)| value > bound),
        "Lt" => numbers().is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}
