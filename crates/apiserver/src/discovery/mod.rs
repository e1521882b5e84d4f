//! Discovery: what is served, in the legacy documents and in the aggregated one. Built once from the kinds; nothing here is
//! written down twice.
pub mod aggregated;
pub mod legacy;

use crate::encode::media::{Accept, Media, Offer, Shape};
use crate::encode::{header, wire};
use crate::request::call::Answer;
use crate::request::query::Query;
use crate::server::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::Body;
use http::request::Parts;
use http::{Method, Response, StatusCode, header as names};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// `None`: no discovery document has this path.
pub fn answer(state: &State, parts: &Parts, query: &Query) -> Option<Answer> {
    let path = parts.uri.path().trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let kinds = &state.config.kinds;
    let document = match segments.as_slice() {
        ["api"] => legacy::versions(&format!("{}:{}", state.config.advertise_address, state.config.secure_port)),
        ["apis"] => legacy::groups(kinds),
        ["api", version] => legacy::resources(kinds, "", version)?,
        ["apis", group] => legacy::group(kinds, group)?,
        ["apis", group, version] => legacy::resources(kinds, group, version)?,
        _ => return None,
    };
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Some(Err(crate::server::flow::method_not_allowed()));
    }
    let offer = if segments.len() == 1 { Offer::Discovery } else { Offer::Plain };
    Some(Accept::negotiate(&parts.headers, query.flag("pretty"), offer).and_then(|accept| match &accept.shape {
        Shape::Discovery(version) => {
            let document = aggregated::document(kinds, segments[0] == "api", version);
            let media = format!("{};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList", accept.media.content_type());
            tagged(parts, &accept, &document, &media)
        }
        _ => plain(&accept, &document, accept.media.content_type()),
    }))
}

fn plain(accept: &Accept, document: &Value, media: &str) -> Answer {
    let bytes = wire::encode_value(document, accept.media, accept.pretty)?;
    let mut response = Response::new(Body::Full(bytes));
    header(&mut response, "content-type", media);
    Ok(response)
}

/// With a tag, so that clients that have the document already do not get it again.
fn tagged(parts: &Parts, accept: &Accept, document: &Value, media: &str) -> Answer {
    let json = wire::encode_value(document, Media::Json, false)?;
    let tag = format!("\"{}\"", STANDARD.encode(&Sha256::digest(&json)[..16]));
    let known = parts.headers.get(names::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = match known {
        true => Response::new(Body::Empty),
        false => plain(accept, document, media)?,
    };
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    header(&mut response, "etag", &tag);
    header(&mut response, "vary", "Accept");
    Ok(response)
}
