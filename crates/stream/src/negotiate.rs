//! Which protocol a request and this server both speak, by the request's headers alone. Refusals carry the original's words.
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, Response, StatusCode};

pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
pub const ACCEPTED_VERSIONS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");
const SPDY: &str = "SPDY/3.1";

/// Why a request is not upgraded, and what to answer it with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    pub status: StatusCode,
    pub text: String,
    /// The versions that would have been accepted, each a header `X-Accepted-Stream-Protocol-Versions`.
    pub accepted: &'static [&'static str],
}

impl Refusal {
    fn bad_request(text: String) -> Refusal {
        Refusal { status: StatusCode::BAD_REQUEST, text, accepted: &[] }
    }

    pub fn response(&self) -> Response<String> {
        let mut response = Response::new(format!("{}\n", self.text));
        *response.status_mut() = self.status;
        for version in self.accepted {
            response.headers_mut().append(ACCEPTED_VERSIONS, http::HeaderValue::from_static(version));
        }
        response
    }
}

pub fn is_websocket(headers: &HeaderMap) -> bool {
    let websocket = headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    websocket && wants_upgrade(headers)
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    let says_so = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("upgrade"));
    headers.get_all(CONNECTION).iter().any(says_so)
}

/// The client's first protocol that is one of `spoken`, which may hold "" for a client that names none; and the answer.
pub fn websocket(headers: &HeaderMap, spoken: &[&'static str]) -> Result<(&'static str, Response<()>), Refusal> {
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::bad_request("missing or bad WebSocket Version".into()));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Refusal::bad_request("missing or bad challenge key".into()))?;
    let mut wanted = values(headers, &SEC_WEBSOCKET_PROTOCOL);
    if wanted.is_empty() {
        wanted.push("");
    }
    let Some(chosen) = choose(&wanted, spoken) else {
        let text = format!("requested protocol(s) are not supported: [{}]; supports [{}]", wanted.join(" "), spoken.join(" "));
        return Err(Refusal { status: StatusCode::FORBIDDEN, text, accepted: &[] });
    };
    let mut response = switching("websocket");
    let accept = crate::websocket::accept_key(key.as_bytes());
    if let Ok(accept) = accept.parse() {
        response.headers_mut().insert(http::header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if !chosen.is_empty() {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, http::HeaderValue::from_static(chosen));
    }
    Ok((chosen, response))
}

/// The client's first stream protocol that is one of `spoken`, and the answer that switches to SPDY.
pub fn spdy(headers: &HeaderMap, spoken: &'static [&'static str]) -> Result<(&'static str, Response<()>), Refusal> {
    if !headers.contains_key(PROTOCOL_VERSION) {
        let text = format!("unable to upgrade: header X-Stream-Protocol-Version does not exist in request with {} headers", headers.len());
        return Err(Refusal::bad_request(text));
    }
    let wanted = values(headers, &PROTOCOL_VERSION);
    if wanted.is_empty() {
        let text = "unable to upgrade: header X-Stream-Protocol-Version contains [], but no valid protocols".into();
        return Err(Refusal::bad_request(text));
    }
    let Some(chosen) = choose(&wanted, spoken) else {
        let (client, server) = (wanted.join(" "), spoken.join(" "));
        let text = format!("unable to upgrade: unable to negotiate protocol: client supports [{client}], server accepts [{server}]");
        return Err(Refusal { status: StatusCode::FORBIDDEN, text, accepted: spoken });
    };
    let says_spdy = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.to_ascii_uppercase().contains(SPDY));
    if !wants_upgrade(headers) || !headers.get(UPGRADE).is_some_and(says_spdy) {
        return Err(Refusal::bad_request("unable to upgrade: missing upgrade headers in request".into()));
    }
    let mut response = switching(SPDY);
    response.headers_mut().insert(PROTOCOL_VERSION, http::HeaderValue::from_static(chosen));
    Ok((chosen, response))
}

fn switching(protocol: &'static str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, http::HeaderValue::from_static(protocol));
    response
}

fn choose(wanted: &[&str], spoken: &[&'static str]) -> Option<&'static str> {
    wanted.iter().find_map(|one| spoken.iter().find(|ours| *ours == one).copied())
}

/// The values of all headers of the name, split at commas, without empty ones.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests;
