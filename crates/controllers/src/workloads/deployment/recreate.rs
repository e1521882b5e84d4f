//! The Recreate strategy: all old pods end before the first new one starts.
use super::rollout::Rollout;
use crate::objects::owners::is_controlled_by;
use crate::objects::pods;
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;

impl Rollout<'_> {
    pub fn recreate(&mut self, pods: &[Arc<Pod>]) {
        self.sync_new_set(false);
        let mut scaled = false;
        for at in 0..self.old.len() {
            if self.old[at].replicas() > 0 {
                self.resize_old(at, 0);
                scaled = true;
            }
        }
        if scaled || self.old_pods_run(pods) {
            return;
        }
        if self.new.is_none() {
            self.sync_new_set(true);
        }
        if self.is_collision() {
            return;
        }
        self.resize_new(self.wanted());
        if super::status::is_complete(self.deployment, self.deployment.status.as_ref()) {
            self.clean_up();
        }
    }

    fn old_pods_run(&self, pods: &[Arc<Pod>]) -> bool {
        if self.old.iter().any(|draft| draft.status(|status| Some(status.replicas)) > 0) {
            return true;
        }
        let is_new = |pod: &Pod| self.new.as_ref().is_some_and(|new| is_controlled_by(&pod.metadata, &new.set.metadata));
        let is_old = |pod: &Pod| self.old.iter().any(|old| is_controlled_by(&pod.metadata, &old.set.metadata));
        pods.iter().any(|pod| is_old(pod) && !is_new(pod) && !pods::is_finished(pod))
    }
}
