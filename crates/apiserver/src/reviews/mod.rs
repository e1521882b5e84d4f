//! Questions that are only answered: who am I, may he, what may I, whose token is this. Nothing is stored, nothing changes.
pub mod access;
pub mod rules;
pub mod token;

use crate::authenticate::tokens::Tokens;
use crate::authorize::Authorizers;
use crate::request::{Attributes, Reviews};
use async_trait::async_trait;
use client::Identity;
use machinery::status::Status;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub struct Reviewer {
    pub authorizers: Arc<Authorizers>,
    pub tokens: Arc<Tokens>,
}

#[async_trait]
impl Reviews for Reviewer {
    async fn create(&self, attributes: &Attributes, body: Value) -> Option<Result<Value, Status>> {
        Some(match (attributes.group.as_str(), attributes.resource.as_str()) {
            ("authorization.k8s.io", "subjectaccessreviews") => access::subject(self, body).await,
            ("authorization.k8s.io", "selfsubjectaccessreviews") => access::own(self, &attributes.user, body).await,
            ("authorization.k8s.io", "localsubjectaccessreviews") => access::local(self, &attributes.namespace, body).await,
            ("authorization.k8s.io", "selfsubjectrulesreviews") => rules::own(self, &attributes.user, body).await,
            ("authentication.k8s.io", "tokenreviews") => token::review(self, body).await,
            ("authentication.k8s.io", "selfsubjectreviews") => Ok(self.who_am_i(&attributes.user, body)),
            _ => return None,
        })
    }
}

impl Reviewer {
    fn who_am_i(&self, user: &Identity, body: Value) -> Value {
        let now = self.tokens.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!({
            "apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {"creationTimestamp": now},
            "status": {"userInfo": user_info(user)},
        })
    }
}

/// A user as the API shows it.
pub fn user_info(user: &Identity) -> Value {
    let mut info = Map::new();
    info.insert("username".into(), user.user.as_str().into());
    if !user.uid.is_empty() {
        info.insert("uid".into(), user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        info.insert("groups".into(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        info.insert("extra".into(), json!(user.extra));
    }
    Value::Object(info)
}

/// The answer: what was asked, with its status.
fn answered(mut body: Value, status: Value) -> Value {
    body["status"] = status;
    if !body["metadata"].is_object() {
        body["metadata"] = json!({});
    }
    body
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(String::from)).collect()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests;
