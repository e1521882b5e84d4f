//! Facts of the published OpenAPI v3 documents: what is required, defaults, formats, list types, merge keys.
use super::Error;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Schemas by name, of all documents together.
pub struct Facts(BTreeMap<String, Value>);

pub fn read(dir: &Path) -> Result<Facts, Error> {
    let mut schemas = BTreeMap::new();
    let entries = std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for entry in entries {
        let mut document: Value = serde_json::from_slice(&std::fs::read(entry?.path())?)?;
        if let Value::Object(all) = document["components"]["schemas"].take() {
            schemas.extend(all);
        }
    }
    Ok(Facts(schemas))
}

impl Facts {
    pub fn message(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub fn field(&self, message: &str, field: &str) -> Option<&Value> {
        self.0.get(message)?.get("properties")?.get(field)
    }

    pub fn required(&self, message: &str, field: &str) -> bool {
        self.0.get(message).is_some_and(|schema| schema["required"].as_array().into_iter().flatten().any(|name| name == field))
    }
}
