//! The patches that change a document as the client describes: JSON patch, JSON merge patch, strategic merge patch.
//! (Server-side apply is in `apply`.) All of them work on JSON values in place; nothing here decodes, defaults or validates objects.
mod json;
mod merge;
mod strategic;

pub use json::{MAX_OPERATIONS, apply as json, unknown_fields};
pub use merge::apply as merge;
pub use strategic::apply as strategic;

use crate::schema::Message;
use crate::status::{Details, Reason, Status};
use serde_json::Value;

/// What a PATCH request's content type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// In the order in which the original names them.
const ALL: [PatchKind; 4] = [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic, PatchKind::Apply];

impl PatchKind {
    pub fn content_type(self) -> &'static str {
        match self {
            PatchKind::Json => "application/json-patch+json",
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
            PatchKind::Apply => "application/apply-patch+yaml",
        }
    }

    /// From the request's header; parameters after `;` do not count. Custom resources know no strategic merge.
    pub fn parse(content_type: &str, strategic: bool) -> Result<PatchKind, Status> {
        let plain = content_type.split(';').next().unwrap_or_default();
        let allowed = ALL.into_iter().filter(|kind| strategic || *kind != PatchKind::Strategic);
        allowed.clone().find(|kind| kind.content_type() == plain).ok_or_else(|| {
            let names = allowed.map(PatchKind::content_type).collect::<Vec<_>>().join(", ");
            let message = format!("the body of the request was in an unknown format - accepted media types include: {names}");
            Status::new(Reason::UnsupportedMediaType, message)
        })
    }
}

/// Changes `document` as `body` says. `schema` is needed by strategic merge; custom resources have none.
pub fn patch(kind: PatchKind, document: &mut Value, body: Value, schema: Option<&'static Message>) -> Result<(), Status> {
    match (kind, schema) {
        (PatchKind::Json, _) => json(document, &body),
        (PatchKind::Merge, _) => merge(document, body),
        (PatchKind::Strategic, Some(schema)) => strategic(document, body, schema),
        (PatchKind::Strategic, None) => Err(Status::bad_request("strategic merge patch format is not supported")),
        (PatchKind::Apply, _) => Err(Status::internal("an apply is not a patch of the document")),
    }
}

/// The original's answer to a patch that is well formed but does not fit: it does not tell why.
fn rejected() -> Status {
    Status::new(Reason::Invalid, "the server rejected our request due to an error in our request").with(Details::default())
}

/// How the original calls a JSON value of the wrong type.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn undecodable(value: &Value, wanted: &str) -> Status {
    Status::bad_request(format!("error decoding patch: json: cannot unmarshal {} into {wanted}", json_type(value)))
}

#[cfg(test)]
mod tests;
