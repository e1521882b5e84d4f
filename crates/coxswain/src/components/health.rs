//! How the components are, for `coxswain status`: a small file in the data directory, written when something changes.
use crate::config::Config;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

pub struct Health {
    path: PathBuf,
    components: Mutex<Map<String, Value>>,
}

impl Health {
    pub fn new(config: &Config) -> Health {
        Health { path: path(config), components: Mutex::default() }
    }

    /// `Err` says why it is not ready.
    pub fn set(&self, component: &str, state: Result<(), String>, now: Timestamp) {
        let mut components = self.components.lock();
        let new = match state {
            Ok(()) => json!({"ready": true}),
            Err(why) => json!({"ready": false, "why": why}),
        };
        let same = components.get(component).is_some_and(|old| old["ready"] == new["ready"] && old["why"] == new["why"]);
        if same {
            return;
        }
        let mut new = new;
        new["since"] = now.to_string().into();
        components.insert(component.into(), new);
        let text = Value::Object(components.clone()).to_string();
        let unfinished = self.path.with_extension("new");
        let written = std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, &self.path));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "the components' state cannot be written");
        }
    }
}

/// What the running instance wrote last.
pub fn read(config: &Config) -> Value {
    let text = std::fs::read_to_string(path(config)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn path(config: &Config) -> PathBuf {
    config.run_dir().join("components.json")
}
