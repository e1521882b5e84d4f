//! One decision: filter all nodes, score those that fit, choose. Pure; the same cluster, pod and draw give the same node.
use crate::cluster::{Cluster, Row};
use crate::framework::{Before, Cycle, DynPlugin, Verdict, normalize};
use crate::pod::PodInfo;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, PartialEq)]
pub enum Decision {
    Node(String),
    Unschedulable(Failure),
}

/// Why no node will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failure {
    pub nodes: usize,
    /// Reasons with the number of nodes that have them.
    pub reasons: BTreeMap<String, usize>,
    /// Plugins that refused: events that wake them make another attempt worth while.
    pub plugins: BTreeSet<&'static str>,
    /// Nodes on which the removal of pods could help.
    pub candidates: Vec<String>,
}

impl Failure {
    /// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`, most frequent reason last as the original sorts them by text.
    pub fn message(&self) -> String {
        let nodes = self.nodes;
        let mut reasons: Vec<String> =
            self.reasons.iter().map(|(why, count)| if *count == 0 { why.clone() } else { format!("{count} {why}") }).collect();
        reasons.sort();
        match (nodes, reasons.is_empty()) {
            (0, true) => "no nodes available to schedule pods".into(),
            (nodes, true) => format!("0/{nodes} nodes are available."),
            (nodes, false) => format!("0/{nodes} nodes are available: {}.", reasons.join(", ")),
        }
    }
}

/// The plugins at work on one pod.
pub struct Running {
    cycles: Vec<(&'static dyn DynPlugin, Box<dyn Cycle>)>,
}

impl Running {
    /// Or the plugin that rules every node out, with its reason.
    pub fn begin(
        pod: &PodInfo,
        cluster: &Cluster,
        plugins: &'static [&'static dyn DynPlugin],
    ) -> Result<Running, (&'static str, Cow<'static, str>)> {
        let mut cycles = Vec::with_capacity(plugins.len());
        for plugin in plugins {
            match plugin.begin(pod, cluster) {
                Before::Skip => {}
                Before::Go(cycle) => cycles.push((*plugin, cycle)),
                Before::Refused(why) => return Err((plugin.name(), why)),
            }
        }
        Ok(Running { cycles })
    }

    /// The first refusal, if any.
    pub fn refusal(&self, row: &Row) -> Option<(&'static str, Cow<'static, str>, bool)> {
        self.cycles.iter().filter(|(_, cycle)| cycle.filters()).find_map(|(plugin, cycle)| match cycle.filter(row) {
            Verdict::Fits => None,
            Verdict::Refused { why, preemption_helps } => Some((plugin.name(), why, preemption_helps)),
        })
    }

    fn score(&self, rows: &[&Row]) -> Vec<i64> {
        let mut totals = vec![0; rows.len()];
        for (plugin, cycle) in self.cycles.iter().filter(|(_, cycle)| cycle.scores()) {
            let mut scores: Vec<i64> = rows.iter().map(|row| cycle.score(row)).collect();
            normalize(plugin.normal(), &mut scores);
            totals.iter_mut().zip(scores).for_each(|(total, score)| *total += score * plugin.weight());
        }
        totals
    }
}

/// `draw(n)` gives a number below n: equal nodes are chosen from at random.
pub fn decide(pod: &PodInfo, cluster: &Cluster, plugins: &'static [&'static dyn DynPlugin], draw: impl FnOnce(usize) -> usize) -> Decision {
    let mut failure = Failure { nodes: cluster.nodes().count(), ..Failure::default() };
    let running = match Running::begin(pod, cluster, plugins) {
        Ok(running) => running,
        Err((plugin, why)) => {
            failure.plugins.insert(plugin);
            failure.reasons.insert(why.into_owned(), 0);
            return Decision::Unschedulable(failure);
        }
    };
    let mut fitting: Vec<&Row> = Vec::new();
    for row in cluster.nodes() {
        let coming = cluster.row_with_nominated(row, pod);
        let refusal = running.refusal(row).or_else(|| coming.as_ref().and_then(|then| running.refusal(then)));
        match refusal {
            None => fitting.push(row),
            Some((plugin, why, preemption_helps)) => {
                failure.plugins.insert(plugin);
                *failure.reasons.entry(why.into_owned()).or_default() += 1;
                if preemption_helps {
                    failure.candidates.push(row.name.clone());
                }
            }
        }
    }
    match fitting.as_slice() {
        [] => Decision::Unschedulable(failure),
        [one] => Decision::Node(one.name.clone()),
        several => Decision::Node(choose(&running, several, pod, draw)),
    }
}

fn choose(running: &Running, rows: &[&Row], pod: &PodInfo, draw: impl FnOnce(usize) -> usize) -> String {
    if let Some(nominated) = rows.iter().find(|row| !row.name.is_empty() && row.name == pod.nominated_node()) {
        return nominated.name.clone();
    }
    let totals = running.score(rows);
    let best = totals.iter().copied().max().unwrap_or(0);
    let winners: Vec<usize> = (0..rows.len()).filter(|at| totals[*at] == best).collect();
    rows[winners[draw(winners.len())]].name.clone()
}
