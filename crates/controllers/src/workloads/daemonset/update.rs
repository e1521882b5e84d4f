//! The rolling update: old pods are replaced node by node, within what may be missing or may surge.
use super::Sync;
use crate::objects::{is_deleting, name, scaled};
use k8s_openapi::api::apps::v1::RollingUpdateDaemonSet;
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;

/// The pods of one node by revision; `None` where there are more than one of a kind.
type Pair = Option<(Option<Arc<Pod>>, Option<Arc<Pod>>)>;

impl Sync<'_> {
    fn rolling(&self) -> Option<&RollingUpdateDaemonSet> {
        let strategy = self.set.spec.update_strategy.as_ref()?;
        strategy.rolling_update.as_ref().filter(|_| strategy.type_.as_deref() != Some("OnDelete"))
    }

    fn limit(
        &self,
        of: fn(&RollingUpdateDaemonSet) -> Option<&k8s_openapi::apimachinery::pkg::util::intstr::IntOrString>,
        total: i32,
    ) -> i32 {
        self.rolling().and_then(of).map_or(0, |value| scaled(value, total, true))
    }

    pub fn surges(&self) -> bool {
        self.limit(|rolling| rolling.max_surge.as_ref(), 1) > 0
    }

    pub fn update(&mut self) {
        let strategy = self.set.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return;
        }
        let wanted: Vec<String> = self.nodes.iter().filter(|node| self.fits(node).0).map(|node| name(&node.metadata).to_string()).collect();
        let total = wanted.len() as i32;
        let surge = self.limit(|rolling| rolling.max_surge.as_ref(), total);
        let missing = self.limit(|rolling| rolling.max_unavailable.as_ref(), total);
        if surge == 0 {
            self.replace(&wanted, if missing == 0 { 1 } else { missing });
        } else {
            self.surge(&wanted, surge);
        }
    }

    fn pair(&self, node: &str) -> Pair {
        let pods = self.by_node.get(node).map(Vec::as_slice).unwrap_or_default();
        let live = pods.iter().filter(|pod| !is_deleting(&pod.metadata));
        let (new, old): (Vec<_>, Vec<_>) = live.partition(|pod| self.is_updated(pod));
        (new.len() <= 1 && old.len() <= 1).then(|| (new.first().map(|pod| (*pod).clone()), old.first().map(|pod| (*pod).clone())))
    }

    fn all_nodes(&self, wanted: &[String]) -> Vec<String> {
        let mut all: Vec<String> = self.by_node.keys().cloned().chain(wanted.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Deletes old pods, those that do not work first; `place` makes the new ones.
    fn replace(&mut self, wanted: &[String], most_missing: i32) {
        let (mut missing, mut broken, mut working) = (0, Vec::new(), Vec::new());
        for node in self.all_nodes(wanted) {
            match self.pair(&node) {
                None | Some((None, None) | (Some(_), Some(_))) => missing += 1,
                Some((Some(new), None)) => missing += i32::from(!self.is_available(&new)),
                Some((None, Some(old))) if self.is_available(&old) => working.push(old),
                Some((None, Some(old))) => {
                    broken.push(old);
                    missing += 1;
                }
            }
        }
        let room = (most_missing - missing).max(0) as usize;
        self.delete.extend(broken);
        self.delete.extend(working.into_iter().take(room));
    }

    /// Starts new pods beside old ones, and deletes an old one when its successor works.
    fn surge(&mut self, wanted: &[String], most: i32) {
        let (mut surging, mut available) = (0, 0);
        let (mut allowed, mut candidates, mut unwanted) = (Vec::new(), Vec::new(), Vec::new());
        for node in self.all_nodes(wanted) {
            let Some((new, old)) = self.pair(&node) else {
                surging += 1;
                continue;
            };
            let first = old.as_ref().or(new.as_ref());
            available += i32::from(first.is_some_and(|pod| self.is_available(pod)));
            match (new, old) {
                (_, None) => {}
                (None, Some(old)) => match (self.is_available(&old), wanted.contains(&node)) {
                    (false, false) => self.delete.push(old),
                    (false, true) => allowed.push(node),
                    (true, false) => unwanted.push(old),
                    (true, true) => candidates.push(node),
                },
                (Some(new), Some(old)) if self.is_available(&new) => self.delete.push(old),
                (Some(_), Some(_)) => surging += 1,
            }
        }
        let spare = (available - wanted.len() as i32).max(0) as usize;
        self.delete.extend(unwanted.into_iter().take(spare));
        let room = (most - surging).max(0) as usize;
        self.create_on.extend(allowed.into_iter().chain(candidates.into_iter().take(room)));
    }
}
