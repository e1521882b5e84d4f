//! Tells who makes a request: a caller in the same process, a proxy's user, a client certificate, a bearer token, or nobody
//! (anonymous, on the health and version paths alone). Then, if asked for and allowed, who that is to be taken for.
pub mod bootstrap;
pub mod front_proxy;
pub mod impersonate;
pub mod issuer;
pub mod service_account;
pub mod tokens;
pub mod x509;

use crate::request::{Attributes, Authenticator, Authorizer, PeerCertificates};
use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use client::Identity;
use front_proxy::FrontProxy;
use http::HeaderMap;
use machinery::status::{Reason, Status};
use std::sync::Arc;
use tokens::Tokens;
use x509::ClientCa;

pub const AUTHENTICATED: &str = "system:authenticated";
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
pub const ANONYMOUS: &str = "system:anonymous";
/// A token in a WebSocket's subprotocol, for browsers, which cannot set headers.
const WEBSOCKET_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// Where requests without credentials are let in, as `system:anonymous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anonymous {
    Off,
    Everywhere,
    /// On these paths, and on those below the ones that end in `/`.
    Paths(Vec<String>),
}

impl Anonymous {
    /// Health and version.
    pub fn health_and_version() -> Anonymous {
        let paths = ["/healthz", "/healthz/", "/livez", "/livez/", "/readyz", "/readyz/", "/version", "/version/"];
        Anonymous::Paths(paths.map(String::from).into())
    }

    fn allows(&self, path: &str) -> bool {
        match self {
            Anonymous::Off => false,
            Anonymous::Everywhere => true,
            Anonymous::Paths(paths) => paths.iter().any(|own| own == path || own.ends_with('/') && path.starts_with(own.as_str())),
        }
    }
}

pub struct Authenticators {
    pub client_ca: ClientCa,
    pub front_proxy: Option<FrontProxy>,
    pub tokens: Arc<Tokens>,
    pub anonymous: Anonymous,
    /// Asked about impersonation.
    pub authorizer: Arc<dyn Authorizer>,
}

#[async_trait]
impl Authenticator for Authenticators {
    async fn authenticate(&self, parts: &http::request::Parts, _: &Attributes) -> Result<Identity, Status> {
        let user = self.identify(parts).await?;
        impersonate::impersonate(user, &parts.headers, &*self.authorizer).await
    }
}

impl Authenticators {
    async fn identify(&self, parts: &http::request::Parts) -> Result<Identity, Status> {
        if let Some(own) = parts.extensions.get::<Identity>() {
            return Ok(authenticated(own.clone()));
        }
        let peer = parts.extensions.get::<PeerCertificates>().filter(|peer| !peer.chain.is_empty());
        if let (Some(peer), Some(proxy)) = (peer, &self.front_proxy)
            && let Some(user) = proxy.user(peer, &parts.headers)
        {
            return Ok(authenticated(user));
        }
        if let Some(peer) = peer
            && let Some(user) = peer.identity.get_or_init(|| self.client_ca.identity(peer).map(authenticated))
        {
            return Ok(user.clone());
        }
        match bearer_token(&parts.headers) {
            Some(token) => match self.tokens.authenticate(&token, None).await {
                Ok(Some(found)) => Ok(authenticated(found.user)),
                Ok(None) => Err(unauthorized()),
                Err(why) => {
                    tracing::debug!(why, "a bearer token is refused");
                    Err(unauthorized())
                }
            },
            None if self.anonymous.allows(parts.uri.path()) => Ok(Identity::new(ANONYMOUS, &[UNAUTHENTICATED])),
            None => Err(unauthorized()),
        }
    }
}

pub fn unauthorized() -> Status {
    Status::new(Reason::Unauthorized, "Unauthorized")
}

/// Every user but the anonymous is in this group.
fn authenticated(mut user: Identity) -> Identity {
    let special = user.groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED);
    if user.user == ANONYMOUS {
        if !user.in_group(UNAUTHENTICATED) {
            user.groups.push(UNAUTHENTICATED.into());
        }
    } else if !special {
        user.groups.push(AUTHENTICATED.into());
    }
    user
}

/// Compares digests, so that the time taken tells nothing about how much of a guess is right.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    let digest = |bytes| ring::digest::digest(&ring::digest::SHA256, bytes);
    digest(a).as_ref() == digest(b).as_ref()
}

fn bearer_token(headers: &HeaderMap) -> Option<String> {
    if let Some(header) = headers.get(http::header::AUTHORIZATION) {
        let (kind, token) = header.to_str().ok()?.trim().split_once(' ')?;
        let token = token.trim();
        return (kind.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_string());
    }
    let protocols = headers.get_all("sec-websocket-protocol").iter().filter_map(|value| value.to_str().ok());
    let mut protocols = protocols.flat_map(|value| value.split(','));
    let encoded = protocols.find_map(|protocol| protocol.trim().strip_prefix(WEBSOCKET_TOKEN))?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?).ok()
}

#[cfg(test)]
mod tests;
