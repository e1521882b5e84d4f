//! Label and field selectors of a request, applied to stored objects.
use crate::kinds::Served;
use crate::request::call::Call;
use machinery::kind::DynKind;
use machinery::object::{AnyObject, Stored};
use machinery::selector::{FieldSelector, Selector};
use machinery::status::Status;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub struct Filter {
    labels: Selector,
    fields: FieldSelector,
}

impl Filter {
    pub fn parse(call: &Call) -> Result<Filter, Status> {
        let labels = call.query.text("labelSelector");
        let labels = Selector::parse(labels).map_err(|error| Status::bad_request(error.to_string()))?;
        let fields = FieldSelector::parse(call.query.text("fieldSelector")).map_err(|error| Status::bad_request(error.to_string()))?;
        let kind = &*call.served.kind;
        for term in &fields.terms {
            if !known(kind, &term.field) {
                let why = match kind.field_names().is_empty() {
                    true => format!("\"{}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", term.field),
                    false => format!("field label not supported: {}", term.field),
                };
                return Err(Status::bad_request(why));
            }
        }
        Filter { labels, fields }.with_name(call)
    }

    /// A single object's older watch path counts as `metadata.name=`.
    fn with_name(mut self, call: &Call) -> Result<Filter, Status> {
        let name = &call.attributes.name;
        match self.fields.exact("metadata.name") {
            Some(own) if own != name && !name.is_empty() => {
                Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"))
            }
            Some(_) => Ok(self),
            None if name.is_empty() => Ok(self),
            None => {
                let term = machinery::selector::FieldTerm { field: "metadata.name".into(), value: name.clone(), equal: true };
                self.fields.terms.push(term);
                Ok(self)
            }
        }
    }

    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// The one name that matches, if the selector says so.
    pub fn exact_name(&self) -> Option<&str> {
        self.fields.exact("metadata.name")
    }

    pub fn matches(&self, served: &Served, stored: &Arc<Stored>) -> Result<bool, Status> {
        if self.is_everything() {
            return Ok(true);
        }
        let object = served.object(stored)?;
        Ok(self.matches_object(&*served.kind, &*object))
    }

    fn matches_object(&self, kind: &dyn DynKind, object: &dyn AnyObject) -> bool {
        let meta = object.meta();
        let value = |path: &str| match path {
            "metadata.name" => meta.name.clone(),
            "metadata.namespace" => meta.namespace.clone(),
            path => kind.field(object, path),
        };
        self.labels.matches_labels(meta.labels.as_ref()) && self.fields.matches(value)
    }
}

fn known(kind: &dyn DynKind, field: &str) -> bool {
    matches!(field, "metadata.name" | "metadata.namespace") || kind.field_names().contains(&field)
}
