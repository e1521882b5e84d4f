//! Starts and stops the pods of a Job.
use super::backoff::{self, FAILURES, IGNORED_FAILURES};
use super::indexes::{INDEX, Indexes, index_of};
use super::policy::Verdict;
use super::sync::Sync;
use super::{FINALIZER, untrack};
use crate::driver::{Deletion, Step};
use crate::objects::owners::controller;
use crate::objects::{name, pods, set_entry};
use crate::workloads::replicas::{created, deleted};
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodTemplateSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// So many pods are created or deleted in one plan at most.
const BURST: usize = 500;
/// Longest prefix of a generated name.
const MAX_PREFIX: usize = 58;
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

impl Sync<'_> {
    /// The Job ends: its pods go, and are counted as they stand.
    pub fn delete_active(&mut self) {
        for pod in self.active.clone() {
            self.plan.delete_telling(&*pod, Deletion::default(), Some(deleted(self.job)));
            self.will_go(&pod);
        }
    }

    fn will_go(&mut self, pod: &Pod) {
        if self.reporting {
            return;
        }
        self.active_count -= 1;
        self.terminating_count += 1;
        self.ready_count -= i32::from(pods::is_ready(pod));
    }

    pub fn manage(&mut self) {
        if self.is_suspended() {
            let all = self.surplus(self.active.len());
            return self.take_back(all);
        }
        let parallelism = self.spec.parallelism.unwrap_or(1);
        let wanted = match self.spec.completions {
            None if self.succeeded > 0 => self.active_count,
            None => parallelism,
            Some(completions) => (completions - self.succeeded).clamp(0, parallelism.max(0)),
        };
        let surplus = self.surplus((self.active_count - wanted).max(0) as usize);
        if !surplus.is_empty() {
            return self.take_back(surplus);
        }
        let terminating = if self.only_replaces_failed() { self.terminating_count } else { 0 };
        let missing = wanted - terminating - self.active_count;
        if missing > 0 {
            self.start((missing as usize).min(BURST));
        }
    }

    /// Deletes pods that are not wanted; they do not count as failed.
    fn take_back(&mut self, pods: Vec<Arc<Pod>>) {
        let pods: Vec<Arc<Pod>> = pods.into_iter().take(BURST).collect();
        let tracked = pods.iter().filter(|pod| self.is_tracked(pod)).map(|pod| untrack(pod));
        let tracked: Vec<Step> = tracked.collect();
        self.plan.steps.extend(tracked);
        for pod in pods {
            self.plan.delete_telling(&*pod, Deletion::default(), Some(deleted(self.job)));
            self.will_go(&pod);
        }
    }

    /// Pods whose index is taken or unknown, and at least `least` in all.
    fn surplus(&self, least: usize) -> Vec<Arc<Pod>> {
        let mut order = self.active.clone();
        order.sort_by(|a, b| pods::give_up_first((a, 0), (b, 0), self.now));
        if !self.is_indexed() {
            order.truncate(least);
            return order;
        }
        let mut kept: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
        let mut gone = Vec::new();
        for pod in order {
            match self.index(&pod) {
                // the order puts the one that is worth most last
                Some(index) => gone.extend(kept.insert(index, pod)),
                None => gone.push(pod),
            }
        }
        let mut rest: Vec<Arc<Pod>> = kept.into_values().collect();
        rest.sort_by(|a, b| pods::give_up_first((a, 0), (b, 0), self.now));
        let more = least.saturating_sub(gone.len());
        gone.extend(rest.into_iter().take(more));
        gone
    }

    fn start(&mut self, count: usize) {
        if self.spec.backoff_limit_per_index.is_none() {
            let finished = self.pods.iter().filter(|pod| pods::is_finished(pod) || self.is_failed(pod));
            if let Some(at) = backoff::next_start(finished, |pod| self.is_failed(pod)).filter(|at| *at > self.now) {
                return self.plan.wake(at);
            }
        }
        if !self.is_indexed() {
            (0..count).for_each(|_| self.create(None));
            return;
        }
        let pending = self.pending_indexes(count);
        let ready_at = |index: &i32| self.delayed.get(index).map(|last| backoff::next_start_of_index(last));
        let (now, later): (Vec<i32>, Vec<i32>) = pending.into_iter().partition(|index| ready_at(index).is_none_or(|at| at <= self.now));
        let next = later.iter().filter_map(ready_at).min();
        self.plan.wake_if(next);
        now.into_iter().for_each(|index| self.create(Some(index)));
    }

    fn pending_indexes(&self, count: usize) -> Vec<i32> {
        let indexes = |pods: &mut dyn Iterator<Item = &Arc<Pod>>| -> BTreeSet<i32> { pods.filter_map(|pod| index_of(pod)).collect() };
        let mut busy: Indexes = self.succeeded_indexes.with(&indexes(&mut self.active.iter()));
        if self.only_replaces_failed() {
            busy = busy.with(&indexes(&mut self.pods.iter().filter(|pod| pods::is_terminating(pod))));
        }
        if let Some(failed) = &self.failed_indexes {
            busy = busy.merged(failed);
        }
        busy.first_missing(count, self.completions())
    }

    fn create(&mut self, index: Option<i32>) {
        let mut template: PodTemplateSpec = self.spec.template.clone();
        if self.is_indexed() {
            add_variables(&mut template);
        }
        let finalizers = template.metadata.get_or_insert_default().finalizers.get_or_insert_default();
        if !finalizers.iter().any(|own| own == FINALIZER) {
            finalizers.push(FINALIZER.into());
        }
        let mut pod = pods::from_template(&template, &self.job.metadata, controller(self.job));
        if let Some(index) = index {
            self.mark(&mut pod, index);
        }
        self.plan.create_telling(pod, Some(created(self.job)));
        self.active_count += i32::from(!self.reporting);
    }

    fn mark(&self, pod: &mut Pod, index: i32) {
        let job = name(&self.job.metadata);
        let text = index.to_string();
        set_entry(&mut pod.metadata.annotations, INDEX, &text);
        set_entry(&mut pod.metadata.labels, INDEX, &text);
        if let Some(spec) = &mut pod.spec {
            spec.hostname = Some(format!("{job}-{index}"));
        }
        let end = format!("-{index}-");
        let kept = job.len().min(MAX_PREFIX - end.len());
        pod.metadata.generate_name = Some(format!("{}{end}", &job[..kept]));
        if self.spec.backoff_limit_per_index.is_some() {
            let (counted, ignored) = self.failures_before(index);
            set_entry(&mut pod.metadata.annotations, FAILURES, &counted.to_string());
            if ignored > 0 {
                set_entry(&mut pod.metadata.annotations, IGNORED_FAILURES, &ignored.to_string());
            }
        }
    }

    fn failures_before(&self, index: i32) -> (i32, i32) {
        let Some(last) = self.delayed.get(&index) else { return (0, 0) };
        let (counted, ignored) = (backoff::counted_failures(last), backoff::ignored_failures(last));
        if self.verdict(last) == Verdict::Ignore { (counted, ignored + 1) } else { (counted + 1, ignored) }
    }
}

/// Each container learns its index.
fn add_variables(template: &mut PodTemplateSpec) {
    let Some(spec) = &mut template.spec else { return };
    let all = spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten());
    all.for_each(|container: &mut Container| {
        let env = container.env.get_or_insert_default();
        if env.iter().any(|variable| variable.name == INDEX_VARIABLE) {
            return;
        }
        let field = ObjectFieldSelector { api_version: None, field_path: format!("metadata.labels['{INDEX}']") };
        let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
        env.push(EnvVar { name: INDEX_VARIABLE.into(), value: None, value_from: Some(source) });
    });
}
