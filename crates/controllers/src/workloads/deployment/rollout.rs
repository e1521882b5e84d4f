//! A rollout in the making: drafts of the Deployment and its sets, changed step by step, and turned into a plan at the end.
use super::{View, revision, status};
use crate::driver::{Deletion, Failure, Moment, Outcome, Plan, Step, What};
use crate::objects::conditions::{self, Condition};
use crate::objects::owners::{claim, controller};
use crate::objects::selectors::Selector;
use crate::objects::{annotation, created, hash, is_deleting, name, scaled, set_entry, time};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::sync::Arc;

pub const HASH_LABEL: &str = "pod-template-hash";
/// Longest name of a set.
const MAX_NAME: usize = 253;

pub struct Rollout<'a> {
    pub deployment: &'a Deployment,
    /// The Deployment with what changed in its status and annotations.
    pub draft: Deployment,
    /// Sets of older templates.
    pub old: Vec<Draft>,
    /// The set of the current template.
    pub new: Option<Draft>,
    pub now: Timestamp,
    pub failed: Option<&'a Failure>,
    namesake: Option<Arc<ReplicaSet>>,
    collision: bool,
    plan: Plan,
    doomed: Vec<Arc<ReplicaSet>>,
}

/// A set as it is and as it should be; `seen` is `None` for one to create.
#[derive(Clone)]
pub struct Draft {
    pub seen: Option<Arc<ReplicaSet>>,
    pub set: ReplicaSet,
}

impl Draft {
    pub fn replicas(&self) -> i32 {
        self.set.spec.replicas.unwrap_or(1)
    }

    pub fn status(&self, of: impl Fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> Option<i32>) -> i32 {
        self.set.status.as_ref().and_then(of).unwrap_or(0)
    }

    pub fn available(&self) -> i32 {
        self.status(|status| status.available_replicas)
    }
}

