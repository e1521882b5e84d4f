//! From the body to a typed object with its defaults: read, checked against the path's kind, pruned.
use crate::encode::media::Media;
use crate::kinds::Served;
use crate::request::Options;
use crate::request::call::Call;
use crate::request::options::FieldValidation;
use machinery::codec::{self, DecodeError, Decoded, Format, Validation};
use machinery::object::AnyObject;
use machinery::schema;
use machinery::status::Status;
use serde_json::Value;

/// The object in the body, defaulted.
pub async fn object(call: &Call, options: &Options) -> Result<Box<dyn AnyObject>, Status> {
    let names = call.served.kind.names();
    let expected = Expected { group: names.group, version: names.version, kind: names.kind, schema: names.schema };
    let value = body(call, &expected, options.field_validation).await?;
    typed(&call.served, value)
}

/// What a body must be.
pub struct Expected<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    /// The message's name in the schema table.
    pub schema: &'a str,
}

/// The body as a pruned value of the expected kind; what strict reading has against it becomes warnings or an error.
pub async fn body(call: &Call, expected: &Expected<'_>, validation: FieldValidation) -> Result<Value, Status> {
    let media = Media::of_body(call.headers())?;
    let bytes = call.read_body().await?;
    let decoded = read(media, &bytes, expected.schema, codec_validation(validation));
    let decoded = decoded.map_err(|error| error.into_status(expected.kind, expected.version, &bytes))?;
    decoded.warnings.into_iter().for_each(|text| call.warnings.add(text));
    expect_kind(decoded.value, expected)
}

/// The body of a resource that is only answered.
pub async fn virtual_body(call: &Call) -> Result<Value, Status> {
    let names = call.served.kind.names();
    let expected = Expected { group: names.group, version: names.version, kind: names.kind, schema: names.schema };
    body(call, &expected, FieldValidation::Warn).await
}

/// A pruned value as an object with its defaults.
pub fn typed(served: &Served, value: Value) -> Result<Box<dyn AnyObject>, Status> {
    let mut object = served.kind.decode(value)?;
    served.kind.default(&mut *object);
    Ok(object)
}

/// Without a schema nothing is pruned.
pub fn read(media: Media, bytes: &[u8], schema: &str, validation: Validation) -> Result<Decoded, DecodeError> {
    let format = match media {
        Media::Json => Format::Json,
        Media::Yaml => Format::Yaml,
        Media::Protobuf => Format::Protobuf,
    };
    match schema::lookup(schema) {
        Some(message) => codec::decode(bytes, format, message, validation),
        None => codec::decode_any(bytes, format, validation),
    }
}

pub fn codec_validation(validation: FieldValidation) -> Validation {
    match validation {
        FieldValidation::Ignore => Validation::Ignore,
        FieldValidation::Warn => Validation::Warn,
        FieldValidation::Strict => Validation::Strict,
    }
}

/// A value made by a patch, pruned to the schema; names what was unknown.
pub fn prune(value: &Value, schema: &str) -> Result<(Value, Vec<String>), DecodeError> {
    let bytes = serde_json::to_vec(value).map_err(|error| DecodeError::Unreadable(error.to_string()))?;
    read(Media::Json, &bytes, schema, Validation::Warn).map(|decoded| (decoded.value, decoded.warnings))
}

/// Fills in `apiVersion` and `kind` where they are missing, refuses others than the path's.
pub fn expect_kind(mut value: Value, expected: &Expected<'_>) -> Result<Value, Status> {
    let Expected { group, version, kind, .. } = expected;
    let whole = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
    let Value::Object(map) = &mut value else {
        return Err(Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): an object is expected")));
    };
    let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let (own_version, own_kind) = (text("apiVersion"), text("kind"));
    let said = if own_version.is_empty() { &whole } else { &own_version };
    if !own_kind.is_empty() && own_kind != *kind {
        let (own_group, short) = said.split_once('/').unwrap_or(("", said));
        let why = match schema::for_gvk(own_group, short, &own_kind) {
            Some(message) => format!("converting ({}) to ({kind}): unknown conversion", message.go_name),
            None => format!("no kind \"{own_kind}\" is registered for version \"{said}\" in scheme \"pkg/runtime/scheme.go:111\""),
        };
        return Err(Status::bad_request(format!("{own_kind} in version \"{short}\" cannot be handled as a {kind}: {why}")));
    }
    if *said != whole {
        let known = said.split_once('/').map_or(schema::for_gvk("", said, kind), |(group, version)| schema::for_gvk(group, version, kind));
        let short = said.rsplit('/').next().unwrap_or_default();
        return Err(Status::bad_request(match known {
            Some(_) => format!("the API version in the data ({said}) does not match the expected API version ({whole})"),
            None => format!(
                "{kind} in version \"{short}\" cannot be handled as a {kind}: no kind \"{kind}\" is registered for version \"{said}\" in scheme \"pkg/runtime/scheme.go:111\""
            ),
        }));
    }
    map.insert("apiVersion".into(), whole.into());
    map.insert("kind".into(), (*kind).into());
    Ok(value)
}
