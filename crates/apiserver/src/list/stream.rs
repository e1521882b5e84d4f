//! Lists as bytes: a head, the stored bytes of each object, a tail; in chunks, so that a large list never stands in memory whole.
use super::Page;
use crate::encode::media::{Accept, Media};
use crate::encode::object::{GZIP_FROM_BYTES, finish};
use crate::encode::{header, wire};
use crate::kinds::Served;
use crate::request::call::{Answer, Call};
use bytes::{Bytes, BytesMut};
use client::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt;
use http::StatusCode;
use machinery::object::Stored;
use machinery::status::Status;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;

/// Objects are put together into chunks of about this size.
const CHUNK_BYTES: usize = 128 << 10;

pub fn answer(call: &Call, accept: &Accept, page: Page, metadata: Value) -> Answer {
    let objects = match call.served.hub {
        None => page.objects,
        Some(_) => page.objects.iter().map(|stored| call.served.stored(stored)).collect::<Result<_, _>>()?,
    };
    let pieces = match accept.media {
        Media::Protobuf => protobuf(&call.served, &objects, metadata)?,
        Media::Json if !accept.pretty => json_pieces(&call.served, objects, &metadata),
        media => return whole(call, accept, &objects, metadata, media),
    };
    let size: usize = pieces.size;
    let mut response = if accept.gzip && size >= GZIP_FROM_BYTES {
        let mut response = finish(call, StatusCode::OK, Body::Stream(zipped(pieces).boxed()));
        header(&mut response, "content-encoding", "gzip");
        header(&mut response, "vary", "Accept-Encoding");
        response
    } else if size <= CHUNK_BYTES {
        let bytes = pieces.chunks().next().unwrap_or_default();
        finish(call, StatusCode::OK, Body::Full(bytes))
    } else {
        let body = futures::stream::iter(pieces.chunks().map(Ok)).boxed();
        let mut response = finish(call, StatusCode::OK, Body::Stream(body));
        header(&mut response, "content-length", &size.to_string());
        response
    };
    header(&mut response, "content-type", accept.media.content_type());
    Ok(response)
}

/// YAML and indented JSON need the whole.
fn whole(call: &Call, accept: &Accept, objects: &[Arc<Stored>], metadata: Value, media: Media) -> Answer {
    let items = objects.iter().map(|stored| wire::value(stored)).collect::<Result<Vec<_>, _>>()?;
    let names = call.served.kind.names();
    let list = json!({"kind": format!("{}List", names.kind), "apiVersion": names.api_version(), "metadata": metadata, "items": items});
    let bytes = wire::encode_value(&list, media, accept.pretty)?;
    Ok(crate::encode::object::bytes_answer(call, StatusCode::OK, accept, bytes))
}

/// What a list consists of: bytes that are shared with the store, between few that are not.
struct Pieces {
    parts: Vec<Bytes>,
    size: usize,
}

impl Pieces {
    fn new(parts: Vec<Bytes>) -> Pieces {
        Pieces { size: parts.iter().map(Bytes::len).sum(), parts }
    }

    /// Chunks of a good size; the last may be smaller.
    fn chunks(self) -> impl Iterator<Item = Bytes> + Send {
        let mut parts = self.parts.into_iter();
        std::iter::from_fn(move || {
            let mut chunk = BytesMut::new();
            while chunk.len() < CHUNK_BYTES {
                let Some(part) = parts.next() else { break };
                chunk.extend_from_slice(&part);
            }
            (!chunk.is_empty()).then(|| chunk.freeze())
        })
    }
}

fn json_pieces(served: &Served, objects: Vec<Arc<Stored>>, metadata: &Value) -> Pieces {
    let names = served.kind.names();
    let head = format!("{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[", names.kind, names.api_version());
    // Items of a list do not repeat what kind they are.
    let prefix = format!("{{\"apiVersion\":\"{}\",\"kind\":\"{}\",", names.api_version(), names.kind);
    let (comma, brace) = (Bytes::from_static(b",{"), Bytes::from_static(b"{"));
    let mut parts = Vec::with_capacity(objects.len() * 2 + 2);
    parts.push(Bytes::from(head));
    for (index, stored) in objects.iter().enumerate() {
        let skip = if stored.json.starts_with(prefix.as_bytes()) { prefix.len() } else { 1 };
        parts.push(if index == 0 { brace.clone() } else { comma.clone() });
        parts.push(stored.json.slice(skip..));
    }
    parts.push(Bytes::from_static(b"]}\n"));
    Pieces::new(parts)
}

fn protobuf(served: &Served, objects: &[Arc<Stored>], metadata: Value) -> Result<Pieces, Status> {
    let names = served.kind.names();
    let items = objects.iter().map(|stored| wire::protobuf(stored)).collect::<Result<Vec<_>, _>>()?;
    wire::protobuf_list(&names.api_version(), &format!("{}List", names.kind), &metadata, &items).map(Pieces::new)
}

/// Compresses chunk by chunk.
fn zipped(pieces: Pieces) -> impl futures::Stream<Item = Result<Bytes, client::body::BoxError>> + Send {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    futures::stream::unfold((Some(encoder), pieces.chunks()), |(encoder, mut chunks)| async move {
        let mut encoder = encoder?;
        loop {
            let Some(chunk) = chunks.next() else {
                let rest = encoder.finish().map(Bytes::from).map_err(Into::into);
                return Some((rest, (None, chunks)));
            };
            if let Err(error) = encoder.write_all(&chunk) {
                return Some((Err(error.into()), (None, chunks)));
            }
            if !encoder.get_ref().is_empty() {
                let ready = std::mem::take(encoder.get_mut());
                return Some((Ok(ready.into()), (Some(encoder), chunks)));
            }
        }
    })
}
