//! Server-side apply and the bookkeeping of field managers, as structured-merge-diff does it.
//! https://kubernetes.io/docs/reference/using-api/server-side-apply/
//! Works on JSON values of the request's version; never decodes, defaults, validates or stores objects.
mod compare;
mod fields;
mod last_applied;
mod managed;
mod merge;
mod set;
mod shape;

pub use managed::{Entry, Id, MAX_UPDATE_MANAGERS, Managers, Operation};
pub use set::Set;

use crate::schema::Message;
use crate::status::{Cause, Details, Reason, Status};
use compare::Comparison;
use jiff::Timestamp;
use serde_json::{Map, Value};
use shape::Shape;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Who writes what, through which door.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// `None` for kinds without a schema.
    pub schema: Option<&'static Message>,
    pub api_version: &'a str,
    pub kind: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    pub manager: &'a str,
    pub now: Timestamp,
    /// Fields that this door resets, so that nobody comes to own them by it: `status` for the object itself, `spec` for its status.
    pub reset: &'a [&'a [&'a str]],
}

/// Applies `patch` to the live object (`None` creates one). Returns the new object with its managedFields; it may hold nulls where
/// nothing is left of a field.
pub fn apply(write: &Write, live: Option<&Value>, patch: &Value, force: bool) -> Result<Value, Status> {
    check_patch(write, patch)?;
    let shape = Shape::object(write.schema);
    let problems = fields::misfits(patch, shape);
    if !problems.is_empty() {
        return Err(untyped(patch, &problems));
    }
    let mut live = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let managed = take_managed(&mut live);
    let mut managers = Managers::decode(&managed).map_err(|error| failed(format!("failed to decode managed fields: {error}")))?;
    if managers.0.is_empty() {
        let before = Write { manager: "before-first-apply", ..*write };
        record(&before, &mut managers, &changes(&before, &Value::Object(Map::new()), &live));
        managers.cap();
    }
    let merged = match merge_owned(write, &live, patch, managers.clone(), force) {
        Err(conflicts) if write.manager == "kubectl" => {
            let allowed = last_applied::unchanged(write, &live).unwrap_or_default();
            let left = conflicts.into_iter().map(|(id, fields)| (id, fields.difference(&allowed))).filter(|(_, fields)| !fields.is_empty());
            let left = left.collect::<BTreeMap<_, _>>();
            if left.is_empty() { merge_owned(write, &live, patch, managers, true) } else { Err(left) }
        }
        other => other,
    };
    let (object, managers) = merged.map_err(conflict)?;
    let mut object = object.unwrap_or(live);
    if write.manager == "kubectl" {
        last_applied::refresh(&mut object, patch);
    }
    set_managed(&mut object, managers.encode());
    Ok(object)
}

/// The managedFields of `new` after a create (`live` is `None`), update or patch by a manager: null if nobody is tracked. Also takes the
/// old ones out of `new`. What the client sent as managedFields counts: an empty list resets them.
pub fn track_update(write: &Write, live: Option<&Value>, new: &mut Value) -> Value {
    let sent = take_managed(new);
    let empty = Value::Object(Map::new());
    let old = live.unwrap_or(&empty);
    let stored = &old["metadata"]["managedFields"];
    let changes = changes(write, old, new);
    let kept = !write.subresource.is_empty() || sent.is_null() || sent == *stored;
    if live.is_some() && kept && changes.is_empty() {
        return stored.clone();
    }
    let mut managers =
        if write.subresource.is_empty() { sent_or_stored(&sent, stored) } else { Managers::decode(stored).unwrap_or_default() };
    if managers.0.is_empty() && live.is_some() {
        return Value::Null;
    }
    record(write, &mut managers, &changes);
    managers.cap();
    if managers.0.is_empty() { Value::Null } else { managers.encode() }
}

