//! One look at a Job: counts, judges whether it is done or has failed, and leads through managing and tracking its pods.
use super::indexes::{Indexes, index_of};
use super::policy::{Verdict, judge, succeeds};
use super::{FINALIZER, backoff, selector};
use crate::driver::{Moment, Plan, Step};
use crate::objects::conditions::{Condition, find, is_true};
use crate::objects::owners::claim;
use crate::objects::{has_finalizer, is_deleting, pods, seconds, time, uid};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub struct Sync<'a> {
    pub job: &'a Job,
    pub spec: &'a JobSpec,
    pub status: JobStatus,
    pub pods: Vec<Arc<Pod>>,
    /// Neither finished nor being deleted.
    pub active: Vec<Arc<Pod>>,
    pub now: Timestamp,
    /// The plan is only a report about a failure: nothing that it plans besides will happen.
    pub reporting: bool,
    pub plan: Plan,
    /// Counts as they will be when the plan is carried out.
    pub active_count: i32,
    pub ready_count: i32,
    pub terminating_count: i32,
    pub succeeded: i32,
    pub failed: i32,
    pub succeeded_before: Indexes,
    pub succeeded_indexes: Indexes,
    pub failed_indexes: Option<Indexes>,
    /// The last failed pod of each index that is to be tried again: it keeps the count until its successor is there.
    pub delayed: BTreeMap<i32, Arc<Pod>>,
    /// The condition with which the Job ends.
    pub ends: Option<JobCondition>,
}

