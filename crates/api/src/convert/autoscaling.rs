//! HorizontalPodAutoscaler v1, which knows only a CPU target; all else of v2 travels in annotations.
//! See https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale-walkthrough/#appendix-horizontal-pod-autoscaler-status-conditions
use super::{child, rename};
use serde_json::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
/// What v1 without any metric means.
const DEFAULT_CPU_PERCENT: i32 = 80;

type Object = Map<String, Value>;

pub fn to_v1(hpa: &mut Object) {
    let mut notes = vec![(METRICS, None), (BEHAVIOR, None), (CURRENT_METRICS, None), (CONDITIONS, None)];
    if let Some(spec) = child(hpa, "spec") {
        let metrics = list(spec.remove("metrics"));
        let (cpu, others): (Vec<Value>, Vec<Value>) = metrics.into_iter().partition(|metric| cpu_target(metric).is_some());
        if let Some(target) = cpu.first().and_then(cpu_target) {
            spec.insert("targetCPUUtilizationPercentage".into(), target);
        }
        notes[0].1 = some_list(others.into_iter().map(|metric| metric_to_v1(metric, false)).collect());
        notes[1].1 = spec.remove("behavior").map(|behavior| capitalized(behavior, true));
    }
    if let Some(status) = child(hpa, "status") {
        let current = list(status.remove("currentMetrics"));
        let is_cpu = |metric: &&Value| metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
        let used = current.iter().find(is_cpu).map(|metric| metric["resource"]["current"]["averageUtilization"].clone());
        if let Some(used) = used.filter(|used| !used.is_null()) {
            status.insert("currentCPUUtilizationPercentage".into(), used);
        }
        notes[2].1 = some_list(current.into_iter().map(|metric| metric_to_v1(metric, true)).collect());
        notes[3].1 = some_list(list(status.remove("conditions")));
    }
    let meta = hpa.entry("metadata").or_insert_with(|| json!({}));
    let annotations = meta.as_object_mut().map(|meta| meta.entry("annotations").or_insert_with(|| json!({})));
    let Some(Value::Object(annotations)) = annotations else { return };
    for (key, value) in notes {
        annotations.remove(key);
        annotations.extend(value.map(|value| (key.to_string(), value.to_string().into())));
    }
    drop_empty_annotations(hpa);
}

pub fn to_v2(hpa: &mut Object) {
    let annotations = child(hpa, "metadata").and_then(|meta| child(meta, "annotations"));
    let mut notes: Object = Map::new();
    for key in [METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS] {
        let text = annotations.as_ref().and_then(|annotations| annotations.get(key)).and_then(Value::as_str);
        notes.extend(text.and_then(|text| serde_json::from_str(text).ok()).map(|value| (key.to_string(), value)));
    }
    if let Some(annotations) = annotations {
        annotations.retain(|key, _| ![METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS].contains(&key.as_str()));
    }
    drop_empty_annotations(hpa);
    if let Some(spec) = child(hpa, "spec") {
        let mut metrics: Vec<Value> = list(notes.remove(METRICS)).into_iter().map(|metric| metric_to_v2(metric, false)).collect();
        metrics.extend(spec.remove("targetCPUUtilizationPercentage").map(cpu_metric));
        if metrics.is_empty() {
            metrics.push(cpu_metric(DEFAULT_CPU_PERCENT.into()));
        }
        spec.insert("metrics".into(), metrics.into());
        spec.extend(notes.remove(BEHAVIOR).map(|behavior| ("behavior".to_string(), capitalized(behavior, false))));
    }
    if let Some(status) = child(hpa, "status") {
        let used = status.remove("currentCPUUtilizationPercentage");
        let mut current: Vec<Value> = list(notes.remove(CURRENT_METRICS)).into_iter().map(|metric| metric_to_v2(metric, true)).collect();
        if current.is_empty() {
            let metric = |used| json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}});
            current.extend(used.map(metric));
        }
        status.extend(some_list(current).map(|current| ("currentMetrics".to_string(), current)));
        status.extend(notes.remove(CONDITIONS).map(|conditions| ("conditions".to_string(), conditions)));
    }
}

