//! May he? SubjectAccessReview about anybody, SelfSubjectAccessReview about the asker, LocalSubjectAccessReview in one namespace.
use super::{Reviewer, answered, strings, text};
use crate::authorize::MASTERS;
use crate::request::{Attributes, Authorizer, Decision};
use client::Identity;
use machinery::errors::Errors;
use machinery::status::Status;
use serde_json::{Map, Value, json};

const GROUP: &str = "authorization.k8s.io";

pub async fn subject(reviewer: &Reviewer, body: Value) -> Result<Value, Status> {
    let mut errors = Errors::default();
    check_spec(&body["spec"], true, &mut errors);
    check_metadata(&body["metadata"], &[], "must be empty", &mut errors);
    errors.into_result(GROUP, "SubjectAccessReview", "")?;
    let user = asked_about(&body["spec"]);
    decide(reviewer, user, body).await
}

pub async fn own(reviewer: &Reviewer, user: &Identity, body: Value) -> Result<Value, Status> {
    let mut errors = Errors::default();
    check_spec(&body["spec"], false, &mut errors);
    check_metadata(&body["metadata"], &[], "must be empty", &mut errors);
    errors.into_result(GROUP, "SelfSubjectAccessReview", "")?;
    decide(reviewer, user.clone(), body).await
}

pub async fn local(reviewer: &Reviewer, namespace: &str, mut body: Value) -> Result<Value, Status> {
    let asked = text(&body["metadata"], "namespace");
    if !asked.is_empty() && asked != namespace {
        let why = format!("namespace on spec.resourceAttributes.namespace ({asked}) does not match namespace ({namespace})");
        return Err(Status::bad_request(why));
    }
    if let Some(attributes) = body.pointer_mut("/spec/resourceAttributes").and_then(Value::as_object_mut) {
        attributes.entry("namespace").or_insert(namespace.into());
    }
    let mut errors = Errors::default();
    let spec = &body["spec"];
    check_spec(spec, true, &mut errors);
    check_metadata(&body["metadata"], &["namespace"], "must be empty except for namespace", &mut errors);
    let inner = text(&spec["resourceAttributes"], "namespace");
    if spec["resourceAttributes"].is_object() && inner != namespace {
        errors.invalid("spec.resourceAttributes.namespace", inner, "must match metadata.namespace");
    }
    if spec["nonResourceAttributes"].is_object() {
        errors.invalid("spec.nonResourceAttributes", &spec["nonResourceAttributes"], "disallowed on this kind of request");
    }
    errors.into_result(GROUP, "LocalSubjectAccessReview", "")?;
    if !body["metadata"].is_object() {
        body["metadata"] = json!({});
    }
    body["metadata"]["namespace"] = namespace.into();
    let user = asked_about(&body["spec"]);
    decide(reviewer, user, body).await
}

async fn decide(reviewer: &Reviewer, user: Identity, body: Value) -> Result<Value, Status> {
    let attributes = attributes(user, &body["spec"]);
    let mut status = Map::new();
    match reviewer.authorizers.authorize(&attributes).await {
        Decision::Allow => {
            status.insert("allowed".into(), true.into());
            let reason =
                if attributes.user.in_group(MASTERS) { String::new() } else { reviewer.authorizers.rbac.allowed_by(&attributes).await };
            if !reason.is_empty() {
                status.insert("reason".into(), reason.into());
            }
        }
        Decision::Deny(reason) => {
            status.insert("allowed".into(), false.into());
            if !reason.is_empty() {
                status.insert("reason".into(), reason.into());
            }
        }
    }
    Ok(answered(body, status.into()))
}

fn asked_about(spec: &Value) -> Identity {
    let extra = spec["extra"].as_object().into_iter().flatten().map(|(key, values)| (key.to_lowercase(), strings(values))).collect();
    Identity { user: text(spec, "user"), uid: text(spec, "uid"), groups: strings(&spec["groups"]), extra }
}

fn attributes(user: Identity, spec: &Value) -> Attributes {
    let path = &spec["nonResourceAttributes"];
    if path.is_object() {
        return Attributes { user, verb: text(path, "verb"), path: text(path, "path"), ..Attributes::default() };
    }
    let asked = &spec["resourceAttributes"];
    Attributes {
        user,
        verb: text(asked, "verb"),
        group: text(asked, "group"),
        version: asked["version"].as_str().filter(|version| !version.is_empty()).unwrap_or("*").into(),
        resource: text(asked, "resource"),
        subresource: text(asked, "subresource"),
        namespace: text(asked, "namespace"),
        name: text(asked, "name"),
        is_resource: true,
        field_selector: selector(&asked["fieldSelector"]),
        label_selector: selector(&asked["labelSelector"]),
        ..Attributes::default()
    }
}

/// As text, from whichever form it has; what cannot be said as text is left out, which asks for more rights, not fewer.
fn selector(value: &Value) -> String {
    let raw = text(value, "rawSelector");
    if !raw.is_empty() {
        return raw;
    }
    let requirement = |requirement: &Value| {
        let (key, values) = (text(requirement, "key"), strings(&requirement["values"]));
        match (requirement["operator"].as_str()?, values.as_slice()) {
            ("In", [value]) => Some(format!("{key}={value}")),
            ("NotIn", [value]) => Some(format!("{key}!={value}")),
            _ => None,
        }
    };
    let parts = value["requirements"].as_array().into_iter().flatten().filter_map(requirement);
    parts.collect::<Vec<_>>().join(",")
}

fn check_spec(spec: &Value, about_others: bool, errors: &mut Errors) {
    if spec["resourceAttributes"].is_object() == spec["nonResourceAttributes"].is_object() {
        let value = &spec["nonResourceAttributes"];
        errors.invalid("spec", value, "exactly one of nonResourceAttributes or resourceAttributes must be specified");
    }
    if about_others && text(spec, "user").is_empty() && strings(&spec["groups"]).is_empty() {
        errors.invalid("spec.user", "", "at least one of user or group must be specified");
    }
    for name in ["fieldSelector", "labelSelector"] {
        let selector = &spec["resourceAttributes"][name];
        let path = format!("spec.resourceAttributes.{name}");
        let (raw, any) = (text(selector, "rawSelector"), selector["requirements"].as_array().is_some_and(|all| !all.is_empty()));
        if selector.is_object() && raw.is_empty() && !any {
            errors.required(&format!("{path}.requirements"), &format!("when {path} is specified, requirements or rawSelector is required"));
        } else if !raw.is_empty() && any {
            errors.invalid(&format!("{path}.rawSelector"), raw, "may not specified at the same time as requirements");
        }
    }
}

fn check_metadata(metadata: &Value, allowed: &[&str], detail: &str, errors: &mut Errors) {
    let counts = |(key, value): (&String, &Value)| {
        !value.is_null() && key != "managedFields" && !allowed.contains(&key.as_str()) && value.as_str() != Some("")
    };
    if metadata.as_object().is_some_and(|metadata| metadata.iter().any(counts)) {
        errors.invalid("metadata", metadata, detail);
    }
}
