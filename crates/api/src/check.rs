//! Small checks and table cells that several groups share. What belongs to metadata is in `meta`, to pods in `core::pod`.
use crate::meta::not_negative;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::Column;
use machinery::selector::Selector;
use serde_json::Value;

/// The verbs of an ordinary resource.
pub const OBJECT_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// The verbs of `status` and its like.
pub const STATUS_VERBS: &[&str] = &["get", "patch", "update"];

/// Refuses negative numbers where there are some.
pub fn not_negatives<const N: usize>(errors: &mut Errors, fields: [(&str, Option<i32>); N]) {
    for (field, value) in fields {
        not_negative(errors, field, value.unwrap_or(0));
    }
}

/// Refuses a part that is larger than its whole.
pub fn at_most(errors: &mut Errors, field: &str, value: Option<i32>, limit: Option<i32>, why: &str) {
    if value.unwrap_or(0) > limit.unwrap_or(0) {
        errors.invalid(field, value.unwrap_or(0), why);
    }
}

/// Counters that only grow.
pub fn not_decremented(errors: &mut Errors, field: &str, new: Option<i32>, old: Option<i32>) {
    if old.is_some() && new.unwrap_or(i32::MIN) < old.unwrap_or(0) {
        errors.invalid(field, new.unwrap_or(0), "cannot be decremented");
    }
}

/// `5` or `25%`, not negative.
pub fn int_or_percent(errors: &mut Errors, field: &str, value: &IntOrString) {
    match value {
        IntOrString::Int(number) => not_negative(errors, field, *number),
        IntOrString::String(text) => crate::meta::report(errors, field, text, content::percent(text)),
    }
}

pub fn at_most_all(errors: &mut Errors, field: &str, value: &IntOrString) {
    if percent(value).is_some_and(|percent| percent > 100) {
        errors.invalid(field, value, "must not be greater than 100%");
    }
}

/// The number, be it of things or of percent; 0 if it cannot be read.
pub fn amount(value: &IntOrString) -> i64 {
    match value {
        IntOrString::Int(number) => i64::from(*number),
        IntOrString::String(text) => percent(value).unwrap_or_else(|| text.parse().unwrap_or(0)),
    }
}

fn percent(value: &IntOrString) -> Option<i64> {
    match value {
        IntOrString::String(text) if content::percent(text).is_empty() => text.trim_end_matches('%').parse().ok(),
        _ => None,
    }
}

/// A path with a domain before it (`example.com/controller`).
pub fn domain_prefixed_path(errors: &mut Errors, field: &str, path: &str) {
    if path.is_empty() {
        return errors.required(field, "");
    }
    let (host, rest) = path.split_once('/').unwrap_or((path, ""));
    if host.is_empty() || rest.is_empty() {
        return errors.invalid(field, path, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    }
    crate::meta::report(errors, field, host, content::dns_subdomain(host));
    if !rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte)) {
        let problem = content::form("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
        errors.invalid(field, rest, &problem);
    }
}

/// The warning about names that become part of pod names.
pub fn name_warning(name: Option<&str>) -> Option<String> {
    let problems = content::dns_label(name.unwrap_or_default());
    let told =
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended";
    (!problems.is_empty()).then(|| format!("{told}: [{}]", problems.join(" ")))
}

/// A column that is always shown.
pub const fn column<T>(name: &'static str, kind: &'static str, cell: fn(&T, jiff::Timestamp) -> Value) -> Column<T> {
    Column { name, kind, format: "", priority: 0, cell }
}

/// A column of wide output.
pub const fn wide<T>(name: &'static str, cell: fn(&T, jiff::Timestamp) -> Value) -> Column<T> {
    Column { name, kind: "string", format: "", priority: 1, cell }
}

/// A selector's text, `<none>` if it selects everything.
pub fn selector_cell(selector: Option<&LabelSelector>) -> Value {
    match Selector::from_api(selector) {
        Err(_) => "<error>".into(),
        Ok(selector) => machinery::table::or_none(&selector.to_string()).into(),
    }
}

/// A selector's text, empty if it cannot be read.
pub fn selector_text(selector: &LabelSelector) -> String {
    Selector::from_api(Some(selector)).map(|selector| selector.to_string()).unwrap_or_default()
}

