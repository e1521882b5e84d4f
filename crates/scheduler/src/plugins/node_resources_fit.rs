//! NodeResourcesFit keeps pods off nodes without room for their requests, and prefers nodes with most room left.
use crate::cluster::Row;
use crate::framework::{Before, Event, MAX_SCORE, Normal, Plugin, Verdict};
use crate::resources::Resources;

pub struct State {
    requests: Resources,
    scored: (i64, i64),
}

pub static NODE_RESOURCES_FIT: Plugin<State> = Plugin {
    name: "NodeResourcesFit",
    weight: 1,
    wakes_on: &[Event::PodGone, Event::NodeAdded, Event::NodeChanged],
    prefilter: |pod, _| Before::Go(State { requests: pod.requests.clone(), scored: pod.scored }),
    filter: Some(filter),
    score: Some(score),
    normal: Normal::AsIs,
};

fn filter(state: &State, row: &Row) -> Verdict {
    let (wanted, used, all) = (&state.requests, &row.requested, &row.allocatable);
    if used.pods + 1 > all.pods {
        return Verdict::full("Too many pods");
    }
    for (name, wanted, used, all) in [
        ("Insufficient cpu", wanted.cpu_milli, used.cpu_milli, all.cpu_milli),
        ("Insufficient memory", wanted.memory_bytes, used.memory_bytes, all.memory_bytes),
        ("Insufficient ephemeral-storage", wanted.storage_bytes, used.storage_bytes, all.storage_bytes),
    ] {
        if wanted > 0 && wanted > all - used {
            // More than the whole node has: nobody's leaving would help.
            return if wanted > all { Verdict::never(name) } else { Verdict::full(name) };
        }
    }
    for (name, wanted) in wanted.other.iter().filter(|(_, wanted)| **wanted > 0) {
        let of = |list: &Resources| list.other.get(name).copied().unwrap_or(0);
        if *wanted > of(all) - of(used) {
            let why = format!("Insufficient {name}");
            return if *wanted > of(all) { Verdict::never(why) } else { Verdict::full(why) };
        }
    }
    Verdict::Fits
}

/// The share that is left of CPU and of memory, averaged.
fn score(state: &State, row: &Row) -> i64 {
    let left = |wanted: i64, used: i64, all: i64| match all {
        0 => None,
        all => Some((all - used - wanted).max(0) * MAX_SCORE / all),
    };
    let cpu = left(state.scored.0, row.scored.0, row.allocatable.cpu_milli);
    let memory = left(state.scored.1, row.scored.1, row.allocatable.memory_bytes);
    let both: Vec<i64> = [cpu, memory].into_iter().flatten().collect();
    both.iter().sum::<i64>() / both.len().max(1) as i64
}
