//! Decides what becomes of an event: a new object, one more in the count of an old one, or nothing. Pure: time is passed in.
use super::{Severity, Told};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};

/// So many events about one object at once; then one every `REFILL_SECONDS`.
const BURST: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;
/// So many different messages of one reason about one object within `SIMILAR_SECONDS`; further ones are combined.
const MAX_SIMILAR: usize = 10;
const SIMILAR_SECONDS: i64 = 600;
/// Objects remembered; beyond it everything is forgotten, which costs some duplicates.
const MAX_REMEMBERED: usize = 4096;

/// What to write: create when `count` is one, else update the object of this name.
#[derive(Clone, Debug)]
pub struct Write {
    pub told: Told,
    pub name: String,
    pub count: i32,
    pub first: Timestamp,
    pub last: Timestamp,
}

#[derive(Default)]
pub struct Correlator {
    written: HashMap<String, Written>,
    similar: HashMap<String, Similar>,
    budgets: HashMap<String, Budget>,
}

struct Written {
    name: String,
    count: i32,
    first: Timestamp,
}

struct Similar {
    messages: HashSet<String>,
    last: Timestamp,
}

struct Budget {
    left: f64,
    at: Timestamp,
}

impl Correlator {
    pub fn take(&mut self, mut told: Told, now: Timestamp) -> Option<Write> {
        self.bound();
        let about = about(&told);
        if !self.within_budget(about.clone(), now) {
            return None;
        }
        let reason = format!("{about}/{}/{}", told.severity.name(), told.reason);
        let combined = self.combine(reason.clone(), &told.message, now);
        let key = if combined { reason } else { format!("{reason}/{}", told.message) };
        if combined {
            told.message = format!("(combined from similar events): {}", told.message);
        }
        let written = self.written.entry(key).or_insert_with(|| Written { name: name(&told, now), count: 0, first: now });
        written.count += 1;
        Some(Write { name: written.name.clone(), count: written.count, first: written.first, last: now, told })
    }

    /// The write failed: the next one of its kind creates a new object.
    pub fn forget(&mut self, write: &Write) {
        self.written.retain(|_, written| written.name != write.name);
    }

    fn within_budget(&mut self, about: String, now: Timestamp) -> bool {
        let budget = self.budgets.entry(about).or_insert(Budget { left: BURST, at: now });
        budget.left = (budget.left + now.duration_since(budget.at).as_secs_f64() / REFILL_SECONDS).min(BURST);
        budget.at = now;
        let within = budget.left >= 1.0;
        if within {
            budget.left -= 1.0;
        }
        within
    }

    fn combine(&mut self, reason: String, message: &str, now: Timestamp) -> bool {
        let similar = self.similar.entry(reason).or_insert_with(|| Similar { messages: HashSet::new(), last: now });
        if now.duration_since(similar.last).as_secs() > SIMILAR_SECONDS {
            similar.messages.clear();
        }
        similar.last = now;
        if similar.messages.contains(message) {
            return false;
        }
        if similar.messages.len() >= MAX_SIMILAR - 1 {
            return true;
        }
        similar.messages.insert(message.into());
        false
    }

    fn bound(&mut self) {
        if self.written.len() >= MAX_REMEMBERED {
            self.written.clear();
        }
        if self.similar.len() >= MAX_REMEMBERED {
            self.similar.clear();
        }
        if self.budgets.len() >= MAX_REMEMBERED {
            self.budgets.clear();
        }
    }
}

fn about(told: &Told) -> String {
    let about = &told.about;
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    [&about.kind, &about.namespace, &about.name, &about.uid, &about.api_version, &about.field_path].map(part).join("/")
}

/// The original's form: the object's name and the time in nanoseconds, so that names of one object do not meet.
fn name(told: &Told, now: Timestamp) -> String {
    let severity = if told.severity == Severity::Warning { 1 } else { 0 };
    format!("{}.{:x}", told.about.name.as_deref().unwrap_or_default(), now.as_nanosecond() + severity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use k8s_openapi::api::core::v1::ObjectReference;

    fn check(told: &[(i64, &str, &str)], expected: Expect) {
        let mut correlator = Correlator::default();
        let mut lines = String::new();
        for (second, reason, message) in told {
            let about = ObjectReference { name: Some("web".into()), ..ObjectReference::default() };
            let told = Told { about, severity: Severity::Normal, reason: reason.to_string(), message: message.to_string() };
            let line = match correlator.take(told, Timestamp::from_second(*second).unwrap()) {
                Some(write) => format!("{}×{} {}\n", write.name, write.count, write.told.message),
                None => "dropped\n".into(),
            };
            lines += &line;
        }
        expected.assert_eq(&lines);
    }

    #[test]
    fn equal_events_are_counted() {
        let expected = expect![[r#"
            web.3b9aca00×1 back-off
            web.77359400×1 pulled
            web.3b9aca00×2 back-off
        "#]];
        check(&[(1, "BackOff", "back-off"), (2, "Pulled", "pulled"), (3, "BackOff", "back-off")], expected);
    }

    #[test]
    fn many_different_messages_are_combined_and_a_flood_is_cut() {
        let texts: Vec<String> = (0..27).map(|i| format!("m{i}")).collect();
        let told: Vec<(i64, &str, &str)> = texts.iter().map(|text| (1, "Created", text.as_str())).collect();
        let mut correlator = Correlator::default();
        let mut written = 0;
        let mut combined = 0;
        for (second, reason, message) in told {
            let told =
                Told { about: ObjectReference::default(), severity: Severity::Normal, reason: reason.into(), message: message.into() };
            if let Some(write) = correlator.take(told, Timestamp::from_second(second).unwrap()) {
                written += 1;
                combined += i32::from(write.told.message.starts_with("(combined"));
            }
        }
        assert_eq!((written, combined), (25, 16));
    }
}
