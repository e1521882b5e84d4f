//! Events: the same object under the core group's names and those of events.k8s.io.
use super::rename;
use serde_json::{Map, Value};

/// Core's name, the name in events.k8s.io.
const NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

pub fn from_core(event: &mut Map<String, Value>) {
    rename(event, NAMES.iter().copied());
}

pub fn to_core(event: &mut Map<String, Value>) {
    rename(event, NAMES.iter().map(|(core, new)| (*new, *core)));
    event.entry("involvedObject").or_insert_with(|| Value::Object(Map::new()));
}
