//! One look at a StatefulSet: what each number needs, in order or all at once.
use super::super::history::{self, HASH_LABEL};
use super::super::replicas::deleted;
use super::identity::{self, claim_owners, claims, new_pod, ordinal, pod_name};
use crate::driver::{Deletion, Outcome, Plan};
use crate::objects::{count, is_deleting, label, name, pods, scaled};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

pub struct Sync<'a> {
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    /// Pods by number, those within the wanted range.
    replicas: BTreeMap<i32, Arc<Pod>>,
    /// Pods beyond it, the highest number first.
    condemned: Vec<(i32, Arc<Pod>)>,
    claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
    current: ControllerRevision,
    update: ControllerRevision,
    now: Timestamp,
    plan: Plan,
    /// Whether something was planned that must happen before anything else.
    waits: bool,
}

impl<'a> Sync<'a> {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        set: &'a StatefulSet,
        spec: &'a StatefulSetSpec,
        pods: Vec<Arc<Pod>>,
        claims: &[Arc<PersistentVolumeClaim>],
        current: ControllerRevision,
        update: ControllerRevision,
        now: Timestamp,
        plan: Plan,
    ) -> Sync<'a> {
        let range = identity::start(spec)..identity::start(spec) + spec.replicas.unwrap_or(1);
        let numbered = pods.into_iter().filter_map(|pod| Some((ordinal(set, &pod)?, pod)));
        let (replicas, mut condemned): (Vec<_>, Vec<_>) = numbered.partition(|(number, _)| range.contains(number));
        condemned.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        let claims = claims.iter().map(|claim| (name(&claim.metadata).to_string(), claim.clone())).collect();
        Sync { set, spec, replicas: replicas.into_iter().collect(), condemned, claims, current, update, now, plan, waits: false }
    }

    pub fn plan(mut self, own: &[Arc<ControllerRevision>]) -> Plan {
        let before = self.status();
        if !is_deleting(&self.set.metadata) {
            self.serve();
        }
        let all = self.replicas.values().chain(self.condemned.iter().map(|(_, pod)| pod));
        let live: HashSet<String> = all.clone().filter_map(|pod| label(&pod.metadata, HASH_LABEL).map(String::from)).collect();
        let next = pods::next_available(all.map(|pod| &**pod), self.min_ready(), self.now);
        self.plan.wake_if(next);
        let is_live = |revision: &ControllerRevision| {
            let own = name(&revision.metadata);
            own == name(&self.current.metadata) || own == name(&self.update.metadata) || live.contains(own)
        };
        history::truncate(&mut self.plan, own, self.spec.revision_history_limit, is_live);
        let mut new = self.set.clone();
        new.status = Some(before);
        self.plan.status(self.set, new);
        self.plan
    }

    fn serve(&mut self) {
        let first = identity::start(self.spec);
        for number in first..first + self.wanted() {
            self.serve_replica(number);
            if self.waits && self.ordered() {
                return;
            }
        }
        self.waits = false;
        self.retain_claims();
        self.remove_condemned();
        if self.waits && self.ordered() {
            return;
        }
        let strategy = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        if strategy != Some("OnDelete") {
            self.roll();
        }
    }

    fn wanted(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.min_ready(), self.now)
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        pods::phase(pod) == "Running" && self.is_available(pod)
    }

    fn partition(&self) -> Option<i32> {
        let rolling = self.spec.update_strategy.as_ref()?.rolling_update.as_ref()?;
        Some(rolling.partition.unwrap_or(0))
    }

    fn serve_replica(&mut self, number: i32) {
        let Some(pod) = self.replicas.get(&number).cloned() else {
            self.create(number);
            self.waits = true;
            return;
        };
        if pods::is_finished(&pod) {
            if !is_deleting(&pod.metadata) {
                self.delete(&pod);
            }
            self.waits = true;
            return;
        }
        if pods::phase(&pod) == "Pending" {
            self.create_claims(number, Some(&pod));
        }
        if self.ordered() && (is_deleting(&pod.metadata) || !self.is_healthy(&pod)) {
            self.waits = true;
            return;
        }
        let mut labeled = (*pod).clone();
        identity::label(self.set, &mut labeled, number);
        self.plan.update(&*pod, labeled);
        self.retain_claims_of(number, &pod, false);
    }

    fn create(&mut self, number: i32) {
        if self.create_claims(number, None) {
            // a claim of that name is on its way out: the pod would lose its storage
            return;
        }
        let (template, revision) = self.version(number);
        let pod = new_pod(self.set, &template, &revision, number);
        let own = pod_name(self.set, number);
        let done = format!("create Pod {own} in StatefulSet {} successful", name(&self.set.metadata));
        let failed = format!("create Pod {own} in StatefulSet {} failed error: {{}}", name(&self.set.metadata));
        let tell = Outcome::new(self.set, ("SuccessfulCreate", &done), ("FailedCreate", &failed));
        self.plan.create_telling(pod, Some(tell));
    }

    /// Below the partition (or among the first that are still of it) a pod is made of the current revision.
    fn version(&self, number: i32) -> (PodTemplateSpec, String) {
        let current_replicas = self.set.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0);
        let limit = identity::start(self.spec) + self.partition().unwrap_or(current_replicas);
        let rolling = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete");
        let old = rolling && number < limit;
        let revision = if old { &self.current } else { &self.update };
        let template = history::template_of(revision).unwrap_or_else(|| self.spec.template.clone());
        (template, name(&revision.metadata).to_string())
    }

    /// Creates missing claims; gives whether one that is there is being deleted.
    fn create_claims(&mut self, number: i32, pod: Option<&Pod>) -> bool {
        let mut stale = false;
        for claim in claims(self.set, number) {
            match self.claims.get(name(&claim.metadata)) {
                Some(old) => stale |= is_deleting(&old.metadata) && pod.is_none(),
                None => {
                    let (own, set) = (name(&claim.metadata).to_string(), name(&self.set.metadata));
                    let pod = pod_name(self.set, number);
                    let done = format!("create Claim {own} Pod {pod} in StatefulSet {set} success");
                    let failed = format!("create Claim {own} for Pod {pod} in StatefulSet {set} failed error: {{}}");
                    let tell = Outcome::new(self.set, ("SuccessfulCreate", &done), ("FailedCreate", &failed));
                    self.plan.create_telling(claim, Some(tell));
                }
            }
        }
        stale
    }

    fn delete(&mut self, pod: &Pod) {
        let (own, set) = (name(&pod.metadata), name(&self.set.metadata));
        let done = format!("delete Pod {own} in StatefulSet {set} successful");
        let failed = format!("delete Pod {own} in StatefulSet {set} failed error: {{}}");
        let tell = Outcome { done: Some(("SuccessfulDelete", done)), failed: Some(("FailedDelete", failed)), ..deleted(self.set) };
        self.plan.delete_telling(pod, Deletion::default(), Some(tell));
    }

    fn retain_claims(&mut self) {
        for (number, pod) in self.condemned.clone() {
            self.retain_claims_of(number, &pod, true);
        }
    }

    fn retain_claims_of(&mut self, number: i32, pod: &Pod, scaled_down: bool) {
        for wanted in claims(self.set, number) {
            let Some(claim) = self.claims.get(name(&wanted.metadata)) else { continue };
            if let Some(owners) = claim_owners(self.set, pod, claim, scaled_down) {
                let mut new = (**claim).clone();
                new.metadata.owner_references = (!owners.is_empty()).then_some(owners);
                let old = claim.clone();
                self.plan.update(&*old, new);
            }
        }
    }

    /// The lowest number that does not work, among the wanted and then the others.
    fn first_unhealthy(&self) -> Option<Arc<Pod>> {
        let all = self.replicas.values().chain(self.condemned.iter().rev().map(|(_, pod)| pod));
        all.into_iter().find(|pod| !self.is_available(pod) || is_deleting(&pod.metadata)).cloned()
    }

    fn remove_condemned(&mut self) {
        let unhealthy = self.first_unhealthy().and_then(|pod| pod.metadata.uid.clone());
        for (_, pod) in self.condemned.clone() {
            // in order, one that does not work goes only if nothing before it is broken
            let may_go = !self.ordered() || self.is_healthy(&pod) || pod.metadata.uid == unhealthy;
            if may_go && !is_deleting(&pod.metadata) {
                self.delete(&pod);
            }
            self.waits = true;
            if self.ordered() {
                return;
            }
        }
    }

    fn is_old(&self, pod: &Pod) -> bool {
        label(&pod.metadata, HASH_LABEL) != Some(name(&self.update.metadata))
    }

    /// Replaces pods of older revisions from the highest number down, within what may be unavailable.
    fn roll(&mut self) {
        let rolling = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let most = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let most = most.map_or(1, |value| scaled(value, self.wanted(), false)).max(1);
        let least = identity::start(self.spec) + self.partition().unwrap_or(0);
        let is_down = |pod: &Pod| !self.is_available(pod) || is_deleting(&pod.metadata);
        let missing = self.wanted() - self.replicas.len() as i32;
        let down = missing + self.replicas.values().filter(|pod| is_down(pod)).count() as i32;
        let candidates: Vec<Arc<Pod>> = self
            .replicas
            .range(least..)
            .rev()
            .map(|(_, pod)| pod)
            .filter(|pod| self.is_old(pod) && !is_deleting(&pod.metadata))
            .cloned()
            .collect();
        let (broken, working): (Vec<Arc<Pod>>, Vec<Arc<Pod>>) = candidates.iter().cloned().partition(|pod| is_down(pod));
        let room = (most - down).max(0) as usize;
        if self.ordered() {
            candidates.iter().take(room).for_each(|pod| self.delete(pod));
        } else {
            // what does not work anyway costs nothing
            broken.iter().for_each(|pod| self.delete(pod));
            working.iter().take(room).for_each(|pod| self.delete(pod));
        }
    }

    fn status(&self) -> StatefulSetStatus {
        let all: Vec<&Arc<Pod>> = self.replicas.values().chain(self.condemned.iter().map(|(_, pod)| pod)).collect();
        let number = |of: &dyn Fn(&Pod) -> bool| all.iter().filter(|pod| of(pod)).count() as i32;
        let is_ready = |pod: &Pod| pods::phase(pod) == "Running" && pods::is_ready(pod);
        let of = |revision: &ControllerRevision| {
            let own = name(&revision.metadata).to_string();
            move |pod: &Pod| !is_deleting(&pod.metadata) && label(&pod.metadata, HASH_LABEL) == Some(&own)
        };
        let old = self.set.status.clone().unwrap_or_default();
        let (replicas, ready, updated) = (number(&|_| true), number(&is_ready), number(&of(&self.update)));
        let mut status = StatefulSetStatus {
            observed_generation: self.set.metadata.generation,
            replicas,
            ready_replicas: count(ready),
            available_replicas: Some(number(&|pod| is_ready(pod) && self.is_available(pod))),
            current_replicas: count(number(&of(&self.current))),
            updated_replicas: count(updated),
            current_revision: self.current.metadata.name.clone(),
            update_revision: self.update.metadata.name.clone(),
            collision_count: Some(old.collision_count.unwrap_or(0)),
            conditions: old.conditions,
        };
        if [replicas, ready, updated] == [self.wanted(); 3] {
            status.current_replicas = status.updated_replicas;
            status.current_revision = status.update_revision.clone();
        }
        status
    }
}
