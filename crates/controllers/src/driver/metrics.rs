//! Counters of the work queues under the original's names, computed when scraped.
use super::queue::Queue;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

#[derive(Default)]
pub struct Counters {
    pub plans: AtomicU64,
    pub writes: AtomicU64,
    pub failures: AtomicU64,
}

/// One controller's queue and counters.
pub struct Meter {
    pub name: &'static str,
    pub counters: Arc<Counters>,
    pub queue: Weak<Queue>,
}

pub fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}

/// Name, kind and value of a counter.
type Row = (&'static str, &'static str, fn(&Meter) -> u64);

/// Prometheus' text form.
pub fn render(meters: &[Meter]) -> String {
    let mut text = String::new();
    let rows: [Row; 4] = [
        ("workqueue_depth", "gauge", |meter| meter.queue.upgrade().map_or(0, |queue| queue.depth() as u64)),
        ("workqueue_work_total", "counter", |meter| meter.counters.plans.load(Relaxed)),
        ("workqueue_retries_total", "counter", |meter| meter.counters.failures.load(Relaxed)),
        ("coxswain_controller_writes_total", "counter", |meter| meter.counters.writes.load(Relaxed)),
    ];
    for (name, kind, value) in rows {
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for meter in meters {
            let _ = writeln!(text, "{name}{{name=\"{}\"}} {}", meter.name, value(meter));
        }
    }
    text
}