/// Do two objects' managedFields differ in nothing but times? Then a write that changes nothing else is none.
pub fn same_but_times(one: &Value, other: &Value) -> bool {
    let timeless = |entries: &Value| {
        let mut managers = Managers::decode(entries).unwrap_or_default();
        managers.0.values_mut().for_each(|entry| entry.time = None);
        managers
    };
    one == other || timeless(one) == timeless(other)
}

/// Owned by nobody: what the server sets, and what names the object.
static NEVER_OWNED: LazyLock<Set> = LazyLock::new(|| {
    let metadata =
        ["name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion"];
    let mut set = Set::of(&[&["apiVersion"], &["kind"], &["metadata"]]);
    metadata.iter().for_each(|name| set.add(&Set::of(&[&["metadata", name]])));
    set
});

fn take_managed(object: &mut Value) -> Value {
    object.get_mut("metadata").and_then(Value::as_object_mut).and_then(|meta| meta.remove("managedFields")).unwrap_or_default()
}

fn set_managed(object: &mut Value, managed: Value) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && managed.as_array().is_some_and(|entries| !entries.is_empty())
    {
        meta.insert("managedFields".into(), managed);
    }
}

fn sent_or_stored(sent: &Value, stored: &Value) -> Managers {
    let reset = match sent.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.as_object().is_some_and(Map::is_empty),
        _ => false,
    };
    match Managers::decode(sent) {
        _ if reset => Managers::default(),
        Ok(managers) if !managers.0.is_empty() => managers,
        _ => Managers::decode(stored).unwrap_or_default(),
    }
}

/// What a write changes, leaving out what its door resets and the bookkeeping itself.
fn changes(write: &Write, old: &Value, new: &Value) -> Comparison {
    static BOOKKEEPING: LazyLock<Set> = LazyLock::new(|| Set::of(&[&["metadata", "managedFields"]]));
    Comparison::of(old, new, Shape::object(write.schema)).without(&Set::of(write.reset).union(&BOOKKEEPING))
}

/// A plain write: its manager takes what changed from all others.
fn record(write: &Write, managers: &mut Managers, changes: &Comparison) {
    let written = changes.written();
    take_from_others(managers, changes, &written, None);
    let owned = written.difference(&NEVER_OWNED);
    if owned.is_empty() {
        return;
    }
    let id = Id::new(write.manager, Operation::Update, write.api_version, write.subresource);
    let time = Some(stamp(write.now));
    match managers.0.get_mut(&id) {
        Some(entry) => {
            entry.fields.add(&owned);
            entry.time = time;
        }
        None => {
            managers.0.insert(id, Entry { fields: owned, api_version: write.api_version.into(), time });
        }
    }
}

fn take_from_others(managers: &mut Managers, comparison: &Comparison, written: &Set, writer: Option<&Id>) {
    for (id, entry) in &mut managers.0 {
        if Some(id) != writer {
            entry.fields = entry.fields.difference(written).difference(&comparison.removed);
        }
    }
    managers.0.retain(|_, entry| !entry.fields.is_empty());
}

type Conflicts = BTreeMap<Id, Set>;

/// The merged object (nothing if it is the live one) and its managers, or what stands against it.
fn merge_owned(
    write: &Write,
    live: &Value,
    patch: &Value,
    mut managers: Managers,
    force: bool,
) -> Result<(Option<Value>, Managers), Conflicts> {
    let shape = Shape::object(write.schema);
    let id = Id::new(write.manager, Operation::Apply, write.api_version, write.subresource);
    let ignored = Set::of(write.reset);
    let merged = merge::merge(Some(live), Some(patch), shape).unwrap_or_else(|| live.clone());
    let owned = fields::fields(patch, shape).without_trees(&ignored);
    let last = managers.0.remove(&id);
    let time = last.as_ref().and_then(|last| last.time.clone());
    managers.0.insert(id.clone(), Entry { fields: owned, api_version: write.api_version.into(), time });
    let new = match &last {
        Some(last) if !last.fields.is_empty() => prune(&merged, &managers, &last.fields, shape),
        _ => merged,
    };
    let comparison = changes(write, live, &new);
    let written = comparison.written();
    if !force {
        let others = managers.0.iter().filter(|(other, _)| **other != id);
        let conflicts = others.map(|(other, entry)| (other.clone(), entry.fields.intersection(&written)));
        let conflicts = conflicts.filter(|(_, fields)| !fields.is_empty()).collect::<Conflicts>();
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
    }
    take_from_others(&mut managers, &comparison, &written, Some(&id));
    let changed = new != *live;
    if let Some(entry) = managers.0.get_mut(&id) {
        entry.fields = entry.fields.difference(&NEVER_OWNED);
        if changed {
            entry.time = Some(stamp(write.now));
        }
    }
    managers.0.retain(|_, entry| !entry.fields.is_empty());
    Ok((changed.then_some(new), managers))
}

