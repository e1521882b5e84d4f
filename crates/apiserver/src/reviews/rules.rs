//! What may I? The rules that the asker has in a namespace.
use super::{Reviewer, answered, text};
use crate::authorize::node::node_name;
use crate::authorize::rbac::rule::Rule;
use crate::authorize::{MASTERS, rbac};
use client::Identity;
use machinery::status::Status;
use serde_json::{Map, Value, json};

pub async fn own(reviewer: &Reviewer, user: &Identity, body: Value) -> Result<Value, Status> {
    let namespace = text(&body["spec"], "namespace");
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (mut rules, missing) = reviewer.authorizers.rbac.rules_for(user, &namespace).await?;
    if user.in_group(MASTERS) {
        let star = || vec!["*".to_string()];
        rules.insert(0, Rule { verbs: star(), groups: star(), resources: star(), ..Rule::default() });
        rules.insert(1, Rule { verbs: star(), urls: star(), ..Rule::default() });
    }
    let is_node = node_name(user).is_some();
    let mut problems: Vec<String> = Vec::new();
    if is_node {
        problems.push("node authorizer does not support user rule resolution".into());
    }
    problems.extend(missing);
    let mut status = Map::new();
    status.insert("resourceRules".into(), rules.iter().filter(|rule| !rule.resources.is_empty()).map(resource_rule).collect());
    status.insert("nonResourceRules".into(), rules.iter().filter(|rule| !rule.urls.is_empty()).map(path_rule).collect());
    status.insert("incomplete".into(), is_node.into());
    if !problems.is_empty() {
        status.insert("evaluationError".into(), rbac::reason(&problems).trim_start_matches("RBAC: ").into());
    }
    let mut answer = answered(body, status.into());
    // The original forgets what was asked.
    answer["spec"] = json!({});
    Ok(answer)
}

fn resource_rule(rule: &Rule) -> Value {
    let mut value = json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
    if !rule.names.is_empty() {
        value["resourceNames"] = rule.names.clone().into();
    }
    value
}

fn path_rule(rule: &Rule) -> Value {
    json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls})
}
