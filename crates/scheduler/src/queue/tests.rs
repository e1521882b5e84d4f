use super::*;
use crate::plugins::PLUGINS;
use serde_json::{from_value, json};

fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
    let pod = from_value(json!({"metadata": {"name": name, "uid": name}, "spec": {"containers": [], "priority": priority}}));
    Arc::new(PodInfo::new(Arc::new(pod.unwrap())))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn next(queue: &mut Queue, second: i64) -> String {
    queue.next(at(second)).map(|waiting| waiting.pod.key.name.clone()).unwrap_or_default()
}

#[test]
fn important_ones_first_then_first_come() {
    let mut queue = Queue::default();
    for (name, priority) in [("a", 0), ("b", 0), ("c", 5)] {
        queue.put(pod(name, priority), at(0));
    }
    assert_eq!([next(&mut queue, 0), next(&mut queue, 0), next(&mut queue, 0), next(&mut queue, 0)], ["c", "a", "b", ""]);
}

#[test]
fn a_refused_pod_waits_for_an_event_that_matters_and_its_backoff() {
    let mut queue = Queue::default();
    queue.put(pod("a", 0), at(0));
    assert_eq!(next(&mut queue, 0), "a");
    let key = Key::new("", "a");
    queue.refused(&key, BTreeSet::from(["NodeResourcesFit"]), PLUGINS, at(0));
    queue.happened(Event::LabelsChanged, PLUGINS, at(1));
    assert_eq!(queue.wake_at(), None, "labels make no room");
    queue.happened(Event::PodGone, PLUGINS, at(1));
    assert_eq!((next(&mut queue, 1), queue.wake_at()), (String::new(), Some(at(2))));
    assert_eq!(next(&mut queue, 2), "a");
    queue.happened(Event::PodGone, PLUGINS, at(2));
    queue.refused(&key, BTreeSet::from(["NodeResourcesFit"]), PLUGINS, at(2));
    assert_eq!(queue.wake_at(), Some(at(4)), "an event during the attempt is not lost");
}

#[test]
fn a_status_of_our_own_is_no_reason_for_another_attempt() {
    let mut queue = Queue::default();
    queue.put(pod("a", 0), at(0));
    next(&mut queue, 0);
    queue.refused(&Key::new("", "a"), BTreeSet::from(["NodeResourcesFit"]), PLUGINS, at(0));
    queue.put(pod("a", 0), at(1));
    assert_eq!(next(&mut queue, 100), "");
    queue.put(pod("a", 1), at(2));
    assert_eq!(next(&mut queue, 100), "a");
}
