//! What the claims of a service account's token mean, checked against what is there now: an account, pod, secret or node that
//! is gone, or is another of the same name, ends the token at once.
use crate::own_writes::find;
use client::Identity;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::object::Resource;
use machinery::status::Status;
use serde_json::Value;
use std::collections::BTreeMap;
use store::Store;

/// Clocks may differ by this, and a deleted pod may use its token as long to end in order.
const LEEWAY: SignedDuration = SignedDuration::from_mins(1);
const EXTRA: &str = "authentication.kubernetes.io/";
/// The issuer of tokens that live in secrets.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

pub fn user_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// Are the times of the claims right?
pub fn check_times(claims: &Value, now: Timestamp) -> Result<(), String> {
    let time = |key: &str| claims[key].as_f64().map(|seconds| seconds as i64);
    if time("exp").is_some_and(|end| now - LEEWAY > at(end)) {
        return Err("service account token has expired".into());
    }
    if time("nbf").is_some_and(|start| now + LEEWAY < at(start)) {
        return Err("service account token is not valid yet".into());
    }
    if time("iat").is_some_and(|issued| now + LEEWAY < at(issued)) {
        return Err("service account token is issued in the future".into());
    }
    Ok(())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// A token of the TokenRequest API.
pub async fn bound(store: &dyn Store, claims: &Value, now: Timestamp) -> Result<Identity, String> {
    let own = &claims["kubernetes.io"];
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_string();
    let namespace = text(own, "namespace");
    let account = text(&own["serviceaccount"], "name");
    let gone = now - LEEWAY;
    let object = existing::<ServiceAccount>(store, "serviceaccounts", &namespace, &account).await?;
    let object = object.ok_or_else(|| format!("serviceaccounts \"{account}\" not found"))?;
    let (uid, claimed) = (object.uid, text(&own["serviceaccount"], "uid"));
    if uid != claimed {
        return Err(format!("service account UID ({uid}) does not match claim ({claimed})"));
    }
    if object.deleted.is_some_and(|deleted| deleted < gone) {
        return Err(format!("service account {namespace}/{account} has been deleted"));
    }
    let mut extra = BTreeMap::new();
    let mut tell = |key: &str, value: String| {
        if !value.is_empty() {
            extra.insert(format!("{EXTRA}{key}"), vec![value]);
        }
    };
    if let Some(secret) = own.get("secret") {
        let found = existing::<Secret>(store, "secrets", &namespace, &text(secret, "name")).await?;
        same(found, &text(secret, "uid"), gone, "secret", "service account secret ref claim")?;
    }
    let pod = own.get("pod");
    if let Some(pod) = pod {
        let found = existing::<Pod>(store, "pods", &namespace, &text(pod, "name")).await?;
        same(found, &text(pod, "uid"), gone, "pod", "service account pod ref claim")?;
        tell("pod-name", text(pod, "name"));
        tell("pod-uid", text(pod, "uid"));
    }
    if let Some(node) = own.get("node") {
        if pod.is_none() {
            let found = existing::<Node>(store, "minions", "", &text(node, "name")).await?;
            same(found, &text(node, "uid"), gone, "node", "service account node ref claim")?;
        }
        tell("node-name", text(node, "name"));
        tell("node-uid", text(node, "uid"));
    }
    if let Some(id) = claims["jti"].as_str().filter(|id| !id.is_empty()) {
        tell("credential-id", format!("JTI={id}"));
    }
    Ok(identity(&namespace, &account, claimed, extra))
}

/// A token that lives in a secret; it must still be the secret's.
pub async fn legacy(store: &dyn Store, token: &str, claims: &Value) -> Result<Identity, String> {
    let claim = |key: &str| {
        let value = claims[format!("kubernetes.io/serviceaccount/{key}")].as_str().filter(|value| !value.is_empty());
        value.map(String::from).ok_or_else(|| format!("{key} claim is missing"))
    };
    let (namespace, secret, account, uid) =
        (claim("namespace")?, claim("secret.name")?, claim("service-account.name")?, claim("service-account.uid")?);
    if claims["sub"].as_str() != Some(&user_name(&namespace, &account)) {
        return Err("sub claim is invalid".into());
    }
    let invalidated = "Token has been invalidated".to_string();
    let key = format!("/registry/secrets/{namespace}/{secret}");
    let secret = find::<Secret>(store, &key).await.map_err(|status| status.message)?.ok_or_else(|| invalidated.clone())?;
    if secret.metadata.deletion_timestamp.is_some() {
        return Err(invalidated);
    }
    let stored = secret.data.as_ref().and_then(|data| data.get("token")).map(|value| value.0.as_slice()).unwrap_or_default();
    if !super::same_secret(stored, token.as_bytes()) {
        return Err("Token does not match server's copy".into());
    }
    if secret.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("kubernetes.io/legacy-token-invalid-since")) {
        return Err(format!(
            "the token in secret {namespace}/{} has been marked invalid",
            secret.metadata.name.clone().unwrap_or_default()
        ));
    }
    let object = existing::<ServiceAccount>(store, "serviceaccounts", &namespace, &account).await?;
    let object = object.ok_or_else(|| format!("serviceaccounts \"{account}\" not found"))?;
    if object.deleted.is_some() {
        return Err(format!("ServiceAccount {namespace}/{account} has been deleted"));
    }
    if object.uid != uid {
        return Err(format!("ServiceAccount UID ({}) does not match claim ({uid})", object.uid));
    }
    Ok(identity(&namespace, &account, uid, BTreeMap::new()))
}

fn identity(namespace: &str, name: &str, uid: String, extra: BTreeMap<String, Vec<String>>) -> Identity {
    let groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
    Identity { user: user_name(namespace, name), uid, groups, extra }
}

struct Existing {
    uid: String,
    deleted: Option<Timestamp>,
}

async fn existing<T: Resource>(store: &dyn Store, storage: &str, namespace: &str, name: &str) -> Result<Option<Existing>, String> {
    let key = match namespace {
        "" => format!("/registry/{storage}/{name}"),
        _ => format!("/registry/{storage}/{namespace}/{name}"),
    };
    let found = find::<T>(store, &key).await.map_err(|status: Status| status.message)?;
    let of = |meta: &ObjectMeta| Existing {
        uid: meta.uid.clone().unwrap_or_default(),
        deleted: meta.deletion_timestamp.as_ref().map(|time| time.0),
    };
    Ok(found.map(|object| of(object.metadata())))
}

fn same(found: Option<Existing>, claimed: &str, gone: Timestamp, what: &str, claim: &str) -> Result<(), String> {
    let found = found.ok_or("service account token has been invalidated")?;
    if found.uid != claimed {
        return Err(format!("{what} UID ({}) does not match {claim} ({claimed})", found.uid));
    }
    match found.deleted {
        Some(deleted) if deleted < gone => Err("service account token has been invalidated".into()),
        _ => Ok(()),
    }
}
