//! The last step: objects, lists, events and failures as bytes of the form that the client accepts, or as they are for callers in
//! the same process. Stored bytes are handed out, not encoded again.
pub mod media;
pub mod object;
pub mod partial;
pub mod revision;
pub mod status;
pub mod wire;

use client::Body;
use http::{HeaderName, HeaderValue, Response};

/// Sets a header whose value may come from elsewhere; one that cannot be sent is left out.
pub fn header(response: &mut Response<Body>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
}
