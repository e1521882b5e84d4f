//! The annotation of client-side `kubectl apply`. When kubectl changes over to server-side apply, its own earlier writes are no
//! conflict, and the annotation is kept up to date so that it can change back.
use super::compare::Comparison;
use super::fields::fields;
use super::set::Set;
use super::shape::Shape;
use super::{Write, take_managed};
use serde_json::Value;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// All annotations together.
const MAX_ANNOTATION_BYTES: usize = 256 << 10;

/// Fields that the live object still has as they were last applied.
pub fn unchanged(write: &Write, live: &Value) -> Option<Set> {
    let text = live["metadata"]["annotations"][ANNOTATION].as_str().filter(|text| !text.is_empty())?;
    let last: Value = serde_json::from_str(text).ok()?;
    if last["apiVersion"].as_str() != Some(write.api_version) {
        return None;
    }
    let shape = Shape::object(write.schema);
    let comparison = Comparison::of(&last, live, shape);
    Some(fields(&last, shape).difference(&comparison.modified).difference(&comparison.added).difference(&comparison.removed))
}

/// Writes the annotation anew if the object has it.
pub fn refresh(object: &mut Value, patch: &Value) {
    let Some(annotations) = object["metadata"]["annotations"].as_object_mut() else { return };
    if annotations.get(ANNOTATION).and_then(Value::as_str).is_none_or(str::is_empty) {
        return;
    }
    let mut applied = patch.clone();
    take_managed(&mut applied);
    if let Some(own) = applied.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        own.remove(ANNOTATION);
    }
    annotations.insert(ANNOTATION.into(), format!("{applied}\n").into());
    let bytes = annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum::<usize>();
    if bytes > MAX_ANNOTATION_BYTES {
        annotations.remove(ANNOTATION);
    }
}
