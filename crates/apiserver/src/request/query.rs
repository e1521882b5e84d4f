//! The query of a URL, and the options of each verb read from it with the original's rules for numbers and booleans.
use super::options::{FieldValidation, Options, Propagation};
use machinery::errors::Errors;
use machinery::status::Status;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Decoded parameters in their order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Query {
        let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        };
        Query(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// The first value, as the original takes it.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// As a query again.
    pub fn encoded(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = self.0.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Absent and `false`/`0` are false; everything else, the empty text among it, is true.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).map(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    pub fn number(&self, key: &str) -> Result<Option<i64>, Status> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some(text) => {
                text.parse().map(Some).map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))
            }
        }
    }
}

/// A field manager's name may have so many characters.
const MAX_FIELD_MANAGER: usize = 128;

/// Options of create, update and patch. `kind` (`CreateOptions`, …) names them in errors.
pub fn write_options(query: &Query, kind: &str, user_agent: &str) -> Result<Options, Status> {
    let mut errors = Errors::default();
    let dry_run = dry_run(query.all("dryRun"), &mut errors);
    let field_manager = query.text("fieldManager");
    if field_manager.chars().count() > MAX_FIELD_MANAGER {
        errors.too_long("fieldManager", MAX_FIELD_MANAGER);
    }
    let bad = field_manager.chars().enumerate().find(|(_, c)| c.is_control());
    if let Some((at, c)) = bad {
        let detail = format!("invalid character {:?} (at position {at})", c);
        errors.invalid("fieldManager", field_manager, &detail);
    }
    let force = query.flag("force");
    match kind {
        "ApplyOptions" if field_manager.is_empty() => errors.required("fieldManager", "is required for apply patch"),
        "PatchOptions" if force.is_some() => errors.forbidden("force", "may not be specified for non-apply patch"),
        _ => {}
    }
    let field_validation = field_validation(query.text("fieldValidation"), &mut errors);
    let kind = if kind == "ApplyOptions" { "PatchOptions" } else { kind };
    errors.into_result("meta.k8s.io", kind, "")?;
    let manager = if field_manager.is_empty() { default_manager(user_agent) } else { field_manager.into() };
    Ok(Options { dry_run, field_manager: manager, force, field_validation, ..Options::default() })
}

/// Who writes when the client does not say: the program's name, as the user agent has it before the slash.
fn default_manager(user_agent: &str) -> String {
    let name = user_agent.split('/').next().unwrap_or_default();
    let printable = name.chars().filter(|c| !c.is_control()).take(MAX_FIELD_MANAGER).collect::<String>();
    if printable.is_empty() { "unknown".into() } else { printable }
}

pub fn dry_run<'a>(values: impl Iterator<Item = &'a str>, errors: &mut Errors) -> bool {
    let values: Vec<&str> = values.collect();
    if values.iter().any(|value| *value != "All") {
        errors.unsupported("dryRun", &values, &["All"]);
    }
    !values.is_empty()
}

fn field_validation(text: &str, errors: &mut Errors) -> FieldValidation {
    match text {
        "" | "Warn" => FieldValidation::Warn,
        "Strict" => FieldValidation::Strict,
        "Ignore" => FieldValidation::Ignore,
        other => {
            errors.not_supported("fieldValidation", other, &["", "Ignore", "Strict", "Warn"]);
            FieldValidation::Warn
        }
    }
}

pub fn propagation(text: &str, errors: &mut Errors) -> Option<Propagation> {
    Some(match text {
        "Foreground" => Propagation::Foreground,
        "Background" => Propagation::Background,
        "Orphan" => Propagation::Orphan,
        other => {
            errors.not_supported("propagationPolicy", other, &["Foreground", "Background", "Orphan", "nil"]);
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_flags_as_the_original_does() {
        let query = Query::parse("watch&a=&b=0&c=False&d=1&labelSelector=a%3Db%2Cc+in+(d)");
        let flags = ["watch", "a", "b", "c", "d", "e"].map(|key| query.flag(key));
        assert_eq!(flags, [Some(true), Some(true), Some(false), Some(false), Some(true), None]);
        assert_eq!(query.text("labelSelector"), "a=b,c in (d)");
    }
}
