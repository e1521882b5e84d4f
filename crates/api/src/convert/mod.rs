//! Objects from one version of a resource to another, as JSON values. The hub is the version that `Registry::hub_of` names;
//! most versions differ only in their name. What is not here: defaults and checks, which belong to the kinds.
mod autoscaling;
mod devices;
mod events;

use machinery::kind::Names;
use serde_json::{Map, Value};

pub fn convert(mut value: Value, from: &Names, to: &Names) -> Value {
    if (from.group, from.version) == (to.group, to.version) {
        return value;
    }
    if let Value::Object(object) = &mut value {
        match (to.group, to.version, from.version, to.plural) {
            ("events.k8s.io", ..) => events::from_core(object),
            ("", _, _, "events") => events::to_core(object),
            ("autoscaling", "v1", ..) => autoscaling::to_v1(object),
            ("autoscaling", "v2", ..) => autoscaling::to_v2(object),
            ("resource.k8s.io", "v1beta1", _, plural) => devices::to_v1beta1(object, plural),
            ("resource.k8s.io", _, "v1beta1", plural) => devices::from_v1beta1(object, plural),
            _ => {}
        }
        object.insert("apiVersion".into(), to.api_version().into());
    }
    value
}

/// Gives fields other names, where they are there.
fn rename(object: &mut Map<String, Value>, names: impl IntoIterator<Item = (&'static str, &'static str)>) {
    for (from, to) in names {
        if let Some(value) = object.remove(from) {
            object.insert(to.into(), value);
        }
    }
}

/// The object in a field, if it is one.
fn child<'a>(object: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    object.get_mut(field).and_then(Value::as_object_mut)
}

/// The objects of a list in a field.
fn children<'a>(object: &'a mut Map<String, Value>, field: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests;
