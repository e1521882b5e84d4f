//! resource.k8s.io: in v1beta1 an exact device request and a basic device stood where later versions have them in a field of
//! their own (`exactly`) or in none (`basic`).
use super::{child, children};
use serde_json::{Map, Value};

/// What of a request moves into `exactly`.
const EXACT: &[&str] =
    &["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity", "derivedAttributes"];

pub fn from_v1beta1(object: &mut Map<String, Value>, plural: &str) {
    match plural {
        "resourceslices" => devices(object, |device| {
            if let Some(Value::Object(basic)) = device.remove("basic") {
                device.extend(basic);
            }
        }),
        _ => requests(object, plural, |request| {
            let exact: Map<String, Value> = EXACT.iter().filter_map(|field| request.remove_entry(*field)).collect();
            if !exact.is_empty() {
                request.insert("exactly".into(), Value::Object(exact));
            }
        }),
    }
}

pub fn to_v1beta1(object: &mut Map<String, Value>, plural: &str) {
    match plural {
        "resourceslices" => devices(object, |device| {
            let name = device.remove("name");
            let basic = std::mem::take(device);
            device.extend(name.map(|name| ("name".to_string(), name)));
            device.insert("basic".into(), Value::Object(basic));
        }),
        _ => requests(object, plural, |request| {
            if let Some(Value::Object(exact)) = request.remove("exactly") {
                request.extend(exact);
            }
        }),
    }
}

fn devices(slice: &mut Map<String, Value>, change: impl Fn(&mut Map<String, Value>)) {
    if let Some(spec) = child(slice, "spec") {
        children(spec, "devices").for_each(change);
    }
}

/// The requests of a claim, or of a template's claim.
fn requests(object: &mut Map<String, Value>, plural: &str, change: impl Fn(&mut Map<String, Value>)) {
    let spec = child(object, "spec");
    let spec = if plural == "resourceclaimtemplates" { spec.and_then(|spec| child(spec, "spec")) } else { spec };
    if let Some(devices) = spec.and_then(|spec| child(spec, "devices")) {
        children(devices, "requests").for_each(change);
    }
}
