//! Failures as answers.
use super::header;
use super::media::{Accept, Media};
use super::wire;
use client::Body;
use http::{HeaderMap, Response, StatusCode};
use machinery::status::{Reason, Status};

/// A failure in the form that the client accepts.
pub fn refusal(headers: &HeaderMap, status: &Status) -> Response<Body> {
    let mut response = value_of(headers, status.code, status.to_value());
    if let Some(details) = status.details.as_ref().filter(|details| details.retry_after_seconds > 0) {
        header(&mut response, "retry-after", &details.retry_after_seconds.to_string());
    }
    if status.reason == Reason::Unauthorized {
        header(&mut response, "www-authenticate", "Bearer");
    }
    response
}

/// A `Status` that is already a value (one with list metadata, a success).
pub fn value_of(headers: &HeaderMap, code: u16, value: serde_json::Value) -> Response<Body> {
    let accept = Accept::plain(headers);
    let (media, bytes) = match wire::encode_value(&value, accept.media, accept.pretty) {
        Ok(bytes) => (accept.media, bytes),
        Err(_) => (Media::Json, serde_json::to_vec(&value).unwrap_or_default().into()),
    };
    let mut response = Response::new(Body::Full(bytes));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    header(&mut response, "content-type", media.content_type());
    response
}
