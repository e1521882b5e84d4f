//! Who may use the kubelet's API: certificates that the TLS layer has verified, or tokens that the API server vouches for; and
//! what the API server's authorizer allows them. Answers are kept for a while.
use super::Refused;
use client::Client;
use http::{Method, Request, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use stdx::clock::Clock;

const TOKEN_SECONDS: i64 = 120;
const ALLOWED_SECONDS: i64 = 300;
const DENIED_SECONDS: i64 = 30;
/// Answers that are kept at most.
const MAX_KEPT: usize = 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct User {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

type Kept<K, V> = Mutex<HashMap<K, (V, Timestamp)>>;

pub struct Access {
    client: Client,
    clock: Clock,
    node: String,
    tokens: Kept<String, Option<User>>,
    verdicts: Kept<(User, &'static str, &'static str), bool>,
}

impl Access {
    pub fn new(client: Client, clock: Clock, node: &str) -> Access {
        Access { client, clock, node: node.into(), tokens: Kept::default(), verdicts: Kept::default() }
    }

    pub async fn check<B>(&self, request: &Request<B>, subject: Option<pki::Subject>) -> Result<(), Refused> {
        let user = match subject {
            Some(subject) => Some(User { name: subject.user, groups: authenticated(subject.groups), ..User::default() }),
            None => self.by_token(request).await?,
        };
        let user = user.ok_or_else(|| Refused(StatusCode::UNAUTHORIZED, "Unauthorized".to_string()))?;
        let (verb, subresources) = (verb(request.method()), subresources(request.uri().path()));
        for subresource in &subresources {
            if self.allows(&user, verb, subresource).await? {
                return Ok(());
            }
        }
        let shown = subresources.join(" ");
        let name = &user.name;
        Err(Refused(StatusCode::FORBIDDEN, format!("Forbidden (user={name}, verb={verb}, resource=nodes, subresource(s)=[{shown}])\n")))
    }

    async fn by_token<B>(&self, request: &Request<B>) -> Result<Option<User>, Refused> {
        let value = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(token) = value.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim).filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        if let Some(user) = self.kept(&self.tokens, &token.to_string()) {
            return Ok(user);
        }
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let review: TokenReview = self.ask("/apis/authentication.k8s.io/v1/tokenreviews", &body).await?;
        let status = review.status.unwrap_or_default();
        let info = status.user.unwrap_or_default();
        let user = (status.authenticated == Some(true)).then(|| User {
            name: info.username.unwrap_or_default(),
            uid: info.uid.unwrap_or_default(),
            groups: info.groups.unwrap_or_default(),
            extra: info.extra.unwrap_or_default(),
        });
        self.keep(&self.tokens, token.to_string(), user.clone(), TOKEN_SECONDS);
        Ok(user)
    }

    async fn allows(&self, user: &User, verb: &'static str, subresource: &'static str) -> Result<bool, Refused> {
        let key = (user.clone(), verb, subresource);
        if let Some(allowed) = self.kept(&self.verdicts, &key) {
            return Ok(allowed);
        }
        let attributes = json!({"verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": self.node});
        let spec =
            json!({"user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra, "resourceAttributes": attributes});
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
        let review: SubjectAccessReview = self.ask("/apis/authorization.k8s.io/v1/subjectaccessreviews", &body).await?;
        let allowed = review.status.is_some_and(|status| status.allowed);
        self.keep(&self.verdicts, key, allowed, if allowed { ALLOWED_SECONDS } else { DENIED_SECONDS });
        Ok(allowed)
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Refused> {
        self.client.post(path, body).await.map_err(|error| {
            tracing::warn!(%error, "the API server does not vouch");
            Refused(StatusCode::INTERNAL_SERVER_ERROR, "Authorization error\n".to_string())
        })
    }

    fn kept<K: std::hash::Hash + Eq, V: Clone>(&self, kept: &Kept<K, V>, key: &K) -> Option<V> {
        let now = self.clock.now();
        kept.lock().get(key).filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    fn keep<K: std::hash::Hash + Eq, V>(&self, kept: &Kept<K, V>, key: K, value: V, seconds: i64) {
        let now = self.clock.now();
        let mut kept = kept.lock();
        if kept.len() >= MAX_KEPT {
            kept.retain(|_, (_, until)| now < *until);
        }
        if kept.len() < MAX_KEPT {
            kept.insert(key, (value, now + SignedDuration::from_secs(seconds)));
        }
    }
}

fn authenticated(mut groups: Vec<String>) -> Vec<String> {
    groups.push("system:authenticated".into());
    groups
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// The subresources of nodes of which one must be allowed, the finer one first.
fn subresources(path: &str) -> Vec<&'static str> {
    match path.trim_start_matches('/').split('/').next().unwrap_or_default() {
        "pods" | "runningpods" | "allocatedPods" => vec!["pods", "proxy"],
        "healthz" => vec!["healthz", "proxy"],
        "configz" => vec!["configz", "proxy"],
        "stats" => vec!["stats"],
        "metrics" => vec!["metrics"],
        "logs" => vec!["log"],
        _ => vec!["proxy"],
    }
}
