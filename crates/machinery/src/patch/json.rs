//! JSON patch (RFC 6902) with the habits of the library that the original uses: indexes may be negative (from the end), and
//! `replace` of a member that an object does not have adds it. https://www.rfc-editor.org/rfc/rfc6902
use super::{rejected, undecodable};
use crate::status::{Reason, Status};
use serde_json::{Map, Value};

/// More operations than this are refused.
pub const MAX_OPERATIONS: usize = 10_000;
/// `copy` may not make a document grow by more than this in one patch.
pub const MAX_COPIED_BYTES: usize = 3 << 20;

pub fn apply(document: &mut Value, patch: &Value) -> Result<(), Status> {
    let operations = match patch {
        Value::Array(operations) => operations,
        Value::Null => return Ok(()),
        other => return Err(undecodable(other, "Go value of type []handlers.jsonPatchOp")),
    };
    let operations = operations.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if operations.len() > MAX_OPERATIONS {
        let message = format!(
            "Request entity is too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        );
        return Err(Status::new(Reason::RequestEntityTooLarge, message));
    }
    let mut copied_bytes = 0;
    for operation in operations {
        step(document, operation, &mut copied_bytes).ok_or_else(rejected)?;
    }
    Ok(())
}

/// What strict validation complains about: members that no operation has.
pub fn unknown_fields(patch: &Value) -> Vec<String> {
    let operations = patch.as_array().into_iter().flatten().enumerate();
    let unknown = |(index, operation): (usize, &Value)| {
        let keys =
            operation.as_object().into_iter().flat_map(Map::keys).filter(|key| !["op", "path", "from", "value"].contains(&key.as_str()));
        keys.map(|key| format!("json patch unknown field \"[{index}].{key}\"")).collect::<Vec<_>>()
    };
    operations.flat_map(unknown).collect()
}

struct Operation<'a> {
    op: &'a str,
    path: Option<&'a str>,
    from: Option<&'a str>,
    value: &'a Value,
}

fn read(operation: &Value) -> Result<Operation<'_>, Status> {
    let Value::Object(map) = operation else { return Err(undecodable(operation, "Go value of type handlers.jsonPatchOp")) };
    let text = |key: &str| match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(other) => Err(undecodable(other, &format!("Go struct field jsonPatchOp.{key} of type string"))),
    };
    Ok(Operation {
        op: text("op")?.unwrap_or("unknown"),
        path: text("path")?,
        from: text("from")?,
        value: map.get("value").unwrap_or(&Value::Null),
    })
}

/// One operation; `None` when it does not fit the document.
fn step(document: &mut Value, operation: Operation, copied_bytes: &mut usize) -> Option<()> {
    let path = operation.path;
    match operation.op {
        "add" => add(document, path?, operation.value.clone()),
        "remove" => remove(document, path?).map(drop),
        "replace" => replace(document, path?, operation.value.clone()),
        "test" => test(document, path?, operation.value),
        "move" => {
            let value = remove(document, operation.from?)?;
            add(document, path?, value)
        }
        "copy" => {
            let (parent, key) = parent(document, operation.from?)?;
            let value = get(parent, &key)?.cloned().unwrap_or_default();
            *copied_bytes += value.to_string().len();
            if *copied_bytes > MAX_COPIED_BYTES {
                return None;
            }
            add(document, path?, value)
        }
        _ => None,
    }
}

/// The container that holds the last part of the path, and that part.
fn parent<'a>(document: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let mut parts = path.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect::<Vec<_>>();
    let key = parts.pop()?;
    let mut at = document;
    for part in parts {
        at = match at {
            Value::Object(map) => map.get_mut(&part)?,
            Value::Array(list) => {
                let index = index(&part, list.len())?;
                list.get_mut(index)?
            }
            _ => return None,
        };
    }
    (at.is_object() || at.is_array()).then_some((at, key))
}

/// An index into a list of that length; negative ones count from the end.
fn index(text: &str, length: usize) -> Option<usize> {
    let index = text.parse::<i64>().ok()?;
    let index = if index < 0 { index + length as i64 } else { index };
    usize::try_from(index).ok()
}

/// `Some(None)` for a member that an object does not have.
fn get<'a>(container: &'a Value, key: &str) -> Option<Option<&'a Value>> {
    match container {
        Value::Object(map) => Some(map.get(key)),
        Value::Array(list) => list.get(index(key, list.len())?).map(Some),
        _ => None,
    }
}

fn add(document: &mut Value, path: &str, value: Value) -> Option<()> {
    match parent(document, path)? {
        (Value::Object(map), key) => {
            map.insert(key, value);
        }
        (Value::Array(list), key) if key == "-" => list.push(value),
        (Value::Array(list), key) => {
            let at = index(&key, list.len() + 1).filter(|at| *at <= list.len())?;
            list.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(document: &mut Value, path: &str) -> Option<Value> {
    match parent(document, path)? {
        (Value::Object(map), key) => map.remove(&key),
        (Value::Array(list), key) => {
            let at = index(&key, list.len()).filter(|at| *at < list.len())?;
            Some(list.remove(at))
        }
        _ => None,
    }
}

fn replace(document: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *document = Some(value).filter(|value| value.is_object() || value.is_array())?;
        return Some(());
    }
    match parent(document, path)? {
        (Value::Object(map), key) => {
            map.insert(key, value);
        }
        (Value::Array(list), key) => {
            let at = index(&key, list.len())?;
            *list.get_mut(at)? = value;
        }
        _ => return None,
    }
    Some(())
}

fn test(document: &mut Value, path: &str, value: &Value) -> Option<()> {
    if path.is_empty() {
        return (document == value).then_some(());
    }
    let (parent, key) = parent(document, path)?;
    (get(parent, &key)?.unwrap_or(&Value::Null) == value).then_some(())
}
