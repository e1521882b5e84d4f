//! Answers with one object.
use super::media::{Accept, Offer, Shape};
use super::{header, partial, wire};
use crate::request::call::{Answer, Call};
use bytes::Bytes;
use client::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Response, StatusCode};
use machinery::object::{AnyObject, Stored};
use machinery::status::{Reason, Status};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;

/// Answers smaller than this are not worth compressing.
pub const GZIP_FROM_BYTES: usize = 128 << 10;

/// A stored object, in whatever version and shape the client asked for.
pub fn stored(call: &Call, code: StatusCode, object: &Arc<Stored>) -> Answer {
    let accept = call.accept(Offer::Objects)?;
    let object = call.served.stored(object)?;
    if call.in_process && accept.shape == Shape::Own {
        return Ok(finish(call, code, Body::Object(object)));
    }
    let bytes = match &accept.shape {
        Shape::Table(version) => {
            let metadata = json!({"resourceVersion": object.revision.to_string()});
            let include = partial::include(&call.query)?;
            let now = call.state.config.clock.now();
            let kind = KindOnly(call);
            let table = kind.table(&object, metadata, version, include, now)?;
            wire::encode_value(&table, accept.media, accept.pretty)?
        }
        Shape::PartialList(_) => {
            let why = "the requested object is not a list";
            return Err(misshapen(call, "PartialObjectMetadataList", why, ""));
        }
        Shape::Partial(version) => {
            let object = decode(call, &object)?;
            wire::encode_value(&machinery::table::partial(&*object, version), accept.media, accept.pretty)?
        }
        Shape::Own | Shape::Discovery(_) => wire::encode_stored(&object, accept.media, accept.pretty)?,
    };
    Ok(bytes_answer(call, code, &accept, bytes))
}

/// A transformation that fits lists only, or objects only.
pub fn misshapen(call: &Call, wanted: &str, why: &str, suffix: &str) -> Status {
    let kind = call.served.kind.names().kind;
    Status::new(Reason::NotAcceptable, format!("you requested {wanted}, but {why} (*core.{kind}{suffix})"))
}

/// The object is in the asked version here, so it is read by the asked kind alone.
struct KindOnly<'a>(&'a Call);

impl KindOnly<'_> {
    fn table(
        &self,
        object: &Arc<Stored>,
        metadata: Value,
        version: &str,
        include: machinery::table::Include,
        now: jiff::Timestamp,
    ) -> Result<Value, Status> {
        let kind = &*self.0.served.kind;
        let row = machinery::table::row(kind, &*decode(self.0, object)?, include, version, now);
        Ok(machinery::table::table(version, metadata, Some(machinery::table::definitions(kind)), vec![row]))
    }
}

fn decode(call: &Call, object: &Stored) -> Result<Arc<dyn AnyObject>, Status> {
    call.served.kind.shared(object)
}

/// An object that is not stored (dry run), in the asked version.
pub fn unstored(call: &Call, code: StatusCode, object: &dyn AnyObject) -> Answer {
    let revision = object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0);
    let made = Arc::new(Stored::new("".into(), object.to_json().into(), 0, revision, revision));
    let accept = call.accept(Offer::Objects)?;
    if call.in_process {
        return Ok(finish(call, code, Body::Object(made)));
    }
    let bytes = match accept.shape {
        Shape::Own => wire::encode_stored(&made, accept.media, accept.pretty)?,
        Shape::Table(version) => {
            let include = partial::include(&call.query)?;
            let table = KindOnly(call).table(&made, json!({}), &version, include, call.state.config.clock.now())?;
            wire::encode_value(&table, accept.media, accept.pretty)?
        }
        _ => wire::encode_value(&machinery::table::partial(object, "v1"), accept.media, accept.pretty)?,
    };
    let accept = call.accept(Offer::Objects)?;
    Ok(bytes_answer(call, code, &accept, bytes))
}

/// A value that is no object of the resource's kind: a Status, a Scale, a review.
pub fn value(call: &Call, code: StatusCode, value: &Value) -> Answer {
    if call.in_process {
        return Ok(finish(call, code, Body::json(value)));
    }
    let accept = call.accept(Offer::Objects).or_else(|_| call.accept(Offer::Plain))?;
    let bytes = wire::encode_value(value, accept.media, accept.pretty)?;
    Ok(bytes_answer(call, code, &accept, bytes))
}

pub fn bytes_answer(call: &Call, code: StatusCode, accept: &Accept, bytes: Bytes) -> Response<Body> {
    let (bytes, zipped) = if accept.gzip && bytes.len() >= GZIP_FROM_BYTES { (gzip(&bytes), true) } else { (bytes, false) };
    let mut response = finish(call, code, Body::Full(bytes));
    header(&mut response, "content-type", accept.media.content_type());
    if zipped {
        header(&mut response, "content-encoding", "gzip");
        header(&mut response, "vary", "Accept-Encoding");
    }
    response
}

pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    match encoder.write_all(bytes).and_then(|()| encoder.finish()) {
        Ok(zipped) => zipped.into(),
        Err(_) => Bytes::copy_from_slice(bytes),
    }
}

/// Status code and warnings.
pub fn finish(call: &Call, code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    warn(call, &mut response);
    response
}

pub fn warn(call: &Call, response: &mut Response<Body>) {
    for warning in call.warnings.take() {
        let text: String = warning.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = http::HeaderValue::from_bytes(format!("299 - \"{text}\"").as_bytes()) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
}