fn drop_empty_annotations(hpa: &mut Object) {
    if let Some(meta) = child(hpa, "metadata")
        && meta.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty)
    {
        meta.remove("annotations");
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    if let Some(Value::Array(items)) = value { items } else { Vec::new() }
}

fn some_list(items: Vec<Value>) -> Option<Value> {
    (!items.is_empty()).then(|| items.into())
}

/// The percentage of a metric that v1 can say itself.
fn cpu_target(metric: &Value) -> Option<Value> {
    let cpu = metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
    let percent = &metric["resource"]["target"]["averageUtilization"];
    (cpu && !percent.is_null()).then(|| percent.clone())
}

fn cpu_metric(percent: Value) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}})
}

/// The five sources of a metric in v2.
const SOURCES: &[&str] = &["resource", "containerResource", "pods", "object", "external"];

/// `current`: a metric of the status (`current…`) and not of the spec (`target…`).
fn metric_to_v1(mut metric: Value, current: bool) -> Value {
    let Some(object) = metric.as_object_mut() else { return metric };
    for source in SOURCES {
        let Some(body) = child(object, source) else { continue };
        let side = if current { "current" } else { "target" };
        let Value::Object(mut values) = body.remove(side).unwrap_or_default() else { continue };
        let (value, average) = names_in_v1(source, current);
        body.extend(values.remove("value").map(|number| (value.to_string(), number)));
        body.extend(values.remove("averageValue").map(|number| (average.to_string(), number)));
        body.extend(values.remove("averageUtilization").map(|number| (format!("{side}AverageUtilization"), number)));
        rename(body, [("describedObject", "target")]);
        if let Some(Value::Object(mut name)) = body.remove("metric") {
            body.extend(name.remove("name").map(|name| ("metricName".to_string(), name)));
            let key = if *source == "external" { "metricSelector" } else { "selector" };
            body.extend(name.remove("selector").map(|selector| (key.to_string(), selector)));
        }
    }
    metric
}

fn metric_to_v2(mut metric: Value, current: bool) -> Value {
    let Some(object) = metric.as_object_mut() else { return metric };
    for source in SOURCES {
        let Some(body) = child(object, source) else { continue };
        let side = if current { "current" } else { "target" };
        rename(body, [("target", "describedObject")]);
        let (value, average) = names_in_v1(source, current);
        let mut values = Map::new();
        for (from, to) in [(value, "value"), (average, "averageValue"), (&format!("{side}AverageUtilization"), "averageUtilization")] {
            values.extend(body.remove(from).map(|number| (to.to_string(), number)));
        }
        if !current {
            let kind = if values.contains_key("averageUtilization") {
                "Utilization"
            } else if values.contains_key("averageValue") {
                "AverageValue"
            } else {
                "Value"
            };
            values.insert("type".into(), kind.into());
        }
        body.insert(side.into(), Value::Object(values));
        if let Some(name) = body.remove("metricName") {
            let mut metric = Map::from_iter([("name".to_string(), name)]);
            let selector = body.remove("selector").or_else(|| body.remove("metricSelector"));
            metric.extend(selector.map(|selector| ("selector".to_string(), selector)));
            body.insert("metric".into(), Value::Object(metric));
        }
    }
    metric
}

/// How v1 calls the value and the average value of a source.
fn names_in_v1(source: &str, current: bool) -> (&'static str, &'static str) {
    match (source, current) {
        ("object", false) => ("targetValue", "averageValue"),
        ("object", true) => ("currentValue", "averageValue"),
        (_, false) => ("targetValue", "targetAverageValue"),
        (_, true) => ("currentValue", "currentAverageValue"),
    }
}

/// The behaviour stands in its annotation with capitalized names.
fn capitalized(value: Value, up: bool) -> Value {
    let turned = |key: String| {
        let mut letters = key.chars();
        let first = letters.next().map(|letter| if up { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() });
        first.into_iter().chain(letters).collect::<String>()
    };
    match value {
        Value::Object(map) => {
            map.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (turned(key), capitalized(value, up))).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| capitalized(item, up)).collect(),
        other => other,
    }
}
