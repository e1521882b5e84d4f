//! Continue tokens: the revision of the list's snapshot and the key after which it goes on. Clients must not look inside, but may
//! send anything, so everything in them is checked.
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use machinery::status::Status;
use serde_json::{Value, json};
use store::Revision;

/// Longer tokens are not ours.
const MAX_TOKEN_BYTES: usize = 4 << 10;
const VERSION: &str = "meta.k8s.io/v1";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// `None`: the rest of whatever is there now.
    pub revision: Option<Revision>,
    /// The whole key of the last object of the page before.
    pub after: String,
}

/// `key` is the last key of this page, under `prefix`.
pub fn encode(revision: Option<Revision>, key: &str, prefix: &str) -> String {
    let start = key.strip_prefix(prefix).unwrap_or(key);
    let revision = revision.map_or(-1, |revision| revision as i64);
    let token = json!({"v": VERSION, "rv": revision, "start": format!("{start}\u{0}")});
    URL_SAFE_NO_PAD.encode(token.to_string())
}

pub fn decode(text: &str, prefix: &str) -> Result<Token, Status> {
    let bad = |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    if text.len() > MAX_TOKEN_BYTES {
        return Err(bad("it is too long"));
    }
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|error| bad(&error.to_string()))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| bad(&error.to_string()))?;
    if value["v"] != VERSION {
        return Err(bad(&format!("server does not recognize this encoded version {}", value["v"])));
    }
    let revision = match value["rv"].as_i64() {
        Some(-1) => None,
        Some(revision) if revision > 0 => Some(revision as Revision),
        _ => return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")),
    };
    let start = value["start"].as_str().unwrap_or_default().trim_end_matches('\u{0}');
    let clean = start.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !clean {
        return Err(bad(start));
    }
    Ok(Token { revision, after: format!("{prefix}{start}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_and_nothing_else() {
        let prefix = "/registry/pods/";
        let token = encode(Some(7), "/registry/pods/x/web", prefix);
        assert_eq!(decode(&token, prefix).unwrap(), Token { revision: Some(7), after: "/registry/pods/x/web".into() });
        let other = |value: Value| decode(&URL_SAFE_NO_PAD.encode(value.to_string()), prefix).unwrap_err().message;
        assert_eq!(
            other(json!({"v": VERSION, "rv": 1, "start": "../secrets/x"})),
            "invalid continue token: continue key is not valid: ../secrets/x"
        );
        assert!(other(json!({"v": "v0"})).contains("version"));
        assert!(other(json!({"v": VERSION, "rv": 0, "start": "a"})).contains("incorrect"));
        assert!(decode("?", prefix).is_err() && decode(&"a".repeat(5000), prefix).is_err());
    }
}