/// Takes out what this manager applied before and no longer does, unless another one owns it, or something below it stays.
fn prune(merged: &Value, managers: &Managers, last: &Set, shape: Shape) -> Value {
    let named = |set: &Set| set.with_named_parents(shape);
    let all = named(&fields::fields(merged, shape));
    let last = named(last);
    let pruned = merge::remove(merged, &last, shape);
    let mut owned = Set::default();
    managers.0.values().for_each(|entry| owned.add(&entry.fields));
    let kept = named(&fields::fields(&pruned, shape)).union(&named(&owned));
    let pruned = merge::remove(merged, &all.difference(&kept), shape);
    let kept = named(&fields::fields(&pruned, shape));
    merge::remove(merged, &all.difference(&kept).intersection(&last), shape)
}

fn stamp(now: Timestamp) -> String {
    let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
    whole.to_string()
}

fn check_patch(write: &Write, patch: &Value) -> Result<(), Status> {
    let text = |key: &str| patch[key].as_str().unwrap_or_default();
    if (text("apiVersion"), text("kind")) != (write.api_version, write.kind) {
        return Err(Status::bad_request(format!("invalid object type: {}", shown_kind(patch))));
    }
    if !patch["metadata"]["managedFields"].is_null() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

/// `apps/v1, Kind=Deployment`; the core group shows as `/v1`.
fn shown_kind(object: &Value) -> String {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let slash = if text("apiVersion").contains('/') { "" } else { "/" };
    format!("{slash}{}, Kind={}", text("apiVersion"), text("kind"))
}

/// The original answers 500 here, with the text alone.
fn untyped(patch: &Value, problems: &[String]) -> Status {
    let text = |key: &str| patch["metadata"][key].as_str().unwrap_or_default();
    let problems = match problems {
        [only] => only.clone(),
        many => format!("errors:\n{}", many.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")),
    };
    failed(format!("failed to create typed patch object ({}/{}; {}): {problems}", text("namespace"), text("name"), shown_kind(patch)))
}

fn failed(message: String) -> Status {
    Status::new(Reason::Unknown, message)
}

fn conflict(conflicts: Conflicts) -> Status {
    let causes = conflicts.iter().flat_map(|(id, fields)| {
        let message = format!("conflict with {}", id.shown());
        fields.paths().into_iter().map(move |field| Cause { field, reason: "FieldManagerConflict".into(), message: message.clone() })
    });
    let causes = causes.collect::<Vec<_>>();
    let message = match causes.as_slice() {
        [only] => format!("Apply failed with 1 conflict: {}: {}", only.message, only.field),
        many => {
            let of_manager = |(id, fields): (&Id, &Set)| {
                let paths = fields.paths().into_iter().map(|path| format!("\n- {path}")).collect::<String>();
                format!("conflicts with {}:{paths}", id.shown())
            };
            let all = conflicts.iter().map(of_manager).collect::<Vec<_>>().join("\n");
            format!("Apply failed with {} conflicts: {all}", many.len())
        }
    };
    Status::new(Reason::Conflict, message).with(Details { causes, ..Details::default() })
}

#[cfg(test)]
mod tests;
