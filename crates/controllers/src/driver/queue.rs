//! The work queue of one controller. A key is worked on by one worker at a time and stands in the queue at most once; keys
//! wait out back-offs and timers here, all in one ordered set.
use jiff::Timestamp;
use machinery::meta::Key;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;
use stdx::backoff::Backoff;
use tokio::sync::Notify;

/// A failed key is tried again after so long at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(5);
const LAST_RETRY: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    /// Keys in `ready`, or to be put there when their worker is done.
    dirty: HashSet<Key>,
    active: HashSet<Key>,
    timers: BTreeSet<(Timestamp, Key)>,
    timer_of: HashMap<Key, Timestamp>,
    backoffs: HashMap<Key, Backoff>,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Next {
    Work(Key),
    /// Nothing before this moment, unless something is added.
    Until(Option<Timestamp>),
}

impl Queue {
    pub fn add(&self, key: Key) {
        self.state.lock().add(key);
        self.changed.notify_one();
    }

    /// Adds the key at `at`, or earlier if it already waits for an earlier moment.
    pub fn add_at(&self, key: Key, at: Timestamp) {
        self.state.lock().add_at(key, at);
        self.changed.notify_one();
    }

    /// Takes a key to work on. Every key taken must be given back by `done`.
    pub fn next(&self, now: Timestamp) -> Next {
        self.state.lock().next(now)
    }

    /// Waits until something is added.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The worker is done. A failed key comes back after its back-off.
    pub fn done(&self, key: &Key, failed: bool, now: Timestamp) {
        let mut state = self.state.lock();
        if failed {
            let backoff = state.backoffs.entry(key.clone()).or_insert_with(|| Backoff::new(FIRST_RETRY, LAST_RETRY));
            let at = now + backoff.next_delay();
            state.add_at(key.clone(), at);
        } else {
            state.backoffs.remove(key);
        }
        state.active.remove(key);
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Keys that wait to be worked on now.
    pub fn depth(&self) -> usize {
        self.state.lock().ready.len()
    }
}

impl State {
    fn add(&mut self, key: Key) {
        if self.dirty.insert(key.clone()) && !self.active.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: Key, at: Timestamp) {
        if let Some(set) = self.timer_of.get(&key) {
            if *set <= at {
                return;
            }
            self.timers.remove(&(*set, key.clone()));
        }
        self.timer_of.insert(key.clone(), at);
        self.timers.insert((at, key));
    }

    fn next(&mut self, now: Timestamp) -> Next {
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.timers.pop_first() {
                self.timer_of.remove(&key);
                self.add(key);
            }
        }
        match self.ready.pop_front() {
            Some(key) => {
                self.dirty.remove(&key);
                self.active.insert(key.clone());
                Next::Work(key)
            }
            None => Next::Until(self.timers.first().map(|(at, _)| *at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn key(name: &str) -> Key {
        Key::new("x", name)
    }

    #[test]
    fn a_key_is_queued_once_and_worked_on_once() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next(at(0)), Next::Work(key("a")));
        queue.add(key("a"));
        assert_eq!(queue.next(at(0)), Next::Until(None), "its worker is not done");
        queue.done(&key("a"), false, at(0));
        assert_eq!(queue.next(at(0)), Next::Work(key("a")));
    }

    #[test]
    fn a_failed_key_waits_longer_each_time() {
        let queue = Queue::default();
        queue.add(key("a"));
        let mut now = at(0);
        for delay in [5, 10, 20] {
            assert_eq!(queue.next(now), Next::Work(key("a")));
            queue.done(&key("a"), true, now);
            let until = now + Duration::from_millis(delay);
            assert_eq!(queue.next(now), Next::Until(Some(until)));
            now = until;
        }
    }

    #[test]
    fn the_earliest_timer_counts() {
        let queue = Queue::default();
        queue.add_at(key("a"), at(30));
        queue.add_at(key("a"), at(10));
        queue.add_at(key("a"), at(20));
        assert_eq!(queue.next(at(0)), Next::Until(Some(at(10))));
        assert_eq!(queue.next(at(10)), Next::Work(key("a")));
        assert_eq!(queue.next(at(40)), Next::Until(None));
    }
}
