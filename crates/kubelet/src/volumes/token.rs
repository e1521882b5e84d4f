//! Tokens for service accounts, asked of the API, bound to the pod, kept until four fifths of their life are over.
use client::Client;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::HashMap;

/// A token is never kept longer than this, however long it lives.
const MAX_AGE_HOURS: i64 = 24;
pub const DEFAULT_LIFE_SECONDS: i64 = 3600;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub namespace: String,
    pub account: String,
    pub pod_name: String,
    pub pod_uid: String,
    pub audience: String,
    pub life_seconds: i64,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub refresh_at: Timestamp,
    pub ends_at: Timestamp,
}

#[derive(Default)]
pub struct Tokens {
    kept: Mutex<HashMap<Wanted, Token>>,
}

impl Tokens {
    pub async fn get(&self, client: &Client, wanted: Wanted, now: Timestamp) -> Result<Token, String> {
        let kept = self.kept.lock().get(&wanted).cloned();
        if let Some(token) = kept.as_ref().filter(|token| now < token.refresh_at) {
            return Ok(token.clone());
        }
        match self.ask(client, &wanted, now).await {
            Ok(token) => {
                self.kept.lock().insert(wanted, token.clone());
                Ok(token)
            }
            // An old token that still lives is better than none.
            Err(error) => kept.filter(|token| now < token.ends_at).ok_or(error),
        }
    }

    async fn ask(&self, client: &Client, wanted: &Wanted, now: Timestamp) -> Result<Token, String> {
        let audiences: Vec<&str> = Some(wanted.audience.as_str()).filter(|audience| !audience.is_empty()).into_iter().collect();
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": wanted.life_seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": wanted.pod_name, "uid": wanted.pod_uid},
            },
        });
        let answer: Result<TokenRequest, _> =
            client.create_subresource::<ServiceAccount, _>(&wanted.namespace, &wanted.account, "token", &body).await;
        let status = answer.map_err(|error| format!("failed to fetch token: {error}"))?.status;
        let status = status.ok_or("failed to fetch token: the answer has no status")?;
        let ends_at = status.expiration_timestamp.map(|time| time.0).ok_or("failed to fetch token: the answer has no end")?;
        let text = status.token.filter(|text| !text.is_empty()).ok_or("failed to fetch token: the answer has none")?;
        let life = ends_at.duration_since(now).as_secs();
        let keep = (life * 4 / 5).clamp(1, MAX_AGE_HOURS * 3600);
        Ok(Token { text, refresh_at: now + SignedDuration::from_secs(keep), ends_at })
    }

    pub fn forget(&self, pod_uid: &str) {
        self.kept.lock().retain(|wanted, _| wanted.pod_uid != pod_uid);
    }
}
