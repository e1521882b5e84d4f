//! Bearer tokens of all kinds. A signature is checked once per token and remembered, within a limit, until the token ends; what
//! the token is bound to is looked up each time.
use super::{bootstrap, service_account};
use client::Identity;
use jiff::Timestamp;
use parking_lot::Mutex;
use pki::Verifier;
use ring::digest::{SHA256, digest};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use stdx::clock::Clock;
use store::Store;

/// Signatures that are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// A token that is good: whose, and for which audiences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub user: Identity,
    pub audiences: Vec<String>,
}

/// Claims whose signature was good, and when they end.
type Remembered = (Arc<Value>, Timestamp);

pub struct Tokens {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub verifier: Verifier,
    /// The first is the one of new tokens.
    pub issuers: Vec<String>,
    /// Of this API server.
    pub audiences: Vec<String>,
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
}

impl Tokens {
    pub fn new(store: Arc<dyn Store>, clock: Clock, verifier: Verifier, issuers: Vec<String>, audiences: Vec<String>) -> Tokens {
        Tokens { store, clock, verifier, issuers, audiences, remembered: Mutex::default() }
    }

    /// `None`: nobody knows this token. An error: it is known, and no longer or not here good. `audiences`: those that would do;
    /// without them the server's own.
    pub async fn authenticate(&self, token: &str, audiences: Option<&[String]>) -> Result<Option<Found>, String> {
        let wanted = audiences.unwrap_or(&self.audiences);
        if bootstrap::token_id(token).is_some() {
            let user = bootstrap::authenticate(&*self.store, token, self.clock.now()).await.map_err(|status| status.message)?;
            return Ok(user.and_then(|user| self.implicit(user, wanted)));
        }
        let Some(issuer) = pki::jwt::peek(token).and_then(|claims| claims["iss"].as_str().map(String::from)) else { return Ok(None) };
        let legacy = issuer == service_account::LEGACY_ISSUER;
        if !legacy && !self.issuers.contains(&issuer) {
            return Ok(None);
        }
        let claims = self.verified(token)?;
        let now = self.clock.now();
        service_account::check_times(&claims, now)?;
        if legacy {
            let user = service_account::legacy(&*self.store, token, &claims).await?;
            return Ok(self.implicit(user, wanted));
        }
        let own = audiences_of(&claims);
        // Tokens without an audience are for the API server.
        let own = if own.is_empty() { self.audiences.clone() } else { own };
        let common: Vec<String> = own.iter().filter(|audience| wanted.contains(audience)).cloned().collect();
        if common.is_empty() {
            return Err(format!("token audiences {own:?} is invalid for the target audiences {wanted:?}"));
        }
        let user = service_account::bound(&*self.store, &claims, now).await?;
        Ok(Some(Found { user, audiences: common }))
    }

    /// Tokens that name no audience are good for the API server's own.
    fn implicit(&self, user: Identity, wanted: &[String]) -> Option<Found> {
        let audiences: Vec<String> = self.audiences.iter().filter(|audience| wanted.contains(audience)).cloned().collect();
        (!audiences.is_empty()).then_some(Found { user, audiences })
    }

    fn verified(&self, token: &str) -> Result<Arc<Value>, String> {
        let hash: [u8; 32] = digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes");
        if let Some((claims, _)) = self.remembered.lock().get(&hash) {
            return Ok(claims.clone());
        }
        let claims = Arc::new(self.verifier.verify(token).map_err(|error| format!("invalid bearer token: {error}"))?);
        let end = claims["exp"].as_i64().and_then(|end| Timestamp::from_second(end).ok()).unwrap_or(Timestamp::MAX);
        let mut remembered = self.remembered.lock();
        if remembered.len() >= MAX_REMEMBERED {
            let now = self.clock.now();
            remembered.retain(|_, (_, end)| *end > now);
            if remembered.len() >= MAX_REMEMBERED {
                // All still good: start over rather than choose.
                remembered.clear();
            }
        }
        remembered.insert(hash, (claims.clone(), end));
        Ok(claims)
    }
}

fn audiences_of(claims: &Value) -> Vec<String> {
    match &claims["aud"] {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().filter_map(|one| one.as_str().map(String::from)).collect(),
        _ => Vec::new(),
    }
}
