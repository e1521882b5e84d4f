//! Strategic merge patch: lists are merged by their keys as the schema says, directives (`$patch`, `$retainKeys`,
//! `$setElementOrder/…`, `$deleteFromPrimitiveList/…`) say what a plain merge cannot.
//! https://github.com/kubernetes/design-proposals-archive/blob/main/cli/preserve-order-in-strategic-merge-patch.md
use super::{rejected, undecodable};
use crate::schema::{Field, Message, Type};
use crate::status::{Reason, Status};
use serde_json::{Map, Value};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

type Object = Map<String, Value>;

pub fn apply(document: &mut Value, patch: Value, schema: &'static Message) -> Result<(), Status> {
    let Value::Object(original) = std::mem::take(document) else { return Err(Status::bad_request("invalid JSON document")) };
    let patch = match patch {
        Value::Object(patch) => patch,
        Value::Null => Map::new(),
        other => return Err(undecodable(&other, "Go value of type map[string]interface {}")),
    };
    *document = Value::Object(merge_map(original, patch, Shape::Message(schema))?);
    Ok(())
}

/// What the schema knows about a place in the document.
#[derive(Clone, Copy)]
enum Shape {
    Message(&'static Message),
    /// A map with values of that type.
    Map(&'static Type),
    /// Something without members of its own.
    Other(&'static str),
}

/// What the schema says about one member: its element's shape for lists, its own otherwise, and how it is merged.
struct Member {
    shape: Shape,
    merge: bool,
    key: Option<&'static str>,
}

impl Shape {
    fn of(ty: &'static Type) -> Shape {
        match ty {
            Type::Message(message) => Shape::Message(message.get()),
            Type::Map(element) => Shape::Map(element),
            Type::Raw => Shape::Other("RawExtension"),
            Type::FieldsV1 => Shape::Other("FieldsV1"),
            _ => Shape::Other(""),
        }
    }

    fn member(self, name: &str) -> Result<Member, Status> {
        match self {
            Shape::Message(message) => match message.field(name) {
                Some(field) => Ok(Member::of(field)),
                None => Err(unknown_field(message.name.rsplit('.').next().unwrap_or_default(), name)),
            },
            Shape::Map(element) => Ok(Member { shape: Shape::of(element.list_element()), merge: false, key: None }),
            Shape::Other("") => Err(unexpected("merging an object in json but data type is not struct or map")),
            Shape::Other(holder) => Err(unknown_field(holder, name)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Shape::Message(message) => message.name.rsplit('.').next().unwrap_or_default(),
            Shape::Map(_) => "map",
            Shape::Other(name) => name,
        }
    }
}

impl Member {
    fn of(field: &'static Field) -> Member {
        Member { shape: Shape::of(field.ty.list_element()), merge: field.patch_merge, key: field.patch_merge_key }
    }
}

impl Type {
    /// The element of a list; anything else is itself.
    fn list_element(&self) -> &Type {
        match self {
            Type::List(element) => element,
            other => other,
        }
    }
}

fn merge_map(mut original: Object, mut patch: Object, shape: Shape) -> Result<Object, Status> {
    if let Some(directive) = patch.get(PATCH) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(PATCH);
                Ok(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(unexpected(format!("unknown patch type: {} in map: {}", go_text(directive), go_map(&patch)))),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    merge_ordered_lists(&mut original, &mut patch, shape)?;
    for (key, value) in patch {
        match directive_target(&key, DELETE_FROM_LIST, "invalid patch format of primitive list")? {
            Some(target) => delete_from_list(&mut original, &target, value)?,
            None => merge_member(&mut original, key, value, shape)?,
        }
    }
    Ok(original)
}

/// `$retainKeys`: members that are not named there go away; every member of the patch must be named.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), Status> {
    let wrong = || Status::bad_request("invalid patch format of retainKeys");
    let Some(list) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let list = list.as_array().ok_or_else(wrong)?;
    let kept = |key: &str| list.iter().any(|kept| kept.as_str() == Some(key));
    let plain = |key: &str| !key.starts_with(DELETE_FROM_LIST) && !key.starts_with(ELEMENT_ORDER);
    if patch.iter().any(|(key, value)| !value.is_null() && plain(key) && !kept(key)) {
        return Err(wrong());
    }
    original.retain(|key, _| kept(key));
    Ok(())
}

/// `finalizers` of `$deleteFromPrimitiveList/finalizers`, and nothing for another key.
fn directive_target(key: &str, prefix: &str, wrong: &str) -> Result<Option<String>, Status> {
    if !key.starts_with(prefix) {
        return Ok(None);
    }
    match key.split_once('/') {
        Some((directive, target)) if directive == prefix => Ok(Some(target.into())),
        _ => Err(Status::bad_request(wrong)),
    }
}

fn delete_from_list(original: &mut Object, target: &str, values: Value) -> Result<(), Status> {
    if values.is_null() {
        original.remove(target);
        return Ok(());
    }
    if let (Some(Value::Array(list)), Value::Array(values)) = (original.get_mut(target), values) {
        element_kind(list.iter().chain(&values))?;
        list.retain(|item| !values.contains(item));
    }
    Ok(())
}

fn merge_member(original: &mut Object, key: String, value: Value, shape: Shape) -> Result<(), Status> {
    if value.is_null() {
        original.remove(&key);
        return Ok(());
    }
    let merged = match (original.remove(&key), value) {
        (Some(Value::Object(there)), Value::Object(value)) => {
            let member = shape.member(&key)?;
            Some(Value::Object(merge_map(there, value, member.shape)?))
        }
        (Some(Value::Array(there)), Value::Array(value)) => {
            let member = shape.member(&key)?;
            Some(Value::Array(if member.merge { merge_list(there, value, &member)? } else { value }))
        }
        (_, mut value) => {
            discard_nulls(&mut value);
            without_directives(value)
        }
    };
    if let Some(merged) = merged {
        original.insert(key, merged);
    }
    Ok(())
}

fn merge_list(mut original: Vec<Value>, mut patch: Vec<Value>, member: &Member) -> Result<Vec<Value>, Status> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let maps = element_kind(original.iter().chain(&patch))?;
    if !maps {
        let mut merged: Vec<Value> = Vec::new();
        for item in original.iter().chain(&patch) {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return order(merged, &patch, &original, None);
    }
    let Some(key) = member.key else {
        return Err(unexpected(format!("cannot merge lists without merge key for {}", member.shape.name())));
    };
    (original, patch) = special_elements(original, patch, key)?;
    let merged = merge_items(original.clone(), patch.clone(), key, member.shape)?;
    order(merged, &patch, &original, Some(key))
}

/// Carries out the items with `$patch`, and returns what is left to merge.
fn special_elements(mut original: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>), Status> {
    let (mut plain, mut replace) = (Vec::new(), false);
    for item in patch {
        let map = item.as_object().ok_or_else(|| not_a_map(&item))?;
        match map.get(PATCH) {
            None => plain.push(item),
            Some(Value::String(directive)) if directive == "delete" => {
                let wanted = map.get(key).ok_or_else(|| no_merge_key(map, key))?;
                original.retain(|there| there.get(key) != Some(wanted));
            }
            Some(Value::String(directive)) if directive == "replace" => replace = true,
            Some(Value::String(directive)) if directive == "merge" => {
                return Err(unexpected("merging lists cannot yet be specified in the patch"));
            }
            Some(other) => return Err(unexpected(format!("unknown patch type: {} in map: {}", go_text(other), go_map(map)))),
        }
    }
    Ok(if replace { (plain, Vec::new()) } else { (original, plain) })
}

fn merge_items(mut original: Vec<Value>, patch: Vec<Value>, key: &str, shape: Shape) -> Result<Vec<Value>, Status> {
    for item in patch {
        let Value::Object(item) = item else { return Err(not_a_map(&item)) };
        let wanted = item.get(key).ok_or_else(|| no_merge_key(&item, key))?;
        match original.iter().position(|there| there.get(key) == Some(wanted)) {
            Some(at) => {
                let Value::Object(there) = std::mem::take(&mut original[at]) else { continue };
                original[at] = Value::Object(merge_map(there, item, shape)?);
            }
            None => original.push(Value::Object(item)),
        }
    }
    Ok(original)
}

/// Lists that the patch names in `$setElementOrder/…`: merges them, and brings their items into that order.
fn merge_ordered_lists(original: &mut Object, patch: &mut Object, shape: Shape) -> Result<(), Status> {
    let keys = patch.keys().filter(|key| key.starts_with(ELEMENT_ORDER)).cloned().collect::<Vec<_>>();
    for directive in keys {
        let Some(Value::Array(wanted)) = patch.remove(&directive) else {
            return Err(Status::bad_request("invalid patch format of setElementOrder list"));
        };
        let key = directive_target(&directive, ELEMENT_ORDER, "invalid patch format of setElementOrder list")?.unwrap_or_default();
        let (there, change) = (list_of(original.get(&key))?, list_of(patch.get(&key))?);
        let member = shape.member(&key)?;
        check_order(change.as_deref().unwrap_or_default(), &wanted, member.key)?;
        let merged = match (&there, change.clone()) {
            (None, None) => continue,
            (Some(there), None) => there.clone(),
            (None, Some(change)) => change.into_iter().filter_map(without_directives).collect(),
            (Some(there), Some(change)) if member.merge => merge_list(there.clone(), change, &member)?,
            (Some(_), Some(change)) => change,
        };
        let there = there.unwrap_or_default();
        element_kind(there.iter().chain(change.iter().flatten()))?;
        original.insert(key.clone(), Value::Array(order(merged, &wanted, &there, member.key)?));
        patch.remove(&key);
    }
    Ok(())
}

fn list_of(value: Option<&Value>) -> Result<Option<Vec<Value>>, Status> {
    match value {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list.clone())),
        Some(other) => Err(unexpected(format!("expected a []interface {{}}, but received a {}", go_type(other)))),
    }
}

/// The patch's items must stand in the wanted list, in the same order.
fn check_order(patch: &[Value], wanted: &[Value], key: Option<&str>) -> Result<(), Status> {
    if patch.is_empty() || wanted.is_empty() {
        return Ok(());
    }
    let mut rest = wanted.iter();
    for item in patch.iter().filter(|item| item.get(PATCH).is_none()) {
        loop {
            let Some(next) = rest.next() else {
                let (patch, wanted) = (go_list(patch), go_list(wanted));
                return Err(unexpected(format!("The order in patch list:\n{patch}\n doesn't match {ELEMENT_ORDER} list:\n{wanted}\n")));
            };
            if identity(item, key)? == identity(next, key)? {
                break;
            }
        }
    }
    Ok(())
}

/// What makes an item of a list the same item: the value of the merge key, or the item itself.
fn identity<'a>(item: &'a Value, key: Option<&str>) -> Result<&'a Value, Status> {
    let Some(key) = key else { return Ok(item) };
    let map = item.as_object().ok_or_else(|| not_a_map(item))?;
    map.get(key).ok_or_else(|| no_merge_key(map, key))
}

