//! A pod as the scheduler sees it: what its decisions read, worked out once.
use crate::resources::{Resources, requests, scored_requests};
use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, PodSpec, TopologySpreadConstraint};
use machinery::meta::Key;
use machinery::selector::Selector;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A port of the host that the pod wants: address (empty: all), protocol, number.
pub type HostPort = (String, String, i32);

#[derive(Debug)]
pub struct PodInfo {
    pub pod: Arc<Pod>,
    pub key: Key,
    pub uid: String,
    pub priority: i32,
    pub requests: Resources,
    /// CPU and memory with usual amounts where nothing is asked, for scores.
    pub scored: (i64, i64),
    pub ports: Vec<HostPort>,
    pub affinity: Vec<Term>,
    pub anti_affinity: Vec<Term>,
    pub preferred_affinity: Vec<(i64, Term)>,
    pub preferred_anti_affinity: Vec<(i64, Term)>,
    pub spread: Vec<Spread>,
}

/// A pod (anti-)affinity term, its selectors read.
#[derive(Debug)]
pub struct Term {
    pub topology_key: String,
    selector: Selector,
    namespaces: Vec<String>,
    namespace_selector: Option<Selector>,
}

impl Term {
    fn read(term: &PodAffinityTerm, own: &Pod) -> Option<Term> {
        let mut selector = Selector::from_api(term.label_selector.as_ref()).ok()?;
        let labels = own.metadata.labels.as_ref();
        let pinned = |keys: &Option<Vec<String>>, negate: bool| -> Vec<_> {
            let value = |key: &String| labels.and_then(|labels| labels.get(key)).map(|value| (key.clone(), value.clone(), negate));
            keys.iter().flatten().filter_map(value).collect()
        };
        for (key, value, negate) in [pinned(&term.match_label_keys, false), pinned(&term.mismatch_label_keys, true)].concat() {
            let operator = if negate { machinery::selector::Operator::NotIn } else { machinery::selector::Operator::In };
            let requirement = machinery::selector::Requirement::new(&key, operator, vec![value]).ok()?;
            selector = Selector::new([selector.requirements().to_vec(), vec![requirement]].concat());
        }
        let namespace_selector = term.namespace_selector.as_ref().map(|selector| Selector::from_api(Some(selector))).transpose().ok()?;
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && namespace_selector.is_none() {
            namespaces.push(own.metadata.namespace.clone().unwrap_or_default());
        }
        Some(Term { topology_key: term.topology_key.clone(), selector, namespaces, namespace_selector })
    }

    /// Does the term speak of this pod?
    pub fn covers(&self, pod: &PodInfo, namespace_labels: &dyn Fn(&str) -> Option<BTreeMap<String, String>>) -> bool {
        let namespace = &pod.key.namespace;
        let in_namespace = self.namespaces.contains(namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| {
                selector.is_everything() || namespace_labels(namespace).is_some_and(|labels| selector.matches(&labels))
            });
        in_namespace && self.selector.matches_labels(pod.pod.metadata.labels.as_ref())
    }
}

/// A topology spread constraint, its selector read.
#[derive(Debug)]
pub struct Spread {
    pub max_skew: i64,
    pub topology_key: String,
    /// `DoNotSchedule`; otherwise it only counts in scores.
    pub required: bool,
    pub min_domains: i64,
    pub honours_affinity: bool,
    pub honours_taints: bool,
    pub selector: Selector,
}

impl Spread {
    fn read(constraint: &TopologySpreadConstraint, own: &Pod) -> Option<Spread> {
        let mut selector = Selector::from_api(constraint.label_selector.as_ref()).ok()?;
        for key in constraint.match_label_keys.iter().flatten() {
            if let Some(value) = own.metadata.labels.as_ref().and_then(|labels| labels.get(key)) {
                let requirement =
                    machinery::selector::Requirement::new(key, machinery::selector::Operator::In, vec![value.clone()]).ok()?;
                selector = Selector::new([selector.requirements().to_vec(), vec![requirement]].concat());
            }
        }
        Some(Spread {
            max_skew: constraint.max_skew.into(),
            topology_key: constraint.topology_key.clone(),
            required: constraint.when_unsatisfiable == "DoNotSchedule",
            min_domains: constraint.min_domains.unwrap_or(1).into(),
            honours_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honours_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
            selector,
        })
    }
}

impl PodInfo {
    pub fn new(pod: Arc<Pod>) -> PodInfo {
        let nothing = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&nothing);
        let affinity = spec.affinity.clone().unwrap_or_default();
        let (with, against) = (affinity.pod_affinity.unwrap_or_default(), affinity.pod_anti_affinity.unwrap_or_default());
        let read = |terms: Option<Vec<PodAffinityTerm>>| terms.into_iter().flatten().filter_map(|term| Term::read(&term, &pod)).collect();
        let weigh = |terms: Option<Vec<k8s_openapi::api::core::v1::WeightedPodAffinityTerm>>| {
            let read = |term: k8s_openapi::api::core::v1::WeightedPodAffinityTerm| {
                Some((i64::from(term.weight), Term::read(&term.pod_affinity_term, &pod)?))
            };
            terms.into_iter().flatten().filter_map(read).collect()
        };
        PodInfo {
            key: Key::of(&pod.metadata),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            priority: spec.priority.unwrap_or(0),
            requests: requests(spec),
            scored: scored_requests(spec),
            ports: host_ports(spec),
            affinity: read(with.required_during_scheduling_ignored_during_execution),
            anti_affinity: read(against.required_during_scheduling_ignored_during_execution),
            preferred_affinity: weigh(with.preferred_during_scheduling_ignored_during_execution),
            preferred_anti_affinity: weigh(against.preferred_during_scheduling_ignored_during_execution),
            spread: spec.topology_spread_constraints.iter().flatten().filter_map(|constraint| Spread::read(constraint, &pod)).collect(),
            pod: pod.clone(),
        }
    }

    pub fn spec(&self) -> Option<&PodSpec> {
        self.pod.spec.as_ref()
    }

    pub fn node_name(&self) -> &str {
        self.spec().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
    }

    pub fn nominated_node(&self) -> &str {
        self.pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref()).unwrap_or_default()
    }

    pub fn is_finished(&self) -> bool {
        let phase = self.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }

    pub fn is_being_deleted(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Has it terms that concern pods which come later?
    pub fn has_affinity(&self) -> bool {
        !(self.affinity.is_empty()
            && self.preferred_affinity.is_empty()
            && self.preferred_anti_affinity.is_empty()
            && self.anti_affinity.is_empty())
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let wanted = ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let address = port.host_ip.clone().filter(|ip| ip != "0.0.0.0" && ip != "::").unwrap_or_default();
        Some((address, port.protocol.clone().unwrap_or_else(|| "TCP".into()), number))
    });
    wanted.collect()
}