/// Some items of a list and how many more there are.
pub fn some_of(items: impl IntoIterator<Item = String>, max: usize) -> String {
    let items = items.into_iter().collect::<Vec<_>>();
    let shown = items.iter().take(max).map(String::as_str).collect::<Vec<_>>().join(",");
    match items.len() {
        0 => "<unset>".into(),
        count if count > max => format!("{shown} + {} more...", count - max),
        _ => shown,
    }
}

pub fn bool_cell(value: Option<bool>) -> Value {
    match value {
        Some(true) => "True".into(),
        Some(false) => "False".into(),
        None => "<unset>".into(),
    }
}

/// What checks say about an object given as JSON, a line each, after its defaults.
#[cfg(test)]
pub fn problems(kind: &dyn machinery::kind::DynKind, object: Value) -> String {
    let mut object = kind.decode(object).expect("the test's object decodes");
    kind.default(&mut *object);
    let mut errors = Errors::default();
    kind.validate(&*object, &mut errors);
    told(&errors)
}

/// The same for an update of the main resource or, with its name, of a subresource.
#[cfg(test)]
pub fn update_problems(kind: &dyn machinery::kind::DynKind, subresource: &str, old: Value, new: Value) -> String {
    let [old, mut new] = [old, new].map(|value| {
        let mut object = kind.decode(value).expect("the test's object decodes");
        kind.default(&mut *object);
        object
    });
    let mut errors = Errors::default();
    if subresource.is_empty() {
        kind.on_update(&mut *new, &*old);
        kind.validate(&*new, &mut errors);
        kind.validate_update(&*new, &*old, &mut errors);
    } else {
        kind.prepare_subresource(subresource, &mut *new, &*old);
        kind.validate_subresource(subresource, &*new, &*old, &mut errors);
    }
    told(&errors)
}

#[cfg(test)]
fn told(errors: &Errors) -> String {
    errors.causes().iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
}

/// An object as the server would create it: decoded, defaulted, made ready.
#[cfg(test)]
pub fn created(kind: &dyn machinery::kind::DynKind, object: Value) -> Value {
    let mut object = kind.decode(object).expect("the test's object decodes");
    kind.default(&mut *object);
    kind.on_create(&mut *object);
    object.to_value()
}

/// The cells of an object's row.
#[cfg(test)]
pub fn cells(kind: &dyn machinery::kind::DynKind, object: Value) -> Value {
    let mut object = kind.decode(object).expect("the test's object decodes");
    kind.default(&mut *object);
    let now = "2026-01-01T01:00:00Z".parse().expect("a time");
    kind.row(&*object, now).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{apps, autoscaling, batch, certificates, coordination, discovery, events, networking, policy, rbac, scheduling, storage};

    /// The least that a client sends is created without complaint, reads back as it was, and gets its defaults once.
    #[test]
    fn minimal_objects_pass() {
        let groups = [
            apps::MINIMAL,
            autoscaling::MINIMAL,
            batch::MINIMAL,
            certificates::MINIMAL,
            coordination::MINIMAL,
            discovery::MINIMAL,
            events::MINIMAL,
            networking::MINIMAL,
            policy::MINIMAL,
            rbac::MINIMAL,
            scheduling::MINIMAL,
            storage::MINIMAL,
        ];
        for text in groups.iter().flat_map(|group| group.iter()) {
            let sent: Value = serde_json::from_str(text).expect("test data is JSON");
            let (group, version) = sent["apiVersion"].as_str().and_then(|text| text.split_once('/')).expect("a group and a version");
            let name = sent["kind"].as_str().expect("a kind");
            let kind = crate::registry().by_kind(group, version, name).expect("a registered kind").kind;
            assert!(!kind.columns().is_empty() || name.ends_with("Role"), "{name} has code of its own");
            let stored = created(kind, sent.clone());
            assert_eq!(problems(kind, stored.clone()), "", "{name}");
            let mut again = kind.decode(stored.clone()).expect("what was written can be read");
            kind.default(&mut *again);
            assert_eq!(again.to_value(), stored, "{name}");
            assert_eq!(update_problems(kind, "", stored.clone(), stored), "", "{name}");
        }
    }
}
