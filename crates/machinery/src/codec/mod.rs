//! Objects on the wire: JSON, YAML and protobuf in, one pruned JSON value out, and back. Everything follows the schema table.
//! What never happens here: defaulting, validation of values, knowledge of a single kind.
pub mod json;
pub mod protobuf;
pub mod time;
mod token;
pub mod yaml;

use crate::schema::Message;
use crate::status::Status;
use serde_json::Value;

/// Objects and lists inside each other; deeper bodies are refused (`serde_json` would not read them back).
pub const DEPTH_MAX: usize = 120;
/// Unknown or duplicate fields told of one body.
pub const PROBLEMS_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Protobuf,
}

/// The `fieldValidation` of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

#[derive(Debug, PartialEq)]
pub struct Decoded {
    /// The object with what its schema knows, zero values left out where the original leaves them out.
    pub value: Value,
    /// Under `Warn`: a text per unknown or duplicate field, for `Warning` headers.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not even readable: what the body wants to be is unknown.
    #[error("{0}")]
    Unreadable(String),
    /// Readable, but something in it has the wrong type.
    #[error("{0}")]
    WrongType(String),
    /// Unknown or duplicate fields under `Strict`.
    #[error("strict decoding error: {}", .0.join(", "))]
    Strict(Vec<String>),
}

impl DecodeError {
    /// The 400 that a client gets. `kind` and `version` are what was expected.
    pub fn into_status(self, kind: &str, version: &str, body: &[u8]) -> Status {
        Status::bad_request(match &self {
            DecodeError::Unreadable(_) => {
                format!("the object provided is unrecognized (must be of type {kind}): {self} ({})", summary(body))
            }
            _ => format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {self}"),
        })
    }
}

/// The first bytes of a body, readable if it looks like JSON.
fn summary(body: &[u8]) -> String {
    const SHOWN_MAX: usize = 30;
    let (head, more) = if body.len() > SHOWN_MAX { (&body[..SHOWN_MAX], " ...") } else { (body, "") };
    match body.first() {
        None => "<empty>".into(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => format!("{}{more}", head.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

/// Reads an object of a known kind.
pub fn decode(body: &[u8], format: Format, message: &Message, validation: Validation) -> Result<Decoded, DecodeError> {
    let strict = validation != Validation::Ignore;
    let (value, problems) = match format {
        Format::Json => json::decode(body, message, strict)?,
        Format::Yaml => yaml::decode(body, message, strict)?,
        Format::Protobuf => (protobuf::decode(body, message)?, Vec::new()),
    };
    match validation {
        Validation::Strict if !problems.is_empty() => Err(DecodeError::Strict(problems)),
        _ => Ok(Decoded { value, warnings: problems }),
    }
}

/// Reads anything, for kinds without a message and for patches: nothing is pruned, nulls stay. Protobuf cannot carry it.
pub fn decode_any(body: &[u8], format: Format, validation: Validation) -> Result<Decoded, DecodeError> {
    let strict = validation != Validation::Ignore;
    let (value, problems) = match format {
        Format::Json => json::decode_any(body, strict)?,
        Format::Yaml => yaml::decode_any(body, strict)?,
        Format::Protobuf => return Err(DecodeError::Unreadable("protobuf needs a known kind".into())),
    };
    match validation {
        Validation::Strict if !problems.is_empty() => Err(DecodeError::Strict(problems)),
        _ => Ok(Decoded { value, warnings: problems }),
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
