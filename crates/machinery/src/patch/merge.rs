//! JSON merge patch (RFC 7386): members replace, nulls delete, lists are replaced as a whole.
//! https://www.rfc-editor.org/rfc/rfc7386
use super::undecodable;
use crate::status::Status;
use serde_json::{Map, Value};

pub fn apply(document: &mut Value, patch: Value) -> Result<(), Status> {
    match (document, patch) {
        (_, Value::Null) => Err(Status::bad_request("Invalid JSON Patch")),
        (Value::Object(document), Value::Object(patch)) => {
            merge(document, patch);
            Ok(())
        }
        (Value::Object(_), other) => Err(undecodable(&other, "Go value of type map[string]interface {}")),
        _ => Err(Status::bad_request("Invalid JSON Document")),
    }
}

fn merge(document: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, mut value) in patch {
        if value.is_null() {
            document.remove(&key);
            continue;
        }
        match document.get_mut(&key) {
            Some(Value::Object(there)) => match value {
                Value::Object(value) => merge(there, value),
                value => {
                    document.insert(key, value);
                }
            },
            _ => {
                prune(&mut value);
                document.insert(key, value);
            }
        }
    }
}

/// Takes nulls out of new objects; a null in a list stays.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(prune);
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}
