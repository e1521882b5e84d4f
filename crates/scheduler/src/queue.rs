//! Who is next. A pod is in one place at a time: active (by priority, then age), waiting out its back-off, or set aside until an
//! event comes that one of the plugins which refused it is woken by. Pure: time comes in, nothing is slept.
//!
//! ```text
//!            ┌──────── refused ────────┐
//! add → active ← due ← back-off ← event ← aside
//! ```
use crate::framework::{DynPlugin, Event};
use crate::pod::PodInfo;
use jiff::{SignedDuration, Timestamp};
use machinery::meta::Key;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

const FIRST_BACKOFF_S: i64 = 1;
const MAX_BACKOFF_S: i64 = 10;

#[derive(Clone, Debug)]
pub struct Waiting {
    pub pod: Arc<PodInfo>,
    pub attempts: u32,
    added: Timestamp,
    place: Place,
}

#[derive(Clone, Debug, PartialEq)]
enum Place {
    Active(u64),
    Backoff(Timestamp),
    Aside(BTreeSet<&'static str>),
    /// Being decided on or bound; remembers the events that come meanwhile.
    Out(Vec<Event>),
    Gated,
}

#[derive(Default)]
pub struct Queue {
    pods: HashMap<Key, Waiting>,
    /// Highest priority first, then first come.
    active: BTreeSet<(std::cmp::Reverse<i32>, u64, Key)>,
    backoff: BTreeSet<(Timestamp, Key)>,
    sequence: u64,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// A pending pod, new or changed. A change to a pod that was set aside is worth another attempt.
    pub fn put(&mut self, pod: Arc<PodInfo>, now: Timestamp) {
        let key = pod.key.clone();
        let known = self.pods.get(&key).map(|waiting| (waiting.attempts, waiting.added, waiting.place.clone()));
        let (attempts, added, place) = known.unwrap_or((0, now, Place::Gated));
        let in_hand = matches!(place, Place::Out(_));
        if let Some(waiting) = self.pods.get_mut(&key).filter(|waiting| in_hand || same(&waiting.pod, &pod)) {
            waiting.pod = pod;
            return;
        }
        self.leave(&key);
        let gated = pod.spec().is_some_and(|spec| spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()));
        self.pods.insert(key.clone(), Waiting { pod, attempts, added, place: Place::Gated });
        if !gated {
            self.activate(&key);
        }
    }

    pub fn remove(&mut self, key: &Key) {
        self.leave(key);
        self.pods.remove(key);
    }

    pub fn contains(&self, key: &Key) -> bool {
        self.pods.contains_key(key)
    }

    /// The next pod to decide on; it is out until `refused` or `remove`.
    pub fn next(&mut self, now: Timestamp) -> Option<Waiting> {
        self.end_backoff(now);
        let (_, _, key) = self.active.pop_first()?;
        let waiting = self.pods.get_mut(&key)?;
        waiting.attempts += 1;
        waiting.place = Place::Out(Vec::new());
        Some(waiting.clone())
    }

    /// When the next back-off ends.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.backoff.first().map(|(at, _)| *at)
    }

    /// No node will do now, for reasons of these plugins; none means that the attempt itself failed.
    pub fn refused(&mut self, key: &Key, by: BTreeSet<&'static str>, plugins: &[&dyn DynPlugin], now: Timestamp) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        let Place::Out(events) = std::mem::replace(&mut waiting.place, Place::Gated) else { return };
        let missed = events.iter().any(|event| wakes(&by, *event, plugins));
        if by.is_empty() || missed {
            self.start_backoff(key, now);
        } else if let Some(waiting) = self.pods.get_mut(key) {
            waiting.place = Place::Aside(by);
        }
    }

    /// Something happened: who was refused by a plugin that it wakes gets another attempt after its back-off.
    pub fn happened(&mut self, event: Event, plugins: &[&dyn DynPlugin], now: Timestamp) {
        let mut woken = Vec::new();
        for (key, waiting) in &mut self.pods {
            match &mut waiting.place {
                Place::Aside(by) if wakes(by, event, plugins) => woken.push(key.clone()),
                Place::Out(events) if !events.contains(&event) => events.push(event),
                _ => {}
            }
        }
        woken.iter().for_each(|key| self.start_backoff(key, now));
    }

    fn start_backoff(&mut self, key: &Key, now: Timestamp) {
        let Some(waiting) = self.pods.get_mut(key) else { return };
        let seconds = (FIRST_BACKOFF_S << waiting.attempts.saturating_sub(1).min(4)).min(MAX_BACKOFF_S);
        let until = now + SignedDuration::from_secs(seconds);
        waiting.place = Place::Backoff(until);
        self.backoff.insert((until, key.clone()));
    }

    fn end_backoff(&mut self, now: Timestamp) {
        while self.backoff.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.backoff.pop_first() {
                self.activate(&key);
            }
        }
    }

    fn activate(&mut self, key: &Key) {
        self.sequence += 1;
        let Some(waiting) = self.pods.get_mut(key) else { return };
        waiting.place = Place::Active(self.sequence);
        self.active.insert((std::cmp::Reverse(waiting.pod.priority), self.sequence, key.clone()));
    }

    fn leave(&mut self, key: &Key) {
        let Some(waiting) = self.pods.get(key) else { return };
        match waiting.place {
            Place::Active(sequence) => drop(self.active.remove(&(std::cmp::Reverse(waiting.pod.priority), sequence, key.clone()))),
            Place::Backoff(until) => drop(self.backoff.remove(&(until, key.clone()))),
            _ => {}
        }
    }
}

/// Nothing that a decision reads has changed: only the status, which the scheduler itself writes.
fn same(old: &PodInfo, new: &PodInfo) -> bool {
    old.uid == new.uid && old.pod.spec == new.pod.spec && old.pod.metadata.labels == new.pod.metadata.labels
}

fn wakes(by: &BTreeSet<&'static str>, event: Event, plugins: &[&dyn DynPlugin]) -> bool {
    plugins.iter().any(|plugin| by.contains(plugin.name()) && plugin.wakes_on().contains(&event))
}

#[cfg(test)]
mod tests;
