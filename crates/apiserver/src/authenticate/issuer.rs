//! Issues service account tokens (the `token` subresource) and publishes how to check them (OpenID discovery, key set).
use super::service_account::user_name;
use super::tokens::Tokens;
use crate::own_writes::find;
use crate::request::{Attributes, TokenIssuer, Warnings};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec, TokenRequestStatus};
use k8s_openapi::api::core::v1::{Node, Pod, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::errors::Errors;
use machinery::object::Resource;
use machinery::status::Status;
use pki::Signer;
use serde_json::{Value, json};
use std::sync::Arc;
use stdx::random::Random;

const DEFAULT_SECONDS: i64 = 3600;
const MIN_SECONDS: i64 = 600;
/// What the ServiceAccount admission step asks for; such tokens live for a year, because old clients never read them again.
pub const INJECTED_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;
const GROUP: &str = "authentication.k8s.io";

pub struct Issuer {
    pub signer: Signer,
    /// Whose store, clock, issuer name and audiences are used.
    pub tokens: Arc<Tokens>,
    pub random: Random,
    /// Where the key set is served, e.g. `https://10.0.0.1:6443/openid/v1/jwks`.
    pub jwks_uri: String,
}

/// What a token is bound to.
enum Bound {
    Nothing,
    Pod { pod: Box<ObjectMeta>, node: Option<Box<ObjectMeta>> },
    Secret(Box<ObjectMeta>),
    Node(Box<ObjectMeta>),
}

#[async_trait]
impl TokenIssuer for Issuer {
    async fn issue(&self, attributes: &Attributes, request: Value, _: &Warnings) -> Result<Value, Status> {
        let mut request: TokenRequest = serde_json::from_value(request)
            .map_err(|error| Status::bad_request(format!("TokenRequest in version \"v1\" cannot be handled as a TokenRequest: {error}")))?;
        let (namespace, name) = (&attributes.namespace, &attributes.name);
        check_names(&request.metadata, namespace, name)?;
        let account = self.get::<ServiceAccount>("serviceaccounts", "serviceaccounts", namespace, name).await?;
        let mut spec = request.spec.take().unwrap_or_default();
        complete(&mut request.metadata, &mut spec, &account.metadata, &self.tokens.audiences)?;
        let seconds = spec.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
        check(seconds)?;
        let now = self.tokens.clock.now();
        let bound = match &spec.bound_object_ref {
            Some(reference) => self.bound(reference, namespace, name).await?,
            None => Bound::Nothing,
        };
        let claims = self.claims(&account.metadata, &bound, spec.audiences.as_deref().unwrap_or_default(), seconds, now);
        let token = self.signer.sign(&claims).map_err(|error| Status::internal(format!("failed to generate token: {error}")))?;
        let whole = |time: Timestamp| Time(Timestamp::from_second(time.as_second()).unwrap_or(time));
        request.metadata.creation_timestamp = Some(whole(now));
        let end = whole(now + SignedDuration::from_secs(seconds));
        request.spec = Some(spec);
        request.status = Some(TokenRequestStatus { expiration_timestamp: Some(end), token: Some(token) });
        serde_json::to_value(&request).map_err(Status::internal)
    }

    fn openid_configuration(&self) -> Value {
        json!({
            "issuer": self.tokens.issuers.first(),
            "jwks_uri": self.jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    fn jwks(&self) -> Value {
        self.tokens.verifier.jwks()
    }
}

impl Issuer {
    async fn get<T: Resource>(&self, resource: &str, storage: &str, namespace: &str, name: &str) -> Result<Arc<T>, Status> {
        let middle = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let key = format!("/registry/{storage}/{middle}{name}");
        find::<T>(&*self.tokens.store, &key).await?.ok_or_else(|| Status::not_found("", resource, name))
    }

    async fn bound(&self, reference: &BoundObjectReference, namespace: &str, account: &str) -> Result<Bound, Status> {
        let version = reference.api_version.as_deref().unwrap_or_default();
        let (kind, name) = (reference.kind.as_deref().unwrap_or_default(), reference.name.as_deref().unwrap_or_default());
        let (bound, uid) = match (version.contains('/'), kind) {
            (false, "Pod") => {
                let pod = self.get::<Pod>("pods", "pods", namespace, name).await?;
                let spec = pod.spec.as_ref();
                if spec.and_then(|spec| spec.service_account_name.as_deref()) != Some(account) {
                    let why =
                        format!("cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name.");
                    return Err(Status::bad_request(why));
                }
                let node = match spec.and_then(|spec| spec.node_name.as_deref()).filter(|node| !node.is_empty()) {
                    None => None,
                    Some(node) => Some(Box::new(self.node_or_its_name(node).await?)),
                };
                (Bound::Pod { pod: Box::new(pod.metadata.clone()), node }, pod.metadata.uid.clone())
            }
            (false, "Node") => {
                let node = self.get::<Node>("nodes", "minions", "", name).await?;
                (Bound::Node(Box::new(node.metadata.clone())), node.metadata.uid.clone())
            }
            (false, "Secret") => {
                let secret = self.get::<Secret>("secrets", "secrets", namespace, name).await?;
                (Bound::Secret(Box::new(secret.metadata.clone())), secret.metadata.uid.clone())
            }
            _ => return Err(Status::bad_request(format!("cannot bind token to object of type {}", shown_kind(version, kind)))),
        };
        match reference.uid.as_deref() {
            Some(asked) if !asked.is_empty() && Some(asked) != uid.as_deref() => {
                let why = format!(
                    "the UID in the bound object reference ({asked}) does not match the UID in record. The object might have been deleted and then recreated"
                );
                Err(Status::conflict("", kind, name, &why))
            }
            _ => Ok(bound),
        }
    }

    async fn node_or_its_name(&self, name: &str) -> Result<ObjectMeta, Status> {
        let node = find::<Node>(&*self.tokens.store, &format!("/registry/minions/{name}")).await?;
        let unknown = || ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        Ok(node.map_or_else(unknown, |node| node.metadata.clone()))
    }

    fn claims(&self, account: &ObjectMeta, bound: &Bound, audiences: &[String], seconds: i64, now: Timestamp) -> Value {
        let reference = |meta: &ObjectMeta| match &meta.uid {
            Some(uid) => json!({"name": meta.name, "uid": uid}),
            None => json!({"name": meta.name}),
        };
        let namespace = account.namespace.clone().unwrap_or_default();
        let mut own = json!({"namespace": namespace, "serviceaccount": reference(account)});
        let now = now.as_second();
        let mut end = now + seconds;
        match bound {
            Bound::Nothing => {}
            Bound::Pod { pod, node } => {
                own["pod"] = reference(pod);
                if let Some(node) = node {
                    own["node"] = reference(node);
                }
                if seconds == INJECTED_SECONDS && audiences.iter().all(|audience| self.tokens.audiences.contains(audience)) {
                    own["warnafter"] = (now + seconds).into();
                    end = now + EXTENDED_SECONDS;
                }
            }
            Bound::Secret(secret) => own["secret"] = reference(secret),
            Bound::Node(node) => own["node"] = reference(node),
        }
        json!({
            "iss": self.tokens.issuers.first(), "sub": user_name(&namespace, account.name.as_deref().unwrap_or_default()),
            "aud": audiences, "exp": end, "iat": now, "nbf": now, "jti": self.random.uuid(), "kubernetes.io": own,
        })
    }
}

fn check_names(meta: &ObjectMeta, namespace: &str, name: &str) -> Result<(), Status> {
    let mut errors = Errors::default();
    errors.at("metadata", |errors| {
        if let Some(own) = meta.name.as_ref().filter(|own| !own.is_empty() && *own != name) {
            errors.invalid("name", own, "must match the service account name if specified");
        } else if let Some(own) = meta.namespace.as_ref().filter(|own| !own.is_empty() && *own != namespace) {
            errors.invalid("namespace", own, "must match the service account namespace if specified");
        }
    });
    errors.into_result(GROUP, "TokenRequest", name)
}

/// Fills in what the client left out, from the account.
fn complete(meta: &mut ObjectMeta, spec: &mut TokenRequestSpec, account: &ObjectMeta, audiences: &[String]) -> Result<(), Status> {
    let uid = account.uid.clone().unwrap_or_default();
    match meta.uid.as_deref() {
        Some(asked) if !asked.is_empty() && asked != uid => {
            let why = format!("the UID in the token request ({asked}) does not match the UID of the service account ({uid})");
            return Err(Status::conflict(GROUP, "TokenRequest", account.name.as_deref().unwrap_or_default(), &why));
        }
        _ => {}
    }
    meta.name = account.name.clone();
    meta.namespace = account.namespace.clone();
    meta.uid = Some(uid);
    if spec.audiences.as_ref().is_none_or(Vec::is_empty) {
        spec.audiences = Some(audiences.to_vec());
    }
    spec.expiration_seconds.get_or_insert(DEFAULT_SECONDS);
    Ok(())
}

fn check(seconds: i64) -> Result<(), Status> {
    let mut errors = Errors::default();
    errors.at("spec", |errors| {
        if seconds < MIN_SECONDS {
            errors.invalid("expirationSeconds", seconds, "may not specify a duration less than 10 minutes");
        }
        if seconds > 1 << 32 {
            errors.invalid("expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds");
        }
    });
    errors.into_result(GROUP, "TokenRequest", "")
}

/// As the original prints a group, version and kind.
fn shown_kind(version: &str, kind: &str) -> String {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    format!("{group}/{version}, Kind={kind}")
}
