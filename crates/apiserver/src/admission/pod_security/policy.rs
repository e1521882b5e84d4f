//! Levels, versions, and the labels that name them. Pure.
use std::collections::BTreeMap;
use std::fmt;

const PREFIX: &str = "pod-security.kubernetes.io/";
const LEVELS: &str = "must be one of privileged, baseline, restricted";
const VERSIONS: &str = "must be \"latest\" or \"v1.x\"";

/// In the order of strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// The minor version of Kubernetes whose standard is meant; the newest without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelVersion {
    pub level: Level,
    pub version: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub enforce: LevelVersion,
    pub audit: LevelVersion,
    pub warn: LevelVersion,
}

/// A label that says nothing sensible: its name, its value, what it must be.
pub type Wrong = (String, String, &'static str);

const NOTHING: LevelVersion = LevelVersion { level: Level::Privileged, version: None };

impl Policy {
    /// What a namespace's labels say. A wrong `enforce` counts as `restricted`, wrong others as nothing.
    pub fn of(labels: &BTreeMap<String, String>) -> (Policy, Vec<Wrong>) {
        let mut wrong = Vec::new();
        let enforce = read(labels, "enforce", Level::Restricted, &mut wrong);
        let audit = read(labels, "audit", Level::Privileged, &mut wrong);
        let mut warn = read(labels, "warn", Level::Privileged, &mut wrong);
        let has = |name: &str| labels.contains_key(&format!("{PREFIX}{name}"));
        let enforced = has("enforce") && !wrong.iter().any(|(label, ..)| *label == format!("{PREFIX}enforce"));
        if !has("warn") && enforced && enforce.level > warn.level {
            warn.level = enforce.level;
            if !has("warn-version") {
                warn.version = enforce.version;
            }
        }
        (Policy { enforce, audit, warn }, wrong)
    }

    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|own| own.level == Level::Privileged)
    }
}

fn read(labels: &BTreeMap<String, String>, name: &str, otherwise: Level, wrong: &mut Vec<Wrong>) -> LevelVersion {
    let mut found = NOTHING;
    let label = format!("{PREFIX}{name}");
    if let Some(value) = labels.get(&label) {
        found.level = level(value).unwrap_or_else(|| {
            wrong.push((label, value.clone(), LEVELS));
            otherwise
        });
    }
    let label = format!("{PREFIX}{name}-version");
    if let Some(value) = labels.get(&label) {
        found.version = version(value).unwrap_or_else(|| {
            wrong.push((label, value.clone(), VERSIONS));
            None
        });
    }
    found
}

fn level(text: &str) -> Option<Level> {
    [Level::Privileged, Level::Baseline, Level::Restricted].into_iter().find(|level| level.name() == text)
}

fn version(text: &str) -> Option<Option<u32>> {
    if text == "latest" {
        return Some(None);
    }
    let minor = text.strip_prefix("v1.")?;
    let plain = !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    if plain { minor.parse().ok().map(Some) } else { None }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.version {
            None => write!(f, "{}:latest", self.level.name()),
            Some(minor) => write!(f, "{}:v1.{minor}", self.level.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> (String, usize) {
        let labels = pairs.iter().map(|(key, value)| (format!("{PREFIX}{key}"), value.to_string())).collect();
        let (policy, wrong) = Policy::of(&labels);
        (format!("{} {} {}", policy.enforce, policy.audit, policy.warn), wrong.len())
    }

    #[test]
    fn labels_name_levels_and_warnings_follow_enforcement() {
        let table = [
            (vec![], "privileged:latest privileged:latest privileged:latest", 0),
            (vec![("enforce", "baseline")], "baseline:latest privileged:latest baseline:latest", 0),
            (vec![("enforce", "baseline"), ("enforce-version", "v1.24")], "baseline:v1.24 privileged:latest baseline:v1.24", 0),
            (vec![("enforce", "restricted"), ("warn", "baseline")], "restricted:latest privileged:latest baseline:latest", 0),
            (vec![("enforce", "x")], "restricted:latest privileged:latest privileged:latest", 1),
            (vec![("audit", "x"), ("warn-version", "v1.01")], "privileged:latest privileged:latest privileged:latest", 2),
        ];
        for (labels, text, wrong) in table {
            assert_eq!(of(&labels), (text.to_string(), wrong), "{labels:?}");
        }
    }
}
