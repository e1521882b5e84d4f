//! The difference between what the API shows of a pod's status and what it should show, as a strategic merge patch.
use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// `None`: nothing to write.
pub fn patch(uid: &str, told: &PodStatus, new: &PodStatus) -> Option<Value> {
    let value = |status: &PodStatus| match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let (told, new) = (value(told), value(new));
    let mut changed = Map::new();
    for (field, value) in &new {
        if told.get(field) != Some(value) {
            changed.insert(field.clone(), merged(field, told.get(field), value));
        }
    }
    for field in told.keys().filter(|field| !new.contains_key(*field)) {
        changed.insert(field.clone(), Value::Null);
    }
    (!changed.is_empty()).then(|| json!({"metadata": {"uid": uid}, "status": changed}))
}

/// Lists that merge by key get a deletion for each item that is gone, and only the items that changed.
fn merged(field: &str, told: Option<&Value>, new: &Value) -> Value {
    let key = match field {
        "conditions" => "type",
        "podIPs" => "ip",
        _ => return new.clone(),
    };
    let (Some(told), Some(items)) = (told.and_then(Value::as_array), new.as_array()) else { return new.clone() };
    let find = |list: &[Value], item: &Value| list.iter().position(|other| other[key] == item[key]);
    let mut list: Vec<Value> = items.iter().filter(|item| find(told, item).is_none_or(|at| told[at] != **item)).cloned().collect();
    for gone in told.iter().filter(|old| find(items, old).is_none()) {
        list.push(json!({key: gone[key], "$patch": "delete"}));
    }
    for item in list.iter_mut().filter(|item| item["$patch"].is_null()) {
        if let Some(at) = find(told, item) {
            erase(item, &told[at]);
        }
    }
    Value::Array(list)
}

/// Fields of a merged item that are gone are set to null, or the old ones would stay.
fn erase(item: &mut Value, old: &Value) {
    let (Some(item), Some(old)) = (item.as_object_mut(), old.as_object()) else { return };
    for field in old.keys() {
        if !item.contains_key(field) {
            item.insert(field.clone(), Value::Null);
        }
    }
}
