//! NodeResourcesBalancedAllocation prefers nodes on which CPU and memory would be used to the same degree.
use crate::cluster::Row;
use crate::framework::{Before, MAX_SCORE, Normal, Plugin};

pub static BALANCED_ALLOCATION: Plugin<(i64, i64)> = Plugin {
    name: "NodeResourcesBalancedAllocation",
    weight: 1,
    wakes_on: &[],
    prefilter: |pod, _| match pod.requests.cpu_milli == 0 && pod.requests.memory_bytes == 0 {
        true => Before::Skip,
        false => Before::Go((pod.requests.cpu_milli, pod.requests.memory_bytes)),
    },
    filter: None,
    score: Some(score),
    normal: Normal::AsIs,
};

fn score(wanted: &(i64, i64), row: &Row) -> i64 {
    let share = |wanted: i64, used: i64, all: i64| if all == 0 { 0.0 } else { ((used + wanted) as f64 / all as f64).min(1.0) };
    let cpu = share(wanted.0, row.requested.cpu_milli, row.allocatable.cpu_milli);
    let memory = share(wanted.1, row.requested.memory_bytes, row.allocatable.memory_bytes);
    // The standard deviation of two shares is half of what lies between them.
    ((1.0 - (cpu - memory).abs() / 2.0) * MAX_SCORE as f64) as i64
}
