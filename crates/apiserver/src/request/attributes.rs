//! What a request asks for and who asks: all that authorization and admission may look at.
use client::Identity;
use rustls::pki_types::CertificateDer;
use std::sync::{Arc, OnceLock};

/// The client's certificates, leaf first, verified by the TLS listener against the client CAs; an extension of the request.
/// `identity` is worked out by the authenticator once per connection and kept here.
#[derive(Clone, Debug, Default)]
pub struct PeerCertificates {
    pub chain: Arc<[CertificateDer<'static>]>,
    pub identity: Arc<OnceLock<Option<Identity>>>,
}

impl PeerCertificates {
    pub fn new(chain: Vec<CertificateDer<'static>>) -> PeerCertificates {
        PeerCertificates { chain: chain.into(), identity: Arc::default() }
    }
}

/// Texts are empty where they do not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Who acts: after impersonation the impersonated.
    pub user: Identity,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for other paths the HTTP method in
    /// lower case.
    pub verb: String,
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// The plural.
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// The URL's path, for requests that are not about resources.
    pub path: String,
    pub is_resource: bool,
    /// As the client wrote them; only list, watch and deletecollection have them.
    pub field_selector: String,
    pub label_selector: String,
}

impl Attributes {
    /// `pods/log`, or just `pods`.
    pub fn resource_path(&self) -> String {
        if self.subresource.is_empty() { self.resource.clone() } else { format!("{}/{}", self.resource, self.subresource) }
    }

    pub fn read_only(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}
