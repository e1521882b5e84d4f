//! From the body to a typed object with its defaults: read, checked against the path's kind, pruned.
use crate::encode::media::Media;
use crate::kinds::Served;
use crate::request::Options;
use crate::request::call::Call;
use crate::request::options::FieldValidation;
use machinery::object::AnyObject;
use machinery::status::Status;
use serde_json::Value;

/// The object in the body, defaulted.
pub async fn object(call: &Call, options: &Options) -> Result<Box<dyn AnyObject>, Status> {
    let media = Media::of_body(&call.headers)?;
    let bytes = call.read_body().await?;
    let names = call.served.kind.names();
    let (value, strict) = read(media, &bytes, names.schema, names.kind)?;
    let value = expect_kind(value, names.group, names.version, names.kind)?;
    report(call, options.field_validation, strict, names.kind, names.version)?;
    typed(&call.served, value)
}

/// A pruned value as an object with its defaults.
pub fn typed(served: &Served, value: Value) -> Result<Box<dyn AnyObject>, Status> {
    let mut object = served.kind.decode(value)?;
    served.kind.default(&mut *object);
    Ok(object)
}

/// The value, pruned to the schema, with what strict reading has against it.
pub fn read(media: Media, bytes: &[u8], _schema: &str, kind: &str) -> Result<(Value, Vec<String>), Status> {
    let value = match media {
        Media::Json => serde_json::from_slice::<Value>(bytes).map_err(|error| unreadable(kind, &error.to_string(), bytes))?,
        _ => return Err(unreadable(kind, "not supported yet", bytes)),
    };
    Ok((value, Vec::new()))
}

/// A value of no certain shape (a patch), with repeated keys named.
pub fn any_json(bytes: &[u8]) -> Result<(Value, Vec<String>), String> {
    serde_json::from_slice(bytes).map(|value| (value, Vec::new())).map_err(|error| error.to_string())
}

pub fn any_yaml(bytes: &[u8]) -> Result<(Value, Vec<String>), String> {
    any_json(bytes)
}

/// A value made by a patch, pruned to the schema; names what was unknown.
pub fn prune(value: Value, _schema: &str) -> Result<(Value, Vec<String>), String> {
    Ok((value, Vec::new()))
}

/// Nothing tells what the body is meant to be.
fn unreadable(kind: &str, error: &str, bytes: &[u8]) -> Status {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(30)]).into_owned();
    let more = if bytes.len() > 30 { " ..." } else { "" };
    Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {error} ({shown}{more})"))
}

/// Fills in `apiVersion` and `kind` where they are missing, refuses others than the path's.
pub fn expect_kind(mut value: Value, group: &str, version: &str, kind: &str) -> Result<Value, Status> {
    let expected = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
    let Value::Object(map) = &mut value else {
        return Err(Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): an object is expected")));
    };
    let text = |map: &serde_json::Map<String, Value>, key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let (own_version, own_kind) = (text(map, "apiVersion"), text(map, "kind"));
    if !own_kind.is_empty() && own_kind != kind {
        let version = own_version.rsplit('/').next().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "{own_kind} in version \"{version}\" cannot be handled as a {kind}: no kind \"{own_kind}\" is expected here, but \"{kind}\""
        )));
    }
    if !own_version.is_empty() && own_version != expected {
        return Err(Status::bad_request(format!(
            "the API version in the data ({own_version}) does not match the expected API version ({expected})"
        )));
    }
    map.insert("apiVersion".into(), expected.into());
    map.insert("kind".into(), kind.into());
    Ok(value)
}

/// Unknown and repeated fields: warnings, or an error if the client wants to be strict.
pub fn report(call: &Call, validation: FieldValidation, strict: Vec<String>, kind: &str, version: &str) -> Result<(), Status> {
    match validation {
        _ if strict.is_empty() => Ok(()),
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            strict.into_iter().for_each(|text| call.warnings.add(text));
            Ok(())
        }
        FieldValidation::Strict => Err(Status::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {}",
            strict.join(", ")
        ))),
    }
}

/// The body of a resource that is only answered.
pub async fn virtual_body(call: &Call) -> Result<Value, Status> {
    let media = Media::of_body(&call.headers)?;
    let bytes = call.read_body().await?;
    let names = call.served.kind.names();
    let (value, _) = read(media, &bytes, names.schema, names.kind)?;
    expect_kind(value, names.group, names.version, names.kind)
}
