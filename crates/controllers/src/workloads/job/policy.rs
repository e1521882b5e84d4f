//! What a failed pod means for its Job (KEP-3329), and when enough has succeeded (KEP-3998).
use super::indexes::Indexes;
use crate::objects::{name, namespace};
use k8s_openapi::api::batch::v1::{PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule, SuccessPolicy};
use k8s_openapi::api::core::v1::Pod;

/// What the first matching rule says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Count,
    Ignore,
    FailIndex,
    FailJob(String),
}

pub fn judge(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Verdict {
    let rules = policy.map(|policy| policy.rules.as_slice()).unwrap_or_default();
    let found = rules.iter().enumerate().find_map(|(at, rule)| Some((at, rule, why(rule, pod)?)));
    let Some((at, rule, why)) = found else { return Verdict::Count };
    match rule.action.as_str() {
        "Ignore" => Verdict::Ignore,
        "FailIndex" => Verdict::FailIndex,
        "FailJob" => Verdict::FailJob(format!("{why} matching FailJob rule at index {at}")),
        _ => Verdict::Count,
    }
}

fn why(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let (space, name) = (namespace(&pod.metadata), name(&pod.metadata));
    if let Some(requirement) = &rule.on_exit_codes {
        let (container, code) = exited(requirement, pod)?;
        return Some(format!("Container {container} for pod {space}/{name} failed with exit code {code}"));
    }
    let patterns = rule.on_pod_conditions.as_ref()?;
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let matching = conditions.iter().find(|condition| {
        patterns.iter().any(|pattern| pattern.type_ == condition.type_ && pattern.status.as_deref().unwrap_or("True") == condition.status)
    })?;
    Some(format!("Pod {space}/{name} has condition {}", matching.type_))
}

fn exited(requirement: &PodFailurePolicyOnExitCodesRequirement, pod: &Pod) -> Option<(String, i32)> {
    crate::objects::pods::containers(pod).find_map(|container| {
        let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
        let named = requirement.container_name.as_ref().is_none_or(|name| *name == container.name);
        let listed = requirement.values.contains(&code);
        let matches = match requirement.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        (named && code != 0 && matches).then(|| (container.name.clone(), code))
    })
}

/// The message of the rule that is met.
pub fn succeeds(policy: Option<&SuccessPolicy>, completions: i32, succeeded: &Indexes) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let met = policy?.rules.iter().position(|rule| match (&rule.succeeded_indexes, rule.succeeded_count) {
        (Some(text), count) => {
            let wanted = Indexes::parse(text, completions);
            let have = wanted.overlap(succeeded);
            !wanted.is_empty() && (have == wanted.total() || count.is_some_and(|count| have >= count))
        }
        (None, Some(count)) => succeeded.total() >= count,
        (None, None) => false,
    })?;
    Some(format!("Matched rules at index {met}"))
}
