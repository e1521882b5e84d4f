//! `metadata.managedFields`: who wrote which fields, by which operation, when. Reads and writes the stored form.
use super::set::Set;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// More managers by update than this are merged into `ancient-changes`.
pub const MAX_UPDATE_MANAGERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

/// What makes entries the same manager; an applier is one whatever version it applies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub manager: String,
    pub operation: Operation,
    /// Empty for appliers.
    pub api_version: String,
    pub subresource: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub fields: Set,
    pub api_version: String,
    /// As stored.
    pub time: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Managers(pub BTreeMap<Id, Entry>);

impl Id {
    pub fn new(manager: &str, operation: Operation, api_version: &str, subresource: &str) -> Id {
        let manager = if manager.is_empty() { "unknown" } else { manager };
        let api_version = if operation == Operation::Apply { "" } else { api_version };
        Id { manager: manager.into(), operation, api_version: api_version.into(), subresource: subresource.into() }
    }

    /// As conflicts name it: `"kubectl-edit" using apps/v1`.
    pub fn shown(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            text += &format!(" using {}", self.api_version);
        }
        text
    }
}

impl Managers {
    /// Reads `metadata.managedFields`; says what is wrong with it.
    pub fn decode(entries: &Value) -> Result<Managers, String> {
        let mut managers = BTreeMap::new();
        for (index, entry) in entries.as_array().into_iter().flatten().enumerate() {
            let text = |key: &str| entry[key].as_str().unwrap_or_default();
            let operation = match text("operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return Err("operation must be `Apply` or `Update`".into()),
            };
            match (text("apiVersion"), text("fieldsType")) {
                ("", _) => return Err("apiVersion must not be empty".into()),
                (_, "FieldsV1") => {}
                (_, "") => return Err(format!("missing fieldsType in managed fields entry {index}")),
                (_, other) => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
            }
            let fields = match &entry["fieldsV1"] {
                Value::Null => Set::default(),
                fields => Set::from_value(fields).ok_or("error decoding set")?,
            };
            // an empty manager stays as it is stored
            let api_version = if operation == Operation::Apply { String::new() } else { text("apiVersion").into() };
            let id = Id { manager: text("manager").into(), operation, api_version, subresource: text("subresource").into() };
            let time = entry["time"].as_str().map(String::from);
            managers.insert(id, Entry { fields, api_version: text("apiVersion").into(), time });
        }
        Ok(Managers(managers))
    }

    /// The stored form: appliers first, then by time and name.
    pub fn encode(&self) -> Value {
        let mut entries = self.0.iter().collect::<Vec<_>>();
        entries.sort_by_key(|(id, entry)| (id.operation, seconds(entry), &id.manager, &entry.api_version, &id.subresource));
        Value::Array(entries.into_iter().map(|(id, entry)| encode(id, entry)).collect())
    }

    /// Merges the oldest managers by update until no more than the limit are left.
    pub fn cap(&mut self) {
        let mut updaters = self.0.keys().filter(|id| id.operation == Operation::Update).cloned().collect::<Vec<_>>();
        let mut excess = updaters.len().saturating_sub(MAX_UPDATE_MANAGERS);
        if excess == 0 {
            return;
        }
        updaters.sort_by_key(|id| (seconds(&self.0[id]), id.clone()));
        let mut first: BTreeMap<String, Id> = BTreeMap::new();
        for id in updaters {
            if excess == 0 {
                break;
            }
            let version = self.0[&id].api_version.clone();
            let Some(oldest) = first.get(&version) else {
                first.insert(version, id);
                continue;
            };
            let bucket = Id::new(ANCIENT, Operation::Update, &version, "");
            if !self.0.contains_key(&bucket)
                && let Some(entry) = self.0.remove(oldest)
            {
                self.0.insert(bucket.clone(), entry);
            }
            if bucket != id
                && let Some(merged) = self.0.remove(&id)
                && let Some(entry) = self.0.get_mut(&bucket)
            {
                entry.fields.add(&merged.fields);
                entry.time = merged.time;
            }
            excess -= 1;
        }
    }
}

fn seconds(entry: &Entry) -> i64 {
    entry.time.as_ref().and_then(|time| time.parse::<Timestamp>().ok()).map_or(0, |time| time.as_second())
}

fn encode(id: &Id, entry: &Entry) -> Value {
    let mut map = Map::new();
    let operation = if id.operation == Operation::Apply { "Apply" } else { "Update" };
    for (key, text) in
        [("manager", id.manager.as_str()), ("operation", operation), ("apiVersion", &entry.api_version), ("subresource", &id.subresource)]
    {
        if !text.is_empty() {
            map.insert(key.into(), text.into());
        }
    }
    if let Some(time) = &entry.time {
        map.insert("time".into(), time.as_str().into());
    }
    map.insert("fieldsType".into(), "FieldsV1".into());
    map.insert("fieldsV1".into(), entry.fields.to_value());
    Value::Object(map)
}
