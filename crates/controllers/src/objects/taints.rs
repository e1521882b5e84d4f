//! Taints and tolerations.
use k8s_openapi::api::core::v1::{Taint, Toleration};

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, effect, value) = (text(&toleration.key), text(&toleration.effect), text(&toleration.value));
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    if !key.is_empty() && key != taint.key {
        return false;
    }
    let own = text(&taint.value);
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => !key.is_empty() && value == own,
        "Exists" => true,
        "Lt" | "Gt" => match (own.parse::<i64>(), value.parse::<i64>()) {
            (Ok(own), Ok(value)) => {
                if toleration.operator.as_deref() == Some("Lt") {
                    own < value
                } else {
                    own > value
                }
            }
            _ => false,
        },
        _ => false,
    }
}

pub fn is_tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

/// Whether no taint of the effects stands against the tolerations.
pub fn all_tolerated(taints: &[Taint], tolerations: &[Toleration], effects: &[&str]) -> bool {
    taints.iter().filter(|taint| effects.contains(&taint.effect.as_str())).all(|taint| is_tolerated(taint, tolerations))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn tolerates_as_the_api_says() {
        let taint: Taint = from_value(json!({"key": "a", "value": "1", "effect": "NoExecute"})).unwrap();
        let check = |toleration: serde_json::Value| tolerates(&from_value(toleration).unwrap(), &taint);
        assert!(check(json!({"operator": "Exists"})));
        assert!(check(json!({"key": "a", "value": "1"})));
        assert!(!check(json!({"key": "a", "value": "2"})));
        assert!(!check(json!({"key": "a", "operator": "Exists", "effect": "NoSchedule"})));
        assert!(check(json!({"key": "a", "operator": "Lt", "value": "2"})));
    }
}
