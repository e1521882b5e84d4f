//! `/openapi/v2` and `/openapi/v3`: the documents that `machinery` makes, with what lets clients keep them.
use crate::encode::header;
use crate::encode::object::{GZIP_FROM_BYTES, gzip};
use crate::request::call::Answer;
use crate::request::query::Query;
use bytes::Bytes;
use client::Body;
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode, header as names};
use machinery::openapi;
use machinery::status::{Reason, Status};

/// `None`: not one of its paths.
pub fn answer(parts: &Parts, query: &Query) -> Option<Answer> {
    let path = parts.uri.path().trim_end_matches('/');
    if path == "/openapi/v2" {
        return Some(acceptable(&parts.headers).map(|()| document(parts, openapi::v2(), &openapi::hash("v2"), None)));
    }
    let rest = path.strip_prefix("/openapi/v3")?;
    if rest.is_empty() {
        let index = openapi::index().to_string().into_bytes();
        return Some(Ok(document(parts, index, &openapi::hash(""), None)));
    }
    let name = rest.strip_prefix('/')?;
    if !openapi::document_paths().iter().any(|path| path == name) {
        return None;
    }
    let hash = openapi::hash(name);
    if query.get("hash").is_some_and(|asked| asked != hash) {
        return Some(Ok(moved(&parts.uri, &hash)));
    }
    if let Err(status) = acceptable(&parts.headers) {
        return Some(Err(status));
    }
    let forever = query.get("hash").map(|_| "public, immutable");
    Some(Ok(document(parts, openapi::document(name)?, &hash, forever)))
}

/// The documents exist as JSON only.
fn acceptable(headers: &HeaderMap) -> Result<(), Status> {
    let Some(accept) = headers.get(names::ACCEPT).and_then(|value| value.to_str().ok()) else { return Ok(()) };
    let json =
        |clause: &str| matches!(clause.split(';').next().unwrap_or_default().trim(), "application/json" | "*/*" | "application/*" | "");
    if accept.split(',').any(json) {
        return Ok(());
    }
    Err(Status::new(Reason::NotAcceptable, "only the following media types are accepted: application/json"))
}

fn document(parts: &Parts, json: Vec<u8>, hash: &str, forever: Option<&str>) -> Response<Body> {
    let tag = format!("\"{hash}\"");
    let known = parts.headers.get(names::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let zips = parts.headers.get(names::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("gzip"));
    let mut bytes = Bytes::from(json);
    let zip = zips && !known && bytes.len() >= GZIP_FROM_BYTES;
    if zip {
        bytes = gzip(&bytes);
    }
    let mut response = Response::new(if known { Body::Empty } else { Body::Full(bytes) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    if zip {
        header(&mut response, "content-encoding", "gzip");
    }
    header(&mut response, "content-type", "application/json");
    header(&mut response, "etag", &tag);
    header(&mut response, "vary", "Accept, Accept-Encoding");
    if let Some(forever) = forever {
        header(&mut response, "cache-control", forever);
    }
    response
}

/// A document has changed since the client read the index.
fn moved(uri: &http::Uri, hash: &str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    header(&mut response, "location", &format!("{}?hash={hash}", uri.path()));
    response
}
