//! Values and stored objects as bytes of a media type.
use super::media::Media;
use bytes::Bytes;
use machinery::object::Stored;
use machinery::status::Status;
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
        Media::Yaml => codec_yaml(value),
        Media::Protobuf => codec_protobuf(value),
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

/// With its envelope, encoded once.
pub fn protobuf(stored: &Stored) -> Result<Bytes, Status> {
    let mut failed = None;
    let bytes =
        stored.protobuf(|json| match serde_json::from_slice(json).map_err(Status::internal).and_then(|value| codec_protobuf(&value)) {
            Ok(bytes) => bytes,
            Err(status) => {
                failed = Some(status);
                Bytes::new()
            }
        });
    match failed {
        Some(status) => Err(status),
        None if bytes.is_empty() => Err(Status::internal("this object has no protobuf form")),
        None => Ok(bytes),
    }
}

fn codec_yaml(value: &Value) -> Result<Bytes, Status> {
    serde_json::to_vec_pretty(value).map(Bytes::from).map_err(Status::internal)
}

fn codec_protobuf(_value: &Value) -> Result<Bytes, Status> {
    Err(Status::internal("no protobuf yet"))
}

/// A list from the (enveloped) forms of its items: the parts of the body in order.
pub fn protobuf_list(api_version: &str, kind: &str, metadata: &Value, items: &[Bytes]) -> Result<Vec<Bytes>, Status> {
    let _ = (api_version, kind, metadata, items);
    Err(Status::internal("no protobuf yet"))
}
