//! Kinds without code of their own, over the schema table: objects stay JSON values with typed metadata. What every such kind
//! shares is here: status is set only through its subresource, the generation counts changes of the spec.
//! What is not here: checks beyond the schema's; those come when a kind gets its own code.
use jiff::Timestamp;
use machinery::errors::Errors;
use machinery::kind::{ColumnNames, DynKind, NameRule, Names};
use machinery::object::{AnyObject, Dynamic};
use machinery::schema::Subresource;
use machinery::status::Status;
use serde_json::Value;

mod columns;
mod facts;

use columns::Shown;
use facts::Facts;

/// Subresources through which the object itself is read and written.
const OBJECT_SHAPED: &[&str] = &["status", "finalize", "approval"];

pub struct Generic {
    names: Names,
    subresources: Vec<(&'static str, &'static [&'static str])>,
    scale: bool,
    facts: &'static Facts,
    columns: &'static [Shown],
}

impl Generic {
    pub fn new(names: Names, subresources: &'static [Subresource]) -> Generic {
        let shaped = subresources.iter().filter(|sub| OBJECT_SHAPED.contains(&sub.name));
        Generic {
            subresources: shaped.map(|sub| (sub.name, &sub.verbs[..])).collect(),
            scale: subresources.iter().any(|sub| sub.name == "scale"),
            facts: facts::of(names.group, names.plural),
            columns: columns::of(names.group, names.plural),
            names,
        }
    }

    fn has_status(&self) -> bool {
        self.subresources.iter().any(|(name, _)| *name == "status")
    }

    fn status_of(&self, error: serde_json::Error) -> Status {
        let (kind, version) = (self.names.kind, self.names.version);
        Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"))
    }
}

fn own(object: &dyn AnyObject) -> &Dynamic {
    object.downcast_ref().expect("a kind is given its own objects")
}

fn own_mut(object: &mut dyn AnyObject) -> &mut Dynamic {
    object.downcast_mut().expect("a kind is given its own objects")
}

/// What counts for the generation: everything but the status.
fn wanted_differs(new: &Dynamic, old: &Dynamic) -> bool {
    let keys = |object: &Dynamic| object.rest.len() - usize::from(object.rest.contains_key("status"));
    keys(new) != keys(old) || new.rest.iter().any(|(key, value)| key != "status" && old.rest.get(key) != Some(value))
}

/// The value at a dotted path (`spec.replicas`), or null.
fn at<'a>(object: &'a Dynamic, path: &str) -> &'a Value {
    let mut parts = path.split('.');
    let first = parts.next().and_then(|key| object.rest.get(key));
    parts.fold(first.unwrap_or(&Value::Null), |value, key| &value[key])
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl DynKind for Generic {
    fn names(&self) -> &Names {
        &self.names
    }
    fn decode(&self, value: Value) -> Result<Box<dyn AnyObject>, Status> {
        Dynamic::from_value(value).map(|object| Box::new(object) as _).map_err(|error| self.status_of(error))
    }
    fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn AnyObject>, Status> {
        self.decode(serde_json::from_slice(json).map_err(|error| self.status_of(error))?)
    }
    fn default(&self, object: &mut dyn AnyObject) {
        (self.facts.default)(own_mut(object));
    }
    fn on_create(&self, object: &mut dyn AnyObject) {
        let object = own_mut(object);
        if self.has_status() {
            object.rest.remove("status");
            // A struct without a pointer is always written; patches add below it.
            let field = machinery::schema::lookup(self.names.schema).and_then(|message| message.field("status"));
            if field.is_some_and(|field| !field.pointer) {
                object.rest.insert("status".into(), Value::Object(serde_json::Map::new()));
            }
        }
        if self.facts.generation {
            object.metadata.generation = Some(1);
        }
    }
    fn on_update(&self, new: &mut dyn AnyObject, old: &dyn AnyObject) {
        let (new, old) = (own_mut(new), own(old));
        if self.has_status() {
            keep(new, old, "status");
        }
        if self.facts.generation {
            let generation = old.metadata.generation.unwrap_or(0);
            new.metadata.generation = Some(generation + i64::from(wanted_differs(new, old)));
        }
    }
    fn validate(&self, _: &dyn AnyObject, _: &mut Errors) {}
    fn validate_update(&self, new: &dyn AnyObject, old: &dyn AnyObject, errors: &mut Errors) {
        if self.facts.spec_immutable && own(new).rest.get("spec") != own(old).rest.get("spec") {
            errors.invalid("spec", own(new).rest.get("spec"), "field is immutable");
        }
    }
    fn warnings(&self, _: &dyn AnyObject) -> Vec<String> {
        Vec::new()
    }
    fn columns(&self) -> Vec<ColumnNames> {
        let column = |name: &str, kind: &str, format: &str, priority| ColumnNames {
            name: name.into(),
            kind: kind.into(),
            format: format.into(),
            priority,
        };
        let mut all = vec![column("Name", "string", "name", 0)];
        all.extend(self.columns.iter().map(|shown| column(shown.name, shown.kind, "", 0)));
        all
    }
    fn row(&self, object: &dyn AnyObject, now: Timestamp) -> Vec<Value> {
        let mut cells = vec![Value::from(object.meta().name.clone().unwrap_or_default())];
        cells.extend(self.columns.iter().map(|column| (column.cell)(own(object), now)));
        cells
    }
    fn field_names(&self) -> Vec<&str> {
        self.facts.fields.to_vec()
    }
    fn field(&self, object: &dyn AnyObject, path: &str) -> Option<String> {
        self.facts.fields.contains(&path).then(|| text(at(own(object), path)))
    }
    fn subresources(&self) -> Vec<(&str, &[&'static str])> {
        self.subresources.clone()
    }
    fn prepare_subresource(&self, subresource: &str, new: &mut dyn AnyObject, old: &dyn AnyObject) {
        let (new, old) = (own_mut(new), own(old));
        if subresource == "status" {
            let status = new.rest.remove("status");
            new.rest.clone_from(&old.rest);
            new.rest.remove("status");
            new.rest.extend(status.map(|status| ("status".to_string(), status)));
            new.metadata.generation = old.metadata.generation;
        }
    }
    fn validate_subresource(&self, _: &str, _: &dyn AnyObject, _: &dyn AnyObject, _: &mut Errors) {}
    fn scalable(&self) -> bool {
        self.scale
    }
    fn scale(&self, object: &dyn AnyObject) -> Option<(i32, i32, String)> {
        let number = |path| at(own(object), path).as_i64().unwrap_or(0) as i32;
        self.scale.then(|| (number("spec.replicas"), number("status.replicas"), selector(at(own(object), "spec.selector"))))
    }
    fn set_scale(&self, object: &mut dyn AnyObject, replicas: i32) {
        if let Some(Value::Object(spec)) = own_mut(object).rest.get_mut("spec") {
            spec.insert("replicas".into(), replicas.into());
        }
    }
    fn grace(&self, _: &dyn AnyObject, _: Option<i64>) -> Option<i64> {
        None
    }
    fn create_on_update(&self) -> bool {
        self.facts.create_on_update
    }
    fn unconditional_update(&self) -> bool {
        self.facts.unconditional_update
    }
    fn name_rule(&self) -> NameRule {
        self.facts.name
    }
}

fn keep(new: &mut Dynamic, old: &Dynamic, key: &str) {
    match old.rest.get(key) {
        Some(value) => new.rest.insert(key.into(), value.clone()),
        None => new.rest.remove(key),
    };
}

/// A label selector in its text form; empty when it cannot be read.
fn selector(value: &Value) -> String {
    let selector = serde_json::from_value(value.clone()).ok();
    selector
        .and_then(|selector| machinery::selector::Selector::from_api(Some(&selector)).ok())
        .map(|selector| selector.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
