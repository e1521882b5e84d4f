//! What a plugin is. Typed inside (`Plugin<S>`, with the state it works out once per pod), erased outside (`dyn DynPlugin`).
use crate::cluster::{Cluster, Row};
use crate::pod::PodInfo;
use std::borrow::Cow;

/// Things that can make a pod schedulable which a plugin refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    NodeAdded,
    NodeChanged,
    PodPlaced,
    PodGone,
    /// Labels of a placed pod or of a namespace.
    LabelsChanged,
    VolumesChanged,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Fits,
    /// Equal reasons are counted over nodes and told once.
    Refused {
        why: Cow<'static, str>,
        preemption_helps: bool,
    },
}

impl Verdict {
    /// Removing pods from the node could change it.
    pub fn full(why: impl Into<Cow<'static, str>>) -> Verdict {
        Verdict::Refused { why: why.into(), preemption_helps: true }
    }

    pub fn never(why: impl Into<Cow<'static, str>>) -> Verdict {
        Verdict::Refused { why: why.into(), preemption_helps: false }
    }
}

pub const MAX_SCORE: i64 = 100;

/// How raw scores become 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normal {
    /// They are already.
    AsIs,
    /// The highest becomes 100.
    HighestIsBest,
    /// The lowest becomes 100, the highest 0.
    LowestIsBest,
    /// The highest becomes 100, the lowest 0.
    Stretched,
}

/// What a plugin says about a pod before it looks at nodes.
pub enum Before<S> {
    /// Nothing in the pod concerns it.
    Skip,
    Go(S),
    /// No node can do.
    Refused(Cow<'static, str>),
}

pub struct Plugin<S: 'static> {
    pub name: &'static str,
    pub weight: i64,
    /// Which events can make a pod schedulable that this plugin refused.
    pub wakes_on: &'static [Event],
    pub prefilter: fn(&PodInfo, &Cluster) -> Before<S>,
    pub filter: Option<fn(&S, &Row) -> Verdict>,
    pub score: Option<fn(&S, &Row) -> i64>,
    pub normal: Normal,
}

/// A plugin at work on one pod.
pub trait Cycle {
    fn filter(&self, row: &Row) -> Verdict;
    fn filters(&self) -> bool;
    fn score(&self, row: &Row) -> i64;
    fn scores(&self) -> bool;
}

pub trait DynPlugin: Sync {
    fn name(&self) -> &'static str;
    fn weight(&self) -> i64;
    fn wakes_on(&self) -> &'static [Event];
    fn normal(&self) -> Normal;
    fn begin(&self, pod: &PodInfo, cluster: &Cluster) -> Before<Box<dyn Cycle>>;
}

struct Running<S: 'static> {
    plugin: &'static Plugin<S>,
    state: S,
}

impl<S> Cycle for Running<S> {
    fn filter(&self, row: &Row) -> Verdict {
        self.plugin.filter.map_or(Verdict::Fits, |filter| filter(&self.state, row))
    }
    fn filters(&self) -> bool {
        self.plugin.filter.is_some()
    }
    fn score(&self, row: &Row) -> i64 {
        self.plugin.score.map_or(0, |score| score(&self.state, row))
    }
    fn scores(&self) -> bool {
        self.plugin.score.is_some()
    }
}

impl<S: 'static> DynPlugin for &'static Plugin<S> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn weight(&self) -> i64 {
        self.weight
    }
    fn wakes_on(&self) -> &'static [Event] {
        self.wakes_on
    }
    fn normal(&self) -> Normal {
        self.normal
    }
    fn begin(&self, pod: &PodInfo, cluster: &Cluster) -> Before<Box<dyn Cycle>> {
        match (self.prefilter)(pod, cluster) {
            Before::Skip => Before::Skip,
            Before::Refused(why) => Before::Refused(why),
            Before::Go(state) => Before::Go(Box::new(Running { plugin: self, state })),
        }
    }
}

/// Brings raw scores into 0 to 100.
pub fn normalize(normal: Normal, scores: &mut [i64]) {
    let (highest, lowest) = (scores.iter().copied().max().unwrap_or(0), scores.iter().copied().min().unwrap_or(0));
    match normal {
        Normal::AsIs => {}
        Normal::HighestIsBest if highest > 0 => scores.iter_mut().for_each(|score| *score = *score * MAX_SCORE / highest),
        Normal::HighestIsBest => {}
        Normal::LowestIsBest if highest > 0 => scores.iter_mut().for_each(|score| *score = MAX_SCORE - *score * MAX_SCORE / highest),
        Normal::LowestIsBest => scores.fill(MAX_SCORE),
        Normal::Stretched if highest > lowest => {
            scores.iter_mut().for_each(|score| *score = MAX_SCORE * (*score - lowest) / (highest - lowest));
        }
        Normal::Stretched => scores.fill(0),
    }
}
