//! YAML as the original takes it: turned into JSON first, with the plain words of YAML 1.1 (`yes`, `on`, `0x1f`) and merge keys.
//! Only the first document is read.
mod emit;
mod read;
mod scalar;

pub use emit::encode;

use super::{DecodeError, json};
use crate::schema::Message;
use serde_json::Value;

/// Nodes that a body may become, aliases expanded.
pub const NODES_MAX: usize = 500_000;

/// As `json::decode`; duplicate keys are told in YAML's own words.
pub fn decode(body: &[u8], message: &Message, strict: bool) -> Result<(Value, Vec<String>), DecodeError> {
    let (value, duplicates) = decode_any(body, strict)?;
    let json = serde_json::to_vec(&value).map_err(|error| DecodeError::Unreadable(error.to_string()))?;
    let (value, problems) = json::decode(&json, message, strict)?;
    Ok((value, duplicates.into_iter().chain(problems).collect()))
}

/// Any YAML as a JSON value; nulls stay.
pub fn decode_any(body: &[u8], strict: bool) -> Result<(Value, Vec<String>), DecodeError> {
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::Unreadable("yaml: invalid UTF-8".into()))?;
    let (value, duplicates) = read::read(text).map_err(DecodeError::Unreadable)?;
    let told = strict && !duplicates.is_empty();
    Ok((value, if told { vec![format!("yaml: unmarshal errors:\n  {}", duplicates.join("\n  "))] } else { Vec::new() }))
}
