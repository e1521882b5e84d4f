//! Events as bytes: JSON lines, or length-prefixed protobuf. Neighbouring events leave together.
use super::feed::Feed;
use crate::encode::media::{Accept, Media, Shape};
use crate::encode::wire;
use crate::request::call::Call;
use bytes::{BufMut, Bytes, BytesMut};
use client::body::BoxError;
use machinery::object::{Event, EventKind};
use machinery::status::Status;
use machinery::table::{self, Include};
use serde_json::{Value, json};
use std::sync::Arc;

pub struct Framer {
    call: Arc<Call>,
    media: Media,
    shape: Shape,
    include: Include,
    /// Tables tell their columns once.
    told_columns: bool,
}

impl Framer {
    pub fn new(call: Arc<Call>, accept: &Accept, include: Include) -> Framer {
        Framer { call, media: accept.media, shape: accept.shape.clone(), include, told_columns: false }
    }

    fn batch(&mut self, events: &[Event]) -> Result<Bytes, Status> {
        let size: usize = events.iter().map(|event| event.object.json.len() + 48).sum();
        let mut out = BytesMut::with_capacity(size);
        for event in events {
            self.event(event, &mut out)?;
        }
        Ok(out.freeze())
    }

    fn event(&mut self, event: &Event, out: &mut BytesMut) -> Result<(), Status> {
        let name = event_name(event.kind);
        let shaped = self.shaped(event)?;
        match (self.media, shaped) {
            (Media::Protobuf, None) if event.kind != EventKind::Bookmark => frame_protobuf(name, &wire::protobuf(&event.object)?, out),
            (Media::Protobuf, shaped) => {
                let value = shaped.map_or_else(|| wire::value(&event.object), Ok)?;
                frame_protobuf(name, &wire::encode_value(&value, Media::Protobuf, false)?, out)
            }
            (_, None) => frame_json(name, &event.object.json, out),
            (_, Some(value)) => frame_json(name, value.to_string().as_bytes(), out),
        }
        Ok(())
    }

    /// The transformed object, if the client asked for a transformation.
    fn shaped(&mut self, event: &Event) -> Result<Option<Value>, Status> {
        let kind = &*self.call.served.kind;
        if matches!(self.shape, Shape::Own | Shape::Discovery(_)) {
            return Ok(None);
        }
        let object = kind.shared(&event.object)?;
        Ok(Some(match &self.shape {
            Shape::Table(version) => {
                let now = self.call.state.config.clock.now();
                let mut row = table::row(kind, &*object, self.include, version, now);
                if event.kind == EventKind::Bookmark {
                    row["cells"] = json!(kind.columns().iter().map(|_| "").collect::<Vec<_>>());
                }
                let columns = (!self.told_columns).then(|| table::definitions(kind));
                self.told_columns = true;
                table::table(version, json!({"resourceVersion": event.object.revision.to_string()}), columns, vec![row])
            }
            Shape::Partial(version) | Shape::PartialList(version) => table::partial(&*object, version),
            Shape::Own | Shape::Discovery(_) => return Ok(None),
        }))
    }

    fn error(&self, status: &Status) -> Bytes {
        let mut out = BytesMut::new();
        let value = status.to_value();
        match (self.media, wire::encode_value(&value, Media::Protobuf, false)) {
            (Media::Protobuf, Ok(bytes)) => frame_protobuf("ERROR", &bytes, &mut out),
            _ => frame_json("ERROR", value.to_string().as_bytes(), &mut out),
        }
        out.freeze()
    }
}

fn event_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Added => "ADDED",
        EventKind::Modified => "MODIFIED",
        EventKind::Deleted => "DELETED",
        EventKind::Bookmark => "BOOKMARK",
    }
}

fn frame_json(name: &str, object: &[u8], out: &mut BytesMut) {
    out.put_slice(b"{\"type\":\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
}

/// `WatchEvent { type = 1, object = 2 { raw = 1 } }` behind its length in four bytes.
fn frame_protobuf(name: &str, object: &[u8], out: &mut BytesMut) {
    let raw_size = 1 + varint_size(object.len()) + object.len();
    let size = 1 + varint_size(name.len()) + name.len() + 1 + varint_size(raw_size) + raw_size;
    out.put_u32(size as u32);
    out.put_u8(0x0a);
    put_varint(name.len(), out);
    out.put_slice(name.as_bytes());
    out.put_u8(0x12);
    put_varint(raw_size, out);
    out.put_u8(0x0a);
    put_varint(object.len(), out);
    out.put_slice(object);
}

pub fn put_varint(mut value: usize, out: &mut BytesMut) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub fn varint_size(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// The body of a watch: one chunk per batch; a failure is an `ERROR` event and the end.
pub fn frames(feed: Feed, framer: Framer) -> impl futures::Stream<Item = Result<Bytes, BoxError>> + Send {
    futures::stream::unfold(Some((feed, framer)), |state| async move {
        let (mut feed, mut framer) = state?;
        let batch = feed.next().await?;
        match batch.and_then(|events| framer.batch(&events)) {
            Ok(bytes) => Some((Ok(bytes), Some((feed, framer)))),
            Err(status) => Some((Ok(framer.error(&status)), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::object::Stored;

    #[test]
    fn lengths_are_what_they_say() {
        for length in [0usize, 1, 127, 128, 16383, 16384, 1 << 21] {
            let mut out = BytesMut::new();
            put_varint(length, &mut out);
            assert_eq!(out.len(), varint_size(length), "{length}");
        }
        let mut out = BytesMut::new();
        frame_protobuf("ADDED", &[7; 300], &mut out);
        assert_eq!(u32::from_be_bytes(out[..4].try_into().unwrap()) as usize, out.len() - 4);
    }

    #[test]
    fn json_frames_are_lines() {
        let stored = Stored::new("".into(), Bytes::from_static(b"{}"), 0, 1, 1);
        let mut out = BytesMut::new();
        frame_json("ADDED", &stored.json, &mut out);
        assert_eq!(&out[..], b"{\"type\":\"ADDED\",\"object\":{}}\n");
    }
}
