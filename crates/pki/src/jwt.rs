//! JSON web tokens signed with ES256, and the key set that others check them with. What the claims mean is the caller's matter.
use crate::key::{Key, public_der};
use crate::{Error, pem};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

/// Longer texts are not looked at.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// Signs with one key.
#[derive(Debug)]
pub struct Signer {
    key: Key,
    key_id: String,
}

/// Checks against any number of keys, so that a key can be exchanged while its tokens live on.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    keys: Vec<PublicKey>,
}

#[derive(Clone, Debug)]
struct PublicKey {
    id: String,
    point: Vec<u8>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    #[error("not a token of three parts")]
    Malformed,
    #[error("signed with \"{0}\", not ES256")]
    Algorithm(String),
    #[error("no known key fits")]
    Signature,
}

impl Signer {
    pub fn new(key: Key) -> Signer {
        let key_id = key_id(key.public_point());
        Signer { key, key_id }
    }

    pub fn sign(&self, claims: &Value) -> Result<String, Error> {
        let header = json!({"alg": "ES256", "kid": self.key_id});
        let message = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.key.sign_fixed(message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    pub fn verifier(&self) -> Verifier {
        Verifier { keys: vec![PublicKey { id: self.key_id.clone(), point: self.key.public_point().to_vec() }] }
    }
}

impl Verifier {
    /// Adds the P-256 public keys of a PEM text; others are left out.
    pub fn add_pem(&mut self, text: &str) {
        for der in pem::decode(text, &["PUBLIC KEY"]) {
            let point = der.get(der.len().saturating_sub(65)..).unwrap_or_default().to_vec();
            if public_der(&point) == der {
                let id = key_id(&point);
                if self.keys.iter().all(|key| key.id != id) {
                    self.keys.push(PublicKey { id, point });
                }
            }
        }
    }

    /// The claims of a token with a good signature. Times and audiences are not looked at.
    pub fn verify(&self, token: &str) -> Result<Value, Invalid> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Invalid::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Invalid::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Invalid::Malformed)?;
        let header = decode(header).ok_or(Invalid::Malformed)?;
        match header["alg"].as_str() {
            Some("ES256") => {}
            other => return Err(Invalid::Algorithm(other.unwrap_or_default().into())),
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Invalid::Malformed)?;
        let asked = header["kid"].as_str();
        let fits = |key: &&PublicKey| {
            asked.is_none_or(|id| id == key.id)
                && UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.point).verify(message.as_bytes(), &signature).is_ok()
        };
        self.keys.iter().find(fits).ok_or(Invalid::Signature)?;
        decode(claims).ok_or(Invalid::Malformed)
    }

    /// The JSON web key set.
    pub fn jwks(&self) -> Value {
        let key = |key: &PublicKey| {
            let half = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&key.point[range]);
            json!({"use": "sig", "kty": "EC", "kid": key.id, "crv": "P-256", "alg": "ES256", "x": half(1..33), "y": half(33..65)})
        };
        json!({"keys": self.keys.iter().map(key).collect::<Vec<_>>()})
    }
}

/// The claims of a token, unchecked: for choosing who should check it.
pub fn peek(token: &str) -> Option<Value> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    decode(token.split('.').nth(1)?)
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decode(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn key_id(point: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, &public_der(point)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_token_verifies_and_a_changed_one_does_not() {
        let signer = Signer::new(Key::generate().unwrap());
        let claims = json!({"sub": "system:serviceaccount:a:b", "exp": 12});
        let token = signer.sign(&claims).unwrap();
        assert_eq!(signer.verifier().verify(&token), Ok(claims.clone()));
        assert_eq!(peek(&token), Some(claims));
        let parts: Vec<&str> = token.split('.').collect();
        let forged = format!("{}.{}.{}", parts[0], encode(&json!({"sub": "root"})), parts[2]);
        assert_eq!(signer.verifier().verify(&forged), Err(Invalid::Signature));
        let none = format!("{}.{}.", encode(&json!({"alg": "none"})), parts[1]);
        assert_eq!(signer.verifier().verify(&none), Err(Invalid::Algorithm("none".into())));
        assert_eq!(signer.verifier().verify("a.b"), Err(Invalid::Malformed));
    }

    #[test]
    fn an_old_key_still_verifies_when_it_is_added() {
        let (old, new) = (Signer::new(Key::generate().unwrap()), Signer::new(Key::generate().unwrap()));
        let token = old.sign(&json!({})).unwrap();
        let mut verifier = new.verifier();
        assert_eq!(verifier.verify(&token), Err(Invalid::Signature));
        verifier.add_pem(&old.key.public_pem());
        assert_eq!(verifier.verify(&token), Ok(json!({})));
        assert_eq!(verifier.jwks()["keys"].as_array().unwrap().len(), 2);
    }
}
