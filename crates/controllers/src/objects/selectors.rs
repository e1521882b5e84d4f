//! Label selectors, compiled from their API form. An empty one selects nothing here: a set without a selector owns no pods.
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
    Never,
}

impl Selector {
    pub fn of(selector: &LabelSelector) -> Selector {
        let mut requirements: Vec<Requirement> = Selector::equal(selector.match_labels.iter().flatten()).0;
        for expression in selector.match_expressions.iter().flatten() {
            let (key, values) = (expression.key.clone(), expression.values.clone().unwrap_or_default());
            requirements.push(match expression.operator.as_str() {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::DoesNotExist(key),
                _ => Requirement::Never,
            });
        }
        Selector(requirements)
    }

    pub fn equal<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Selector {
        Selector(labels.into_iter().map(|(key, value)| Requirement::In(key.clone(), vec![value.clone()])).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the labels meet all requirements; true for a selector without any.
    pub fn meets(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.meets(labels))
    }

    /// The same, but an empty selector selects nothing.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.is_empty() && self.meets(labels)
    }
}

impl Requirement {
    fn meets(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
            Requirement::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(selector: serde_json::Value, labels: serde_json::Value) -> bool {
        Selector::of(&serde_json::from_value(selector).unwrap()).selects(&serde_json::from_value(labels).unwrap())
    }

    #[test]
    fn selects_as_the_api_says() {
        let expression =
            |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
        assert!(check(json!({"matchLabels": {"a": "1"}}), json!({"a": "1", "b": "2"})));
        assert!(!check(json!({"matchLabels": {"a": "1"}}), json!({"a": "2"})));
        assert!(check(expression("NotIn", &["1"]), json!({})));
        assert!(!check(expression("NotIn", &["1"]), json!({"a": "1"})));
        assert!(check(expression("DoesNotExist", &[]), json!({})));
        assert!(!check(json!({}), json!({"a": "1"})), "an empty selector selects nothing");
    }
}
