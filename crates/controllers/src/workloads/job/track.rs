//! Counts the ends of pods exactly once: first the uid goes into the status, then the finalizer leaves the pod, then the uid
//! becomes a number. A crash in between repeats a step and loses nothing.
use super::indexes::Indexes;
use super::policy::Verdict;
use super::sync::Sync;
use super::untrack;
use crate::driver::{Plan, Step};
use crate::objects::conditions::{Condition, find, put};
use crate::objects::{count, is_deleting, pods, uid};
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// So many uids stand in the status at most; the rest waits for the next round.
const MAX_UNCOUNTED: usize = 500;

impl Sync<'_> {
    pub fn track(mut self) -> Plan {
        self.settle_uncounted();
        let (released, more) = self.take_ends();
        self.write_indexes();
        let told = self.write_conditions(more);
        self.write_counts();
        let mut new: Job = self.job.clone();
        new.status = Some(self.status);
        let mut plan = self.plan;
        plan.status(self.job, new);
        plan.steps.extend(released.iter().map(|pod| untrack(pod)));
        plan.steps.extend(told);
        plan
    }

    /// Uids of pods that have lost the finalizer become numbers.
    fn settle_uncounted(&mut self) {
        let tracked: HashSet<String> =
            self.pods.iter().filter(|pod| self.is_tracked(pod)).map(|pod| uid(&pod.metadata).to_string()).collect();
        let uncounted = self.status.uncounted_terminated_pods.get_or_insert_default();
        let settle = |uids: &mut Option<Vec<String>>| -> i32 {
            let Some(list) = uids else { return 0 };
            let before = list.len();
            list.retain(|uid| tracked.contains(uid));
            let settled = (before - list.len()) as i32;
            if list.is_empty() {
                *uids = None;
            }
            settled
        };
        let (succeeded, failed) = (settle(&mut uncounted.succeeded), settle(&mut uncounted.failed));
        self.status.succeeded = count(self.status.succeeded.unwrap_or(0) + succeeded);
        self.status.failed = count(self.status.failed.unwrap_or(0) + failed);
    }

    /// Notes the ends of pods; gives the pods that may lose the finalizer, and whether there are more.
    fn take_ends(&mut self) -> (Vec<Arc<Pod>>, bool) {
        let mut released = Vec::new();
        let mut indexes = BTreeSet::new();
        let mut ordered: Vec<Arc<Pod>> = self.pods.iter().filter(|pod| self.is_tracked(pod) && self.may_go(pod)).cloned().collect();
        ordered.sort_by_key(|pod| self.index(pod));
        let mut more = false;
        for pod in &ordered {
            let uncounted = self.status.uncounted_terminated_pods.clone().unwrap_or_default();
            let length = |uids: &Option<Vec<String>>| uids.as_ref().map_or(0, Vec::len);
            if indexes.len() + length(&uncounted.succeeded) + length(&uncounted.failed) >= MAX_UNCOUNTED {
                more = true;
                break;
            }
            released.push(pod.clone());
            self.take_end(pod, &mut indexes);
        }
        // indexes themselves say what is counted
        self.succeeded_indexes = self.succeeded_before.with(&indexes);
        (released, more)
    }

    fn take_end(&mut self, pod: &Pod, indexes: &mut BTreeSet<i32>) {
        let own = uid(&pod.metadata).to_string();
        let index = self.index(pod);
        let (failed, lost, is_failure) = (self.is_failed(pod), self.ends_badly(), self.verdict(pod) != Verdict::Ignore);
        let is_indexed = self.is_indexed();
        let uncounted = self.status.uncounted_terminated_pods.get_or_insert_default();
        let has = |uids: &Option<Vec<String>>| uids.iter().flatten().any(|known| *known == own);
        if pods::phase(pod) == "Succeeded" && !has(&uncounted.failed) {
            match index {
                Some(index) if is_indexed => drop(indexes.insert(index)),
                None if is_indexed => {}
                _ if has(&uncounted.succeeded) => {}
                _ => uncounted.succeeded.get_or_insert_default().push(own),
            }
        } else if (failed || lost) && is_failure && !has(&uncounted.failed) && (!is_indexed || index.is_some()) {
            uncounted.failed.get_or_insert_default().push(own);
        }
    }

    /// In a Job that has failed, a pod that has not ended counts as failed.
    fn ends_badly(&self) -> bool {
        self.ends.as_ref().is_some_and(|ends| ends.kind() != "SuccessCriteriaMet")
    }

    fn may_go(&self, pod: &Pod) -> bool {
        if is_deleting(&self.job.metadata) || self.ends.is_some() || pods::phase(pod) == "Succeeded" {
            return true;
        }
        let waits = |index: i32| self.delayed.get(&index).is_some_and(|last| last.metadata.uid == pod.metadata.uid);
        self.is_failed(pod) && !self.index(pod).is_some_and(waits)
    }

    fn write_indexes(&mut self) {
        if self.is_indexed() {
            self.status.succeeded = count(self.succeeded_indexes.total());
            self.status.completed_indexes = Some(self.succeeded_indexes.to_string()).filter(|text| !text.is_empty());
            self.status.failed_indexes = self.failed_indexes.as_ref().map(Indexes::to_string);
        }
    }

    /// The condition that ends the Job comes in two steps: what will be, and, when all ends are counted, what is.
    fn write_conditions(&mut self, more: bool) -> Vec<Step> {
        let Some(ends) = self.ends.clone() else { return Vec::new() };
        let last = match ends.kind() {
            "FailureTarget" => {
                self.announce(ends.clone());
                self.condition("Failed", ends.reason(), ends.message())
            }
            "SuccessCriteriaMet" => {
                self.announce(ends.clone());
                self.condition("Complete", ends.reason(), ends.message())
            }
            _ => ends,
        };
        let uncounted = self.status.uncounted_terminated_pods.clone().unwrap_or_default();
        let open = uncounted.succeeded.is_some() || uncounted.failed.is_some();
        let tracked = self.pods.iter().any(|pod| self.is_tracked(pod) && !self.is_indexed());
        if more || open || tracked || self.terminating_count > 0 {
            return Vec::new();
        }
        self.finish(last)
    }

    fn announce(&mut self, condition: JobCondition) {
        if find(&self.status.conditions, condition.kind()).is_none() {
            put(&mut self.status.conditions, condition);
        }
    }

    fn finish(&mut self, condition: JobCondition) -> Vec<Step> {
        let mut plan = Plan::default();
        if condition.kind() == "Complete" {
            self.status.completion_time = condition.last_transition_time.clone();
            if self.spec.completions.is_some_and(|wanted| self.status.succeeded.unwrap_or(0) > wanted) {
                plan.warning(self.job, "TooManySucceededPods", "Too many succeeded pods running after completion count reached");
            }
            plan.normal(self.job, "Completed", "Job completed");
        } else {
            plan.warning(self.job, condition.reason(), condition.message());
        }
        put(&mut self.status.conditions, condition);
        plan.steps
    }

    fn write_counts(&mut self) {
        self.status.active = count(self.active_count);
        self.status.ready = Some(self.ready_count);
        self.status.terminating = Some(self.terminating_count);
    }
}
