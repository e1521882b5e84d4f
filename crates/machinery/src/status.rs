//! The one error that leaves the API server, with the one table from reason to HTTP code.
use serde_json::{Map, Value, json};
use std::fmt;

/// `metav1.StatusReason`; the names on the wire are those of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Unknown,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    StoreReadError,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
}

impl Reason {
    pub fn code(self) -> u16 {
        match self {
            Reason::Unknown | Reason::InternalError | Reason::StoreReadError => 500,
            Reason::Unauthorized => 401,
            Reason::Forbidden => 403,
            Reason::NotFound => 404,
            Reason::AlreadyExists | Reason::Conflict => 409,
            Reason::Gone | Reason::Expired => 410,
            Reason::Invalid => 422,
            Reason::ServerTimeout => 500,
            Reason::Timeout => 504,
            Reason::TooManyRequests => 429,
            Reason::BadRequest => 400,
            Reason::MethodNotAllowed => 405,
            Reason::NotAcceptable => 406,
            Reason::RequestEntityTooLarge => 413,
            Reason::UnsupportedMediaType => 415,
            Reason::ServiceUnavailable => 503,
        }
    }

    /// The reason's name on the wire; empty for `Unknown`.
    pub fn name(self) -> String {
        if self == Reason::Unknown { String::new() } else { format!("{self:?}") }
    }

    pub fn from_name(name: &str) -> Reason {
        use Reason::*;
        const ALL: &[Reason] = &[
            Unauthorized,
            Forbidden,
            NotFound,
            AlreadyExists,
            Conflict,
            Gone,
            Invalid,
            ServerTimeout,
            StoreReadError,
            Timeout,
            TooManyRequests,
            BadRequest,
            MethodNotAllowed,
            NotAcceptable,
            RequestEntityTooLarge,
            UnsupportedMediaType,
            InternalError,
            Expired,
            ServiceUnavailable,
        ];
        ALL.iter().copied().find(|reason| reason.name() == name).unwrap_or(Unknown)
    }
}

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub field: String,
    pub reason: String,
    pub message: String,
}

/// What the error is about: `kind` is the resource's plural for lookups and the kind's name for invalid objects, as the original has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    pub name: String,
    pub group: String,
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u32,
}

/// A failure as `metav1.Status`. `code` follows from `reason` unless set otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: u16,
    pub reason: Reason,
    pub message: String,
    pub details: Option<Box<Details>>,
}

impl Status {
    pub fn new(reason: Reason, message: impl Into<String>) -> Status {
        Status { code: reason.code(), reason, message: message.into(), details: None }
    }

    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(Reason::BadRequest, message)
    }

    pub fn internal(message: impl fmt::Display) -> Status {
        Status::new(Reason::InternalError, format!("Internal error occurred: {message}"))
    }

    pub fn with(mut self, details: Details) -> Status {
        self.details = Some(Box::new(details));
        self
    }

    /// `pods "x" not found`; group-qualified as `deployments.apps "x" not found`.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Status {
        Status::new(Reason::NotFound, format!("{} \"{name}\" not found", qualified(group, resource))).about(group, resource, name)
    }

    pub fn already_exists(group: &str, resource: &str, name: &str) -> Status {
        Status::new(Reason::AlreadyExists, format!("{} \"{name}\" already exists", qualified(group, resource))).about(group, resource, name)
    }

    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Status {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(group, resource));
        Status::new(Reason::Conflict, message).about(group, resource, name)
    }

    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Status {
        let message = match name {
            "" => format!("{} is forbidden: {why}", qualified(group, resource)),
            name => format!("{} \"{name}\" is forbidden: {why}", qualified(group, resource)),
        };
        Status::new(Reason::Forbidden, message).about(group, resource, name)
    }

    fn about(self, group: &str, resource: &str, name: &str) -> Status {
        self.with(Details { name: name.into(), group: group.into(), kind: resource.into(), ..Details::default() })
    }

    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason
    }

    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if self.reason != Reason::Unknown {
            status["reason"] = self.reason.name().into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.to_value();
        }
        status
    }

    /// Reads a `metav1.Status` of a remote server.
    pub fn from_value(value: &Value) -> Status {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_string();
        let reason = Reason::from_name(value["reason"].as_str().unwrap_or_default());
        let details = value["details"].as_object().map(|_| {
            let details = &value["details"];
            let causes = details["causes"].as_array().into_iter().flatten();
            Box::new(Details {
                name: text(details, "name"),
                group: text(details, "group"),
                kind: text(details, "kind"),
                uid: text(details, "uid"),
                causes: causes
                    .map(|cause| Cause { field: text(cause, "field"), reason: text(cause, "reason"), message: text(cause, "message") })
                    .collect(),
                retry_after_seconds: details["retryAfterSeconds"].as_u64().unwrap_or(0) as u32,
            })
        });
        Status { code: value["code"].as_u64().unwrap_or(500) as u16, reason, message: text(value, "message"), details }
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let texts = [("reason", &self.reason), ("message", &self.message), ("field", &self.field)];
        let given = texts.into_iter().filter(|(_, text)| !text.is_empty());
        Value::Object(given.map(|(key, text)| (key.to_string(), text.as_str().into())).collect())
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (key, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)] {
            if !text.is_empty() {
                map.insert(key.into(), text.as_str().into());
            }
        }
        if !self.causes.is_empty() {
            map.insert("causes".into(), self.causes.iter().map(Cause::to_value).collect());
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds".into(), self.retry_after_seconds.into());
        }
        Value::Object(map)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

/// `deployments.apps`, or `pods` for the core group.
pub fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.into() } else { format!("{resource}.{group}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let status = Status::not_found("apps", "deployments", "web");
        assert_eq!(status.message, "deployments.apps \"web\" not found");
        assert_eq!(Status::from_value(&status.to_value()), status);
    }
}