impl<'a> Rollout<'a> {
    pub fn new(view: &'a View, selector: &Selector, moment: &Moment<'a>) -> Rollout<'a> {
        let mut plan = Plan::default();
        let mut sets = claim(&mut plan, &*view.deployment, selector, &view.sets);
        sets.sort_by_key(|set| (created(&set.metadata), set.metadata.name.clone()));
        let template = without_hash(&view.deployment.spec.template);
        let is_new = |set: &Arc<ReplicaSet>| set.spec.template.as_ref().is_some_and(|own| without_hash(own) == template);
        let new = sets.iter().position(is_new).map(|at| sets.remove(at));
        let draft = |set: Arc<ReplicaSet>| Draft { set: (*set).clone(), seen: Some(set) };
        Rollout {
            deployment: &view.deployment,
            draft: (*view.deployment).clone(),
            old: sets.into_iter().map(draft).collect(),
            new: new.map(draft),
            now: moment.now,
            failed: moment.failed,
            namesake: view.namesake.clone(),
            collision: false,
            plan,
            doomed: Vec::new(),
        }
    }

    pub fn wanted(&self) -> i32 {
        self.deployment.spec.replicas.unwrap_or(1)
    }

    /// So many pods above and below the wanted number are allowed while rolling. When both round to nothing, one may be missing.
    pub fn limits(&self) -> (i32, i32) {
        let strategy = self.deployment.spec.strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
            return (0, 0);
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref()).map_or(0, |surge| scaled(surge, self.wanted(), true));
        let missing = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let missing = missing.map_or(0, |missing| scaled(missing, self.wanted(), false));
        if surge == 0 && missing == 0 { (0, 1) } else { (surge, missing) }
    }

    pub fn max_surge(&self) -> i32 {
        self.limits().0
    }

    pub fn max_unavailable(&self) -> i32 {
        if self.wanted() == 0 { 0 } else { self.limits().1.min(self.wanted()) }
    }

    pub fn deadline(&self) -> Option<i32> {
        self.deployment.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
    }

    pub fn all(&self) -> impl Iterator<Item = &Draft> {
        self.old.iter().chain(&self.new)
    }

    /// What the sets are asked for, in sum.
    pub fn total(&self) -> i32 {
        self.all().map(Draft::replicas).sum()
    }

    /// Keeps the annotations of the current template's set right, and creates it where it is missing and `create` says so.
    pub fn sync_new_set(&mut self, create: bool) {
        let newest = self.old.iter().map(|draft| revision::of(&draft.set.metadata)).max().unwrap_or(0) + 1;
        if let Some(new) = &mut self.new {
            revision::annotate(self.deployment, &mut new.set, newest);
            new.set.spec.min_ready_seconds = self.deployment.spec.min_ready_seconds;
            let revision = annotation(&new.set.metadata, revision::REVISION).unwrap_or_default().to_string();
            set_entry(&mut self.draft.metadata.annotations, revision::REVISION, &revision);
            if self.deadline().is_some() && !self.has_progress() {
                let message = format!("Found new replica set \"{}\"", name(&self.new_meta()));
                self.progress("True", "FoundNewReplicaSet", &message);
            }
        } else if create {
            self.create_new_set(newest);
        }
    }

    fn create_new_set(&mut self, revision: i64) {
        if self.namesake.is_some() {
            // another template with the same hash: take the next name
            let status = self.draft.status.get_or_insert_default();
            status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
            self.collision = true;
            return;
        }
        let mut set = self.new_set();
        revision::annotate(self.deployment, &mut set, revision);
        let replicas = self.room(0);
        set.spec.replicas = Some(replicas);
        self.annotate_size(&mut set);
        let name = name(&set.metadata).to_string();
        set_entry(&mut self.draft.metadata.annotations, revision::REVISION, &revision.to_string());
        if self.deadline().is_some() {
            match self.failed {
                Some(failure) => {
                    let message = format!("Failed to create new replica set \"{name}\": {}", failure.message);
                    self.progress("False", "ReplicaSetCreateError", &message);
                }
                None => self.progress("True", "NewReplicaSetCreated", &format!("Created new replica set \"{name}\"")),
            }
        }
        self.new = Some(Draft { seen: None, set });
    }

    fn new_set(&self) -> ReplicaSet {
        let (hash, name) = name_of_new_set(self.deployment);
        let mut template = self.deployment.spec.template.clone();
        set_entry(&mut template.metadata.get_or_insert_default().labels, HASH_LABEL, &hash);
        let mut selector = self.deployment.spec.selector.clone();
        set_entry(&mut selector.match_labels, HASH_LABEL, &hash);
        let metadata = ObjectMeta {
            name: Some(name),
            namespace: self.deployment.metadata.namespace.clone(),
            labels: template.metadata.as_ref().and_then(|meta| meta.labels.clone()),
            owner_references: Some(vec![controller(self.deployment)]),
            ..ObjectMeta::default()
        };
        let min_ready_seconds = self.deployment.spec.min_ready_seconds;
        ReplicaSet {
            metadata,
            spec: ReplicaSetSpec { replicas: None, min_ready_seconds, selector, template: Some(template) },
            status: None,
        }
    }

    /// How large the current template's set may be, now that it is `replicas`.
    pub fn room(&self, replicas: i32) -> i32 {
        if self.deployment.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
            return self.wanted();
        }
        let free = self.wanted() + self.max_surge() - self.total();
        if free <= 0 { replicas } else { replicas + free.min(self.wanted() - replicas) }
    }

    /// Sets that remember how large the Deployment should have been show later whether it was scaled.
    pub fn annotate_size(&self, set: &mut ReplicaSet) {
        let (wanted, most) = (self.wanted(), self.wanted() + self.max_surge());
        set_entry(&mut set.metadata.annotations, revision::DESIRED, &wanted.to_string());
        set_entry(&mut set.metadata.annotations, revision::MAX, &most.to_string());
    }

    /// Removes sets of old templates beyond the history limit, oldest first.
    pub fn clean_up(&mut self) {
        let Some(limit) = self.deployment.spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else { return };
        let mut old: Vec<Arc<ReplicaSet>> =
            self.old.iter().filter_map(|draft| draft.seen.clone()).filter(|set| !is_deleting(&set.metadata)).collect();
        let surplus = old.len().saturating_sub(limit.max(0) as usize);
        old.sort_by_key(|set| (revision::of(&set.metadata), created(&set.metadata)));
        let empty = |set: &ReplicaSet| {
            let status = set.status.clone().unwrap_or_default();
            let seen = set.metadata.generation.unwrap_or(0) <= status.observed_generation.unwrap_or(0);
            status.replicas == 0 && set.spec.replicas == Some(0) && seen
        };
        self.doomed = old.into_iter().take(surplus).filter(|set| empty(set)).collect();
    }

    pub fn has_progress(&self) -> bool {
        self.draft.status.as_ref().is_some_and(|status| conditions::find(&status.conditions, "Progressing").is_some())
    }

    fn progress(&mut self, status: &str, reason: &str, message: &str) {
        let mut condition = DeploymentCondition::new("Progressing", status, reason, message, self.now);
        condition.last_update_time = Some(time(self.now));
        conditions::set(&mut self.draft.status.get_or_insert_default().conditions, condition);
    }

    fn new_meta(&self) -> ObjectMeta {
        self.new.as_ref().map(|new| new.set.metadata.clone()).unwrap_or_default()
    }

    /// Turns the drafts into steps. `progress`: this is a rollout, so its progress is judged.
    pub fn finish(mut self, progress: bool) -> Plan {
        let drafts: Vec<Draft> = self.new.iter().chain(&self.old).cloned().collect();
        for draft in drafts {
            let tell = self.scaling(&draft);
            match &draft.seen {
                None => self.plan.steps.push(Step::Create { what: What::of::<ReplicaSet>(), object: Box::new(draft.set), tell }),
                Some(seen) => self.plan.replace(&**seen, draft.set, "", tell),
            }
        }
        for set in std::mem::take(&mut self.doomed) {
            self.plan.delete_telling(&*set, Deletion::default(), None);
        }
        status::judge(&mut self, progress);
        let mut plan = std::mem::take(&mut self.plan);
        if self.draft.metadata != self.deployment.metadata && self.failed.is_none() {
            // the revision first; its event brings us back for the status
            let status = self.deployment.status.clone();
            plan.update(self.deployment, Deployment { status, ..self.draft });
        } else {
            let metadata = self.deployment.metadata.clone();
            plan.status(self.deployment, Deployment { metadata, ..self.draft });
        }
        plan
    }

    pub fn wake(&mut self, at: Timestamp) {
        self.plan.wake(at);
    }

    pub fn is_collision(&self) -> bool {
        self.collision
    }

    fn scaling(&self, draft: &Draft) -> Option<Outcome> {
        let (before, after) = (draft.seen.as_ref().map_or(0, |seen| seen.spec.replicas.unwrap_or(1)), draft.replicas());
        let name = name(&draft.set.metadata);
        let word = if after > before { "up" } else { "down" };
        let text = if after == before { String::new() } else { format!("Scaled {word} replica set {name} from {before} to {after}") };
        let failed = if draft.seen.is_none() { format!("Failed to create new replica set \"{name}\": {{}}") } else { String::new() };
        Some(Outcome::new(self.deployment, ("ScalingReplicaSet", &text), ("ReplicaSetCreateError", &failed)))
    }
}

/// The hash of the template, and the name of its set.
pub fn name_of_new_set(deployment: &Deployment) -> (String, String) {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = hash::name_of(&deployment.spec.template, collisions);
    let mut base = name(&deployment.metadata).to_string();
    base.truncate(MAX_NAME - 1 - hash.len());
    let name = format!("{base}-{hash}");
    (hash, name)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
        labels.remove(HASH_LABEL);
    }
    template
}
