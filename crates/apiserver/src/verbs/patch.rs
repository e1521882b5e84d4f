//! `patch`: JSON patch, merge patch, strategic merge patch and server-side apply, each on the newest state.
use super::decode::Expected;
use super::{decode, managed, update};
use crate::request::Options;
use crate::request::call::{Answer, Call};
use crate::request::options::FieldValidation;
use crate::request::query::write_options;
use http::header;
use machinery::codec::{self, Format, Validation};
use machinery::errors::Errors;
use machinery::object::AnyObject;
use machinery::patch::{self, PatchKind};
use machinery::schema;
use machinery::status::{Details, Reason, Status};
use serde_json::Value;

pub async fn patch(call: &Call) -> Answer {
    let content_type = call.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let schema = schema::lookup(call.served.kind.names().schema);
    let kind = PatchKind::parse(content_type, schema.is_some()).map_err(|_| unsupported())?;
    let bytes = call.read_body().await?;
    let options_kind = if kind == PatchKind::Apply { "ApplyOptions" } else { "PatchOptions" };
    let options = write_options(&call.query, options_kind, call.user_agent())?;
    let (body, strict) = read(kind, &bytes)?;
    let patching = Patching { call, options: &options, kind, body, strict };
    let make = |old: Option<&dyn AnyObject>| patching.make(old);
    let (made, code) = update::write(call, &options, &make, kind == PatchKind::Apply).await?;
    made.answer(call, code)
}

/// What the original answers before it looks at the request.
fn unsupported() -> Status {
    Status::new(Reason::UnsupportedMediaType, "415: Unsupported Media Type").with(Details::default())
}

/// The patch as a value, with what strict reading has against it.
pub fn read(kind: PatchKind, bytes: &[u8]) -> Result<(Value, Vec<String>), Status> {
    let format = if kind == PatchKind::Apply { Format::Yaml } else { Format::Json };
    let decoded = codec::decode_any(bytes, format, Validation::Warn);
    let decoded = decoded.map_err(|error| match kind {
        PatchKind::Apply => {
            let text = error.to_string();
            Status::bad_request(format!("error encoding patch: {}", text.trim_start_matches("error converting YAML to JSON: ")))
        }
        _ => Status::bad_request("invalid JSON patch"),
    })?;
    let mut strict = decoded.warnings;
    if kind == PatchKind::Json {
        strict.extend(patch::unknown_fields(&decoded.value));
    }
    Ok((decoded.value, strict))
}

struct Patching<'a> {
    call: &'a Call,
    options: &'a Options,
    kind: PatchKind,
    body: Value,
    strict: Vec<String>,
}

impl Patching<'_> {
    fn make(&self, old: Option<&dyn AnyObject>) -> Result<Box<dyn AnyObject>, Status> {
        let Some(old) = old else {
            return if self.kind == PatchKind::Apply { self.apply(None) } else { Err(self.call.not_found()) };
        };
        let mut new = match self.kind {
            PatchKind::Apply => self.apply(Some(old))?,
            _ => self.patched(old)?,
        };
        if self.kind != PatchKind::Apply {
            managed::track(self.call, self.options, Some(old), &mut new)?;
        }
        update::check_name(new.meta().name.as_deref().unwrap_or_default(), &self.call.attributes.name)?;
        Ok(new)
    }

    fn patched(&self, old: &dyn AnyObject) -> Result<Box<dyn AnyObject>, Status> {
        let names = self.call.served.kind.names();
        let mut value = old.to_value();
        patch::patch(self.kind, &mut value, self.body.clone(), schema::lookup(names.schema))?;
        let unpruned = value;
        let pruned = decode::prune(&unpruned, names.schema);
        let (value, mut strict) = pruned.map_err(|error| self.invalid(&unpruned, &error.to_string()))?;
        strict.splice(0..0, self.strict.iter().cloned());
        self.report(strict, &unpruned)?;
        decode::typed(&self.call.served, decode::expect_kind(value, &self.expected())?)
    }

    fn apply(&self, old: Option<&dyn AnyObject>) -> Result<Box<dyn AnyObject>, Status> {
        if !self.strict.is_empty() {
            self.report(self.strict.clone(), &self.body)?;
        }
        let object = managed::apply(self.call, self.options, old, self.body.clone())?;
        if object.meta().name.as_deref().unwrap_or_default().is_empty() {
            let name = &self.call.attributes.name;
            let why = format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
            return Err(Status::bad_request(why));
        }
        Ok(object)
    }

    /// Unknown and repeated fields: warnings, or a refusal if the client wants to be strict.
    fn report(&self, strict: Vec<String>, patched: &Value) -> Result<(), Status> {
        match self.options.field_validation {
            FieldValidation::Strict if !strict.is_empty() => {
                Err(self.invalid(patched, &format!("strict decoding error: {}", strict.join(", "))))
            }
            FieldValidation::Warn => {
                strict.into_iter().for_each(|text| self.call.warnings.add(text));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn expected(&self) -> Expected<'static> {
        let names = self.call.served.kind.names();
        Expected { group: names.group, version: names.version, kind: names.kind, schema: names.schema }
    }

    /// The patched object is no object of this kind.
    fn invalid(&self, value: &Value, error: &str) -> Status {
        let mut errors = Errors::default();
        errors.invalid("patch", value.to_string(), error);
        errors.into_result("", "", "").expect_err("there is an error")
    }
}
