//! The steps that are plugged into the request path: authentication, authorization, admission, reviews and token issuing.
use super::attributes::Attributes;
use super::options::Options;
use async_trait::async_trait;
use client::Identity;
use machinery::kind::DynKind;
use machinery::object::AnyObject;
use machinery::status::Status;
use parking_lot::Mutex;
use serde_json::Value;

/// Warnings of one request; they leave in `Warning` headers.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut all = self.0.lock();
        if !text.is_empty() && !all.contains(&text) {
            all.push(text);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Tells who makes a request. It reads the headers (`Authorization`, `Impersonate-*`), `PeerCertificates` and, for callers in
/// the same process, the `Identity` in the extensions.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// `Err` is what the client gets: 401 for bad credentials, 403 for an impersonation that is not allowed. Without any
    /// credentials the answer is `system:anonymous`, or 401 where anonymous requests are off.
    async fn authenticate(&self, parts: &http::request::Parts, attributes: &Attributes) -> Result<Identity, Status>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// Refused; the reason ends the message that the client sees (it may be empty).
    Deny(String),
}

#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    async fn authorize(&self, attributes: &Attributes) -> Decision;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

/// What admission sees beside the object itself.
pub struct AdmissionRequest<'a> {
    pub attributes: &'a Attributes,
    pub operation: Operation,
    /// The kind of the resource. Objects of `binding`, `eviction` and `token` are not of it: they come as
    /// `machinery::object::Dynamic`, so downcast rather than trust the kind. With `scale` it is the scaled object.
    pub kind: &'a dyn DynKind,
    /// What is stored: for updates and deletions.
    pub old: Option<&'a dyn AnyObject>,
    pub options: &'a Options,
    pub warnings: &'a Warnings,
}

impl AdmissionRequest<'_> {
    pub fn dry_run(&self) -> bool {
        self.options.dry_run
    }

    /// `forbidden` about this very object, in the original's words.
    pub fn forbidden(&self, name: &str, why: &str) -> Status {
        let name = if name.is_empty() { &self.attributes.name } else { name };
        Status::forbidden(&self.attributes.group, &self.attributes.resource, name, why)
    }
}

/// The admission chain. Called for creations, updates (patches, apply and subresources among them), deletions (only
/// `validate`, object `None`) and connections (exec, attach, port-forward, proxy; only `validate`, object `None`).
/// The name of an object to be created with `generateName` is already there; its namespace too.
/// With concurrent writers `mutate` and `validate` may run several times for one request.
#[async_trait]
pub trait Admission: Send + Sync + 'static {
    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status>;
    /// After validation of the object, right before the store.
    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status>;
}

/// Resources that are only answered, never stored: token reviews and the access reviews.
#[async_trait]
pub trait Reviews: Send + Sync + 'static {
    /// `None` if it does not know the resource of `attributes`. Gets the body with its `apiVersion` and `kind` checked; gives
    /// the whole object to answer.
    async fn create(&self, attributes: &Attributes, body: Value) -> Option<Result<Value, Status>>;
}

/// Makes service account tokens (the `token` subresource) and publishes their keys.
#[async_trait]
pub trait TokenIssuer: Send + Sync + 'static {
    /// `request` is an `authentication.k8s.io/v1` TokenRequest; the answer is the same with its status filled in.
    async fn issue(&self, attributes: &Attributes, request: Value, warnings: &Warnings) -> Result<Value, Status>;
    /// `/.well-known/openid-configuration`.
    fn openid_configuration(&self) -> Value;
    /// `/openid/v1/jwks`.
    fn jwks(&self) -> Value;
}

/// Lets everybody in under the name in the extensions, and lets them do everything: tests and single-user tools.
pub struct AllowAll;

#[async_trait]
impl Authenticator for AllowAll {
    async fn authenticate(&self, parts: &http::request::Parts, _: &Attributes) -> Result<Identity, Status> {
        let given = parts.extensions.get::<Identity>().cloned();
        Ok(given.unwrap_or_else(|| Identity::new("system:admin", &["system:masters", "system:authenticated"])))
    }
}

#[async_trait]
impl Authorizer for AllowAll {
    async fn authorize(&self, _: &Attributes) -> Decision {
        Decision::Allow
    }
}

/// An empty chain.
pub struct NoAdmission;

#[async_trait]
impl Admission for NoAdmission {
    async fn mutate(&self, _: &AdmissionRequest<'_>, _: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        Ok(())
    }
    async fn validate(&self, _: &AdmissionRequest<'_>, _: Option<&dyn AnyObject>) -> Result<(), Status> {
        Ok(())
    }
}
