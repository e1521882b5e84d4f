//! Collects what is wrong with an object, each with its field path, so that the user sees all of it at once. The texts have
//! the original's form, because clients match on them.
use crate::status::{Cause, Details, Reason, Status};
use serde::Serialize;

#[derive(Debug, Default)]
pub struct Errors {
    /// The path so far, as text (`spec.containers[0]`).
    path: String,
    causes: Vec<Cause>,
}

impl Errors {
    /// Runs `check` with `field` added to the path. An empty `field` adds nothing.
    pub fn at<R>(&mut self, field: &str, check: impl FnOnce(&mut Errors) -> R) -> R {
        let length = self.path.len();
        if length > 0 && !field.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(field);
        let result = check(self);
        self.path.truncate(length);
        result
    }

    /// Runs `check` once per item, with `field[i]` added to the path.
    pub fn each<T>(&mut self, field: &str, items: impl IntoIterator<Item = T>, mut check: impl FnMut(&mut Errors, T)) {
        for (index, item) in items.into_iter().enumerate() {
            self.at(&format!("{field}[{index}]"), |errors| check(errors, item));
        }
    }

    /// Runs `check` with `field[key]` added to the path.
    pub fn key<R>(&mut self, field: &str, key: &str, check: impl FnOnce(&mut Errors) -> R) -> R {
        self.at(&format!("{field}[{key}]"), check)
    }

    pub fn required(&mut self, field: &str, detail: &str) {
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        self.push(field, "FieldValueRequired", format!("Required value{detail}"));
    }

    pub fn invalid(&mut self, field: &str, value: impl Serialize, detail: &str) {
        self.push(field, "FieldValueInvalid", format!("Invalid value: {}: {detail}", shown(value)));
    }

    /// For values that are too large to be shown.
    pub fn invalid_without_value(&mut self, field: &str, detail: &str) {
        self.push(field, "FieldValueInvalid", format!("Invalid value: {detail}"));
    }

    pub fn type_invalid(&mut self, field: &str, value: impl Serialize, detail: &str) {
        self.push(field, "FieldValueTypeInvalid", format!("Invalid value: {}: {detail}", shown(value)));
    }

    pub fn not_supported(&mut self, field: &str, value: &str, supported: &[&str]) {
        let list = supported.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(", ");
        self.push(field, "FieldValueNotSupported", format!("Unsupported value: \"{value}\": supported values: {list}"));
    }

    /// For a value that is more than a text.
    pub fn unsupported(&mut self, field: &str, value: impl Serialize, supported: &[&str]) {
        let list = supported.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(", ");
        self.push(field, "FieldValueNotSupported", format!("Unsupported value: {}: supported values: {list}", shown(value)));
    }

    pub fn duplicate(&mut self, field: &str, value: impl Serialize) {
        self.push(field, "FieldValueDuplicate", format!("Duplicate value: {}", shown(value)));
    }

    pub fn not_found(&mut self, field: &str, value: impl Serialize) {
        self.push(field, "FieldValueNotFound", format!("Not found: {}", shown(value)));
    }

    pub fn not_found_because(&mut self, field: &str, value: impl Serialize, detail: &str) {
        self.push(field, "FieldValueNotFound", format!("Not found: {}: {detail}", shown(value)));
    }

    pub fn forbidden(&mut self, field: &str, detail: &str) {
        self.push(field, "FieldValueForbidden", format!("Forbidden: {detail}"));
    }

    pub fn too_long(&mut self, field: &str, max_bytes: usize) {
        self.push(field, "FieldValueTooLong", format!("Too long: may not be more than {max_bytes} bytes"));
    }

    pub fn too_many(&mut self, field: &str, actual: usize, max: usize) {
        self.push(field, "FieldValueTooMany", format!("Too many: {actual}: must have at most {max} items"));
    }

    fn push(&mut self, field: &str, reason: &str, message: String) {
        let field = match (self.path.as_str(), field) {
            (path, "") => path.to_string(),
            ("", field) => field.to_string(),
            (path, field) => format!("{path}.{field}"),
        };
        self.causes.push(Cause { field, reason: reason.into(), message });
    }

    pub fn is_empty(&self) -> bool {
        self.causes.is_empty()
    }

    pub fn causes(&self) -> &[Cause] {
        &self.causes
    }

    /// `Deployment.apps "web" is invalid: …`, 422, or nothing.
    pub fn into_result(self, group: &str, kind: &str, name: &str) -> Result<(), Status> {
        if self.causes.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for cause in &self.causes {
            let line = format!("{}: {}", cause.field, cause.message);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let all = if lines.len() == 1 { lines.remove(0) } else { format!("[{}]", lines.join(", ")) };
        let message = format!("{} \"{name}\" is invalid: {all}", crate::status::qualified(group, kind));
        let details = Details { name: name.into(), group: group.into(), kind: kind.into(), causes: self.causes, ..Details::default() };
        Err(Status::new(Reason::Invalid, message).with(details))
    }
}

fn shown(value: impl Serialize) -> String {
    serde_json::to_string(&value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_every_mistake_with_its_path() {
        let mut errors = Errors::default();
        errors.at("spec", |errors| {
            errors.invalid("replicas", -1, "must be greater than or equal to 0");
            errors.each("containers", ["a", ""], |errors, name| {
                if name.is_empty() {
                    errors.required("name", "");
                }
            });
        });
        let status = errors.into_result("apps", "Deployment", "web").unwrap_err();
        assert_eq!(
            status.message,
            "Deployment.apps \"web\" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, \
             spec.containers[1].name: Required value]"
        );
    }
}
