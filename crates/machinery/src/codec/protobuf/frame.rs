//! Lists and watch events around objects that are already encoded: no object is encoded twice.
use super::encode::Backward;
use super::{BYTES, MAGIC, unknown};
use crate::schema::lookup;
use serde_json::Value;

/// The message inside an object's envelope (what `encode` gave).
pub fn unwrapped(envelope: &[u8]) -> Option<&[u8]> {
    super::decode::Envelope::read(envelope).ok().map(|envelope| envelope.raw)
}

/// A list with its items left out: `head`, then per item `list_item` and the item's message (`unwrapped`), then `tail`.
pub struct ListFrame {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
}

impl ListFrame {
    /// `metadata` is the list's `metadata`; `items` gives the length of every item's message.
    pub fn new(api_version: &str, kind: &str, metadata: &Value, items: impl Iterator<Item = usize>) -> ListFrame {
        let items_size: usize = items.map(|size| list_item(size).len() + size).sum();
        let list_meta = lookup("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta").expect("the table knows list metadata");
        let mut meta = Backward::default();
        meta.nested(1, |out| {
            if let Some(metadata) = metadata.as_object() {
                out.message(metadata, list_meta);
            }
        });
        let meta = meta.finish();
        let mut head = Backward::default();
        head.raw(&meta);
        head.varint((meta.len() + items_size) as u64);
        head.tag(unknown::RAW, BYTES);
        head.type_meta(api_version, kind);
        head.raw(MAGIC);
        let mut tail = Backward::default();
        tail.string(unknown::CONTENT_TYPE, "");
        tail.string(unknown::CONTENT_ENCODING, "");
        ListFrame { head: head.finish(), tail: tail.finish() }
    }
}

/// What stands in a list before an item's message of that size.
pub fn list_item(size: usize) -> Vec<u8> {
    let mut out = Backward::default();
    out.varint(size as u64);
    out.tag(2, BYTES);
    out.finish()
}

/// One event of a `stream=watch` answer: its length in four bytes, then a `WatchEvent` without envelope around the object with its
/// envelope. `kind` is `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
pub fn watch_frame(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut out = Backward::default();
    out.nested(2, |out| out.bytes(1, object));
    out.string(1, kind);
    let mut event = out.finish();
    let mut frame = Vec::with_capacity(event.len() + 4);
    frame.extend_from_slice(&(event.len() as u32).to_be_bytes());
    frame.append(&mut event);
    frame
}
