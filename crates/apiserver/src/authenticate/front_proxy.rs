//! Users that an authenticating proxy tells of in headers. Believed only from a certificate of the front-proxy authority.
use super::x509::ClientCa;
use crate::request::PeerCertificates;
use client::Identity;
use http::HeaderMap;
use percent_encoding::percent_decode_str;

const EXTRA: &str = "x-remote-extra-";

#[derive(Clone, Debug)]
pub struct FrontProxy {
    pub ca: ClientCa,
    /// The CNs that may speak for others; empty: all.
    pub names: Vec<String>,
}

impl FrontProxy {
    pub fn user(&self, peer: &PeerCertificates, headers: &HeaderMap) -> Option<Identity> {
        // Nobody pays for a signature who does not claim to be a proxy.
        let user = text(headers, "x-remote-user")?;
        let proxy = self.ca.verified(peer)?;
        if !self.names.is_empty() && !self.names.contains(&proxy.subject.user) {
            return None;
        }
        let all = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(String::from).collect();
        let mut found =
            Identity { user, uid: text(headers, "x-remote-uid").unwrap_or_default(), groups: all("x-remote-group"), ..Identity::default() };
        for (name, value) in headers {
            let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) else { continue };
            found.extra.entry(extra_key(key)).or_default().push(value.into());
        }
        Some(found)
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().filter(|value| !value.is_empty()).map(String::from)
}

/// Keys of extras come in lower case, with percent signs for what cannot stand in a header's name.
pub fn extra_key(name: &str) -> String {
    let name = name.to_lowercase();
    percent_decode_str(&name).decode_utf8().map(|key| key.into_owned()).unwrap_or(name)
}
