//! Counts requests and times, written out as text only when somebody scrapes.
use http::Method;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Upper ends of the latency buckets, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 60.0];

/// What requests are told apart by: few values, so that the series stay few.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(&'static str);

impl Label {
    pub fn new(method: &Method) -> Label {
        Label(match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        })
    }
}

#[derive(Debug, Default, Clone)]
struct Series {
    count: u64,
    sum_s: f64,
    buckets: [u64; BUCKETS.len()],
}

#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(Label, u16), Series>>,
}

impl Metrics {
    pub fn observe(&self, label: Label, code: u16, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let mut all = self.requests.lock();
        let series = all.entry((label, code)).or_default();
        series.count += 1;
        series.sum_s += seconds;
        for (bucket, limit) in series.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= limit);
        }
    }

    /// The text format of Prometheus. `objects` are the stored objects per resource.
    pub fn text(&self, objects: &[(String, usize)]) -> String {
        let all = self.requests.lock().clone();
        let mut text = String::from("# TYPE apiserver_request_total counter\n");
        for ((Label(verb), code), series) in &all {
            let _ = writeln!(text, "apiserver_request_total{{code=\"{code}\",verb=\"{verb}\"}} {}", series.count);
        }
        text += "# TYPE apiserver_request_duration_seconds histogram\n";
        for ((Label(verb), code), series) in &all {
            let name = "apiserver_request_duration_seconds";
            for (count, limit) in series.buckets.iter().zip(BUCKETS) {
                let _ = writeln!(text, "{name}_bucket{{code=\"{code}\",verb=\"{verb}\",le=\"{limit}\"}} {count}");
            }
            let _ = writeln!(text, "{name}_bucket{{code=\"{code}\",verb=\"{verb}\",le=\"+Inf\"}} {}", series.count);
            let _ = writeln!(text, "{name}_sum{{code=\"{code}\",verb=\"{verb}\"}} {}", series.sum_s);
            let _ = writeln!(text, "{name}_count{{code=\"{code}\",verb=\"{verb}\"}} {}", series.count);
        }
        text += "# TYPE apiserver_storage_objects gauge\n";
        for (resource, count) in objects {
            let _ = writeln!(text, "apiserver_storage_objects{{resource=\"{resource}\"}} {count}");
        }
        text
    }
}