impl<'a> Sync<'a> {
    pub fn new(job: &'a Job, candidates: &[Arc<Pod>], moment: &Moment) -> Option<Sync<'a>> {
        let spec = job.spec.as_ref()?;
        let mut plan = Plan::default();
        let pods = claim(&mut plan, job, &selector(job), candidates);
        add_finalizers(&mut plan, candidates);
        let active: Vec<Arc<Pod>> = pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let mut status = job.status.clone().unwrap_or_default();
        status.uncounted_terminated_pods.get_or_insert_default();
        let count = |of: fn(&Pod) -> bool| pods.iter().filter(|pod| of(pod)).count() as i32;
        Some(Sync {
            job,
            spec,
            status,
            now: moment.now,
            reporting: moment.failed.is_some(),
            plan,
            active_count: active.len() as i32,
            ready_count: active.iter().filter(|pod| pods::is_ready(pod)).count() as i32,
            terminating_count: count(pods::is_terminating),
            succeeded: 0,
            failed: 0,
            succeeded_before: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            delayed: BTreeMap::new(),
            ends: None,
            pods,
            active,
        })
    }

    pub fn plan(mut self) -> Plan {
        self.count();
        if self.status.start_time.is_none() && !self.is_suspended() {
            self.status.start_time = Some(time(self.now));
        }
        self.judge_failure();
        self.judge_indexes();
        if self.ends.is_some() {
            self.delete_active();
        } else {
            if !is_deleting(&self.job.metadata) {
                self.manage();
            }
            self.judge_completion();
        }
        self.track()
    }

    pub fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    pub fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    pub fn completions(&self) -> i32 {
        self.spec.completions.unwrap_or(1)
    }

    pub fn only_replaces_failed(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed")
    }

    pub fn is_failed(&self, pod: &Pod) -> bool {
        match pods::phase(pod) {
            "Failed" => true,
            "Succeeded" => false,
            // a pod that is being deleted may never tell how it ended
            _ => !self.only_replaces_failed() && is_deleting(&pod.metadata),
        }
    }

    pub fn is_tracked(&self, pod: &Pod) -> bool {
        has_finalizer(&pod.metadata, FINALIZER)
    }

    /// The index of a pod, if the Job still has it.
    pub fn index(&self, pod: &Pod) -> Option<i32> {
        index_of(pod).filter(|index| *index < self.completions())
    }

    pub fn verdict(&self, pod: &Pod) -> Verdict {
        judge(self.spec.pod_failure_policy.as_ref(), pod)
    }

    /// Whether the pod's end is not in the status yet.
    fn is_new(&self, pod: &Pod, uncounted: &Option<Vec<String>>) -> bool {
        let known = uncounted.iter().flatten().any(|known| known == uid(&pod.metadata));
        self.is_tracked(pod) && !known && (!self.is_indexed() || self.index(pod).is_some())
    }

    fn count(&mut self) {
        let uncounted = self.status.uncounted_terminated_pods.clone().unwrap_or_default();
        let known = |uids: &Option<Vec<String>>| uids.as_ref().map_or(0, Vec::len) as i32;
        let succeeded = |pod: &&Arc<Pod>| pods::phase(pod) == "Succeeded" && self.is_new(pod, &uncounted.succeeded);
        let failed = |pod: &&Arc<Pod>| self.is_failed(pod) && self.is_new(pod, &uncounted.failed) && self.verdict(pod) != Verdict::Ignore;
        let new_succeeded = self.pods.iter().filter(succeeded).count() as i32;
        let new_failed = self.pods.iter().filter(failed).count() as i32;
        self.succeeded = self.status.succeeded.unwrap_or(0) + new_succeeded + known(&uncounted.succeeded);
        self.failed = self.status.failed.unwrap_or(0) + new_failed + known(&uncounted.failed);
    }

    fn judge_failure(&mut self) {
        let conditions = &self.status.conditions;
        if let Some(met) = find(conditions, "SuccessCriteriaMet").filter(|met| met.status() == "True") {
            self.ends = Some(met.clone());
        } else if let Some(target) = find(conditions, "FailureTarget").filter(|target| target.status() == "True") {
            self.ends = Some(self.condition("Failed", target.reason(), target.message()));
        } else if let Some(message) = self.fails_by_policy() {
            self.ends = Some(self.condition("FailureTarget", "PodFailurePolicy", &message));
        } else if self.failed > self.backoff_limit() || self.restarts_too_often() {
            let text = "Job has reached the specified backoff limit";
            self.ends = Some(self.condition("FailureTarget", "BackoffLimitExceeded", text));
        } else if let Some(deadline) = self.deadline() {
            if deadline <= self.now {
                let text = "Job was active longer than specified deadline";
                self.ends = Some(self.condition("FailureTarget", "DeadlineExceeded", text));
            } else {
                self.plan.wake(deadline);
            }
        }
    }

    fn fails_by_policy(&self) -> Option<String> {
        self.spec.pod_failure_policy.as_ref()?;
        self.pods.iter().filter(|pod| self.is_failed(pod)).find_map(|pod| match self.verdict(pod) {
            Verdict::FailJob(message) => Some(message),
            _ => None,
        })
    }

    fn backoff_limit(&self) -> i32 {
        self.spec.backoff_limit.unwrap_or(6)
    }

    fn restarts_too_often(&self) -> bool {
        let policy = self.spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        let restarts = || backoff::restarts(self.pods.iter());
        policy == Some("OnFailure") && if self.backoff_limit() == 0 { restarts() > 0 } else { restarts() >= self.backoff_limit() }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let start = self.status.start_time.as_ref().filter(|_| !self.is_suspended())?;
        Some(start.0 + seconds(self.spec.active_deadline_seconds?))
    }

    fn judge_indexes(&mut self) {
        if !self.is_indexed() {
            return;
        }
        let completions = self.completions();
        self.succeeded_before = Indexes::parse(self.status.completed_indexes.as_deref().unwrap_or_default(), completions);
        let tracked: Vec<Arc<Pod>> = self.pods.iter().filter(|pod| self.is_tracked(pod)).cloned().collect();
        let succeeded = tracked.iter().filter(|pod| pods::phase(pod) == "Succeeded");
        let new: BTreeSet<i32> = succeeded.filter_map(|pod| self.index(pod)).collect();
        self.succeeded_indexes = self.succeeded_before.with(&new);
        self.succeeded = self.succeeded_indexes.total();
        if let Some(limit) = self.spec.backoff_limit_per_index {
            let failed = tracked.iter().filter(|pod| self.fails_its_index(pod, limit));
            let failed: BTreeSet<i32> = failed.filter_map(|pod| self.index(pod)).collect();
            let before = Indexes::parse(self.status.failed_indexes.as_deref().unwrap_or_default(), completions);
            self.failed_indexes = Some(before.with(&failed));
            self.judge_failed_indexes();
            self.delay_deletion();
        }
        if self.ends.is_none()
            && let Some(message) = succeeds(self.spec.success_policy.as_ref(), completions, &self.succeeded_indexes)
        {
            self.ends = Some(self.condition("SuccessCriteriaMet", "SuccessPolicy", &message));
        }
    }

    fn fails_its_index(&self, pod: &Pod, limit: i32) -> bool {
        if !self.is_failed(pod) {
            return false;
        }
        match self.verdict(pod) {
            Verdict::FailIndex => true,
            Verdict::Ignore => false,
            Verdict::Count | Verdict::FailJob(_) => backoff::counted_failures(pod) >= limit,
        }
    }

    fn judge_failed_indexes(&mut self) {
        let failed = self.failed_indexes.as_ref().map_or(0, Indexes::total);
        if self.ends.is_some() {
        } else if self.spec.max_failed_indexes.is_some_and(|limit| failed > limit) {
            let text = "Job has exceeded the specified maximal number of failed indexes";
            self.ends = Some(self.condition("FailureTarget", "MaxFailedIndexesExceeded", text));
        } else if failed > 0 && failed + self.succeeded_indexes.total() >= self.completions() {
            self.ends = Some(self.condition("FailureTarget", "FailedIndexes", "Job has failed indexes"));
        }
    }

    /// The last failed pod of an index stays until its successor carries the count on.
    fn delay_deletion(&mut self) {
        let active: BTreeSet<i32> = self.active.iter().filter_map(|pod| index_of(pod)).collect();
        let mut delayed: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
        for pod in self.pods.iter().filter(|pod| self.is_tracked(pod) && self.is_failed(pod)) {
            let Some(index) = self.index(pod) else { continue };
            let failed = self.failed_indexes.as_ref().is_some_and(|failed| failed.has(index));
            if failed || self.succeeded_indexes.has(index) || active.contains(&index) {
                continue;
            }
            let order = |pod: &Pod| (backoff::failures_of_index(pod), backoff::ended(pod));
            let later = delayed.get(&index).is_none_or(|other| order(other) <= order(pod));
            if later {
                delayed.insert(index, pod.clone());
            }
        }
        self.delayed = delayed;
    }

    fn judge_completion(&mut self) {
        let done = match self.spec.completions {
            None => self.succeeded > 0 && self.active_count == 0,
            Some(completions) => self.succeeded >= completions && self.active_count == 0,
        };
        if done {
            let text = "Reached expected number of succeeded pods";
            self.ends = Some(self.condition("SuccessCriteriaMet", "CompletionsReached", text));
        } else if !is_deleting(&self.job.metadata) {
            self.tell_suspended();
        }
    }

    fn tell_suspended(&mut self) {
        let was = is_true(&self.status.conditions, "Suspended");
        if self.is_suspended() && !was {
            let condition = self.condition("Suspended", "JobSuspended", "Job suspended");
            crate::objects::conditions::put(&mut self.status.conditions, condition);
            self.status.start_time = None;
            self.plan.normal(self.job, "Suspended", "Job suspended");
        } else if !self.is_suspended() && was {
            let mut condition = self.condition("Suspended", "JobResumed", "Job resumed");
            condition.status = "False".into();
            crate::objects::conditions::put(&mut self.status.conditions, condition);
            // the deadline counts the time since it was resumed
            self.status.start_time = Some(time(self.now));
            self.plan.normal(self.job, "Resumed", "Job resumed");
        }
    }

    pub fn condition(&self, kind: &str, reason: &str, message: &str) -> JobCondition {
        let mut condition = JobCondition::new(kind, "True", reason, message, self.now);
        condition.last_probe_time = condition.last_transition_time.clone();
        condition
    }
}

/// Adopted pods are tracked from the first moment: the finalizer comes with the owner reference.
fn add_finalizers(plan: &mut Plan, pods: &[Arc<Pod>]) {
    for step in &mut plan.steps {
        let Step::Patch { target, patch: client::Patch::Merge(change), .. } = step else { continue };
        let owners = change["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let adopts = owners.filter(|owner| owner["kind"] == "Job").count() > 0;
        if let (true, Some(pod)) = (adopts, pods.iter().find(|pod| pod.metadata.uid == target.uid)) {
            let mut finalizers = pod.metadata.finalizers.clone().unwrap_or_default();
            finalizers.retain(|own| own != FINALIZER);
            finalizers.push(FINALIZER.into());
            change["metadata"]["finalizers"] = finalizers.into();
        }
    }
}
