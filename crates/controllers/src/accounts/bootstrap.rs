//! Bootstrap tokens: expired ones are deleted, and those that may join a node sign the public cluster information, so that a
//! node that knows nothing but a token can trust it.
//! Read Secrets of kube-system and the ConfigMap `cluster-info`; write both; are woken by both and by time.
use crate::driver::{Caches, Controller, Moment, Plan, reads, reads_indexed};
use crate::objects::{by_namespace, name};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use client::Delta;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use machinery::meta::Key;
use ring::hmac;
use std::collections::BTreeMap;
use std::sync::Arc;

const SPACE: &str = "kube-system";
const PUBLIC: &str = "kube-public";
const INFO: &str = "cluster-info";
const CONTENT: &str = "kubeconfig";
const SIGNATURE: &str = "jws-kubeconfig-";
const TYPE: &str = "bootstrap.kubernetes.io/token";

pub static CLEANER: Controller = Controller {
    name: "token-cleaner",
    account: "token-cleaner",
    reads: || vec![reads::<Secret>(wake_itself)],
    writes: &["secrets"],
    workers: 1,
    always: false,
    plan: |caches, key, moment| caches.get::<Secret>(key).map(|secret| clean(&secret, moment)).unwrap_or_default(),
};

pub static SIGNER: Controller = Controller {
    name: "bootstrap-signer",
    account: "bootstrap-signer",
    reads: || vec![reads_indexed::<Secret>(wake_info, &[("namespace", by_namespace)]), reads::<ConfigMap>(wake_by_map)],
    writes: &["configmaps"],
    workers: 1,
    always: false,
    plan: |caches, _, moment| observe(caches).map(|view| sign(&view, moment.now)).unwrap_or_default(),
};

pub fn clean(secret: &Secret, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    match expiry(secret) {
        Some(at) if at <= moment.now => plan.delete(secret),
        at => plan.wake_if(at),
    }
    plan
}

fn expiry(secret: &Secret) -> Option<Timestamp> {
    text(secret, "expiration")?.parse().ok()
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}

fn is_token(secret: &Secret) -> bool {
    secret.type_.as_deref() == Some(TYPE) && secret.metadata.namespace.as_deref() == Some(SPACE)
}

pub struct View {
    pub info: Arc<ConfigMap>,
    pub tokens: Vec<Arc<Secret>>,
}

pub fn observe(caches: &Caches) -> Option<View> {
    let info = caches.get::<ConfigMap>(&Key::new(PUBLIC, INFO))?;
    let mut tokens = caches.of::<Secret>().by_index("namespace", SPACE);
    tokens.retain(|secret| is_token(secret));
    Some(View { info, tokens })
}

pub fn sign(view: &View, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(content) = view.info.data.as_ref().and_then(|data| data.get(CONTENT)) else { return plan };
    let mut data: BTreeMap<String, String> = view.info.data.clone().unwrap_or_default();
    data.retain(|key, _| !key.starts_with(SIGNATURE));
    for secret in &view.tokens {
        plan.wake_if(expiry(secret).filter(|at| *at > now));
        if let Some((id, key)) = signing_token(secret, now) {
            data.insert(format!("{SIGNATURE}{id}"), signature(content, &id, &key));
        }
    }
    plan.update(&*view.info, ConfigMap { data: Some(data), ..(*view.info).clone() });
    plan
}

/// Id and secret of a token that may sign now.
fn signing_token(secret: &Secret, now: Timestamp) -> Option<(String, String)> {
    let (id, key) = (text(secret, "token-id")?, text(secret, "token-secret")?);
    let named = name(&secret.metadata) == format!("bootstrap-token-{id}");
    let allowed = text(secret, "usage-bootstrap-signing").as_deref() == Some("true");
    let alive = expiry(secret).is_none_or(|at| at > now);
    (named && allowed && alive && !key.is_empty()).then_some((id, key))
}

/// A detached JWS (RFC 7515, appendix F) by HMAC-SHA-256.
fn signature(content: &str, id: &str, secret: &str) -> String {
    let header = BASE64.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#));
    let signed = format!("{header}.{}", BASE64.encode(content));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{header}..{}", BASE64.encode(hmac::sign(&key, signed.as_bytes())))
}

fn wake_itself(_: &Caches, delta: &Delta<Secret>) -> Vec<Key> {
    let secret = delta.object();
    if is_token(secret) { vec![Key::of(&secret.metadata)] } else { Vec::new() }
}

fn wake_info(_: &Caches, delta: &Delta<Secret>) -> Vec<Key> {
    if is_token(delta.object()) { vec![Key::new(PUBLIC, INFO)] } else { Vec::new() }
}

fn wake_by_map(_: &Caches, delta: &Delta<ConfigMap>) -> Vec<Key> {
    let key = Key::of(&delta.object().metadata);
    if key == Key::new(PUBLIC, INFO) { vec![key] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::json;

    #[test]
    fn signs_while_the_token_lives() {
        let mut world = World::new(&[&CLEANER, &SIGNER]);
        let expiration = (world.now + crate::objects::seconds(60)).to_string();
        let data = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-signing", "true"),
            ("expiration", &expiration),
        ];
        let data: BTreeMap<&str, String> = data.into_iter().map(|(key, value)| (key, BASE64_STANDARD.encode(value))).collect();
        world.put(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bootstrap-token-abcdef", "namespace": SPACE}, "type": TYPE, "data": data,
        }));
        world.put(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": INFO, "namespace": PUBLIC}, "data": {"kubeconfig": "x"}}),
        );
        world.fixpoint();
        let signature = world.get("v1", "ConfigMap", PUBLIC, INFO)["data"]["jws-kubeconfig-abcdef"].as_str().unwrap().to_string();
        assert!(signature.starts_with("eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9.."));
        world.advance(61);
        assert_eq!(world.all("v1", "Secret").len(), 0);
        assert_eq!(world.get("v1", "ConfigMap", PUBLIC, INFO)["data"], json!({"kubeconfig": "x"}));
    }
}
