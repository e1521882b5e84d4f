//! Values and stored objects as bytes of a media type.
use super::media::Media;
use bytes::Bytes;
use machinery::codec::{protobuf, yaml};
use machinery::object::Stored;
use machinery::schema::{self, Message};
use machinery::status::{Reason, Status};
use serde_json::Value;

/// A whole object with its `apiVersion` and `kind`.
pub fn encode_value(value: &Value, media: Media, pretty: bool) -> Result<Bytes, Status> {
    match media {
        Media::Json if pretty => {
            let mut text = serde_json::to_vec_pretty(value).map_err(Status::internal)?;
            text.push(b'\n');
            Ok(text.into())
        }
        Media::Json => serde_json::to_vec(value).map(Bytes::from).map_err(Status::internal),
        Media::Yaml => Ok(yaml::encode(value).into_bytes().into()),
        Media::Protobuf => encode_protobuf(value),
    }
}

/// The bytes of an object that is stored in the version asked for.
pub fn encode_stored(stored: &Stored, media: Media, pretty: bool) -> Result<Bytes, Status> {
    match media {
        Media::Json if !pretty => Ok(stored.json.clone()),
        Media::Protobuf => protobuf(stored),
        _ => encode_value(&value(stored)?, media, pretty),
    }
}

pub fn value(stored: &Stored) -> Result<Value, Status> {
    serde_json::from_slice(&stored.json).map_err(Status::internal)
}

/// With its envelope, encoded once. Empty bytes are remembered as "there is none".
pub fn protobuf(stored: &Stored) -> Result<Bytes, Status> {
    let encode = |json: &[u8]| {
        let value = serde_json::from_slice(json).ok();
        value.and_then(|value| encode_protobuf(&value).ok()).unwrap_or_default()
    };
    let bytes = stored.protobuf(encode);
    if bytes.is_empty() { Err(no_protobuf()) } else { Ok(bytes) }
}

fn encode_protobuf(value: &Value) -> Result<Bytes, Status> {
    let message = message_of(value).ok_or_else(no_protobuf)?;
    protobuf::encode(value, message).map(Bytes::from).ok_or_else(no_protobuf)
}

/// The schema of an object by what it says of itself.
fn message_of(value: &Value) -> Option<&'static Message> {
    let (version, kind) = (value["apiVersion"].as_str().unwrap_or("v1"), value["kind"].as_str()?);
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    schema::for_gvk(group, version, kind).or_else(|| schema::lookup(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")))
}

fn no_protobuf() -> Status {
    let accepted = "application/json, application/yaml";
    Status::new(Reason::NotAcceptable, format!("only the following media types are accepted: {accepted}"))
}

/// A list from the (enveloped) forms of its items: the parts of the body in order.
pub fn protobuf_list(api_version: &str, kind: &str, metadata: &Value, items: &[Bytes]) -> Result<Vec<Bytes>, Status> {
    let raw = |item: &Bytes| protobuf::unwrapped(item).map(|raw| item.slice_ref(raw)).ok_or_else(no_protobuf);
    let items = items.iter().map(raw).collect::<Result<Vec<_>, _>>()?;
    let frame = protobuf::ListFrame::new(api_version, kind, metadata, items.iter().map(Bytes::len));
    let mut parts = Vec::with_capacity(items.len() * 2 + 2);
    parts.push(Bytes::from(frame.head));
    for item in items {
        parts.push(protobuf::list_item(item.len()).into());
        parts.push(item);
    }
    parts.push(frame.tail.into());
    Ok(parts)
}