/// Items named by `wanted` in its order, the others in the order of `live`, which also decides where they go between.
fn order(merged: Vec<Value>, wanted: &[Value], live: &[Value], key: Option<&str>) -> Result<Vec<Value>, Status> {
    let place = |list: &[Value], item: &Value| -> Result<Option<usize>, Status> {
        let wanted = identity(item, key)?;
        for (at, there) in list.iter().enumerate() {
            if identity(there, key)? == wanted {
                return Ok(Some(at));
            }
        }
        Ok(None)
    };
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for item in merged {
        let live = place(live, &item)?;
        match place(wanted, &item)? {
            Some(at) => named.push((at, live, item)),
            None => others.push((live, item)),
        }
    }
    named.sort_by_key(|(at, ..)| *at);
    others.sort_by_key(|(live, _)| live.unwrap_or(usize::MAX));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut sorted = Vec::new();
    while let Some((_, named_place, _)) = named.peek() {
        let before = matches!((others.peek(), named_place), (Some((Some(other), _)), Some(named)) if other < named);
        sorted.extend(if before { others.next().map(|(_, item)| item) } else { named.next().map(|(.., item)| item) });
    }
    sorted.extend(others.map(|(_, item)| item));
    Ok(sorted)
}

/// Are the items objects? All must be of one type, and none a list.
fn element_kind<'a>(items: impl Iterator<Item = &'a Value> + Clone) -> Result<bool, Status> {
    let Some(first) = items.clone().next() else { return Err(unexpected("no elements in any of the given slices")) };
    if first.is_array() {
        return Err(rejected());
    }
    let first = std::mem::discriminant(first);
    if items.clone().any(|item| std::mem::discriminant(item) != first) {
        let all = items.clone().cloned().collect::<Vec<_>>();
        return Err(unexpected(format!("list element types are not identical: [{}]", go_list(&all))));
    }
    Ok(items.clone().next().is_some_and(Value::is_object))
}

fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(discard_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// A new value as it is stored: objects with a `$patch` in them are left out.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(PATCH) => None,
        Value::Object(map) => {
            Some(Value::Object(map.into_iter().filter_map(|(key, value)| Some((key, without_directives(value)?))).collect()))
        }
        Value::Array(list) => Some(Value::Array(list.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

/// Errors that the original does not classify come out as 500 with the bare text.
fn unexpected(message: impl Into<String>) -> Status {
    Status::new(Reason::Unknown, message)
}

fn unknown_field(holder: &str, field: &str) -> Status {
    unexpected(format!("unable to find api field in struct {holder} for the json field \"{field}\""))
}

fn not_a_map(item: &Value) -> Status {
    unexpected(format!("expected a map[string]interface {{}}, but received a {}", go_type(item)))
}

fn no_merge_key(map: &Object, key: &str) -> Status {
    unexpected(format!("map: {} does not contain declared merge key: {key}", go_map(map)))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as the original prints it into messages.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => go_list(list),
        Value::Object(map) => go_map(map),
        other => other.to_string(),
    }
}

fn go_list(list: &[Value]) -> String {
    format!("[{}]", list.iter().map(go_text).collect::<Vec<_>>().join(" "))
}

fn go_map(map: &Object) -> String {
    format!("map[{}]", map.iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect::<Vec<_>>().join(" "))
}
