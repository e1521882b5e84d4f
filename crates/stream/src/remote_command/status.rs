//! How a command ended, as the client is told: a `Status` whose cause carries the exit code.
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    /// It could not be run or followed; the text says what was being done, and why not.
    Failed(String),
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

#[derive(Serialize)]
struct Details {
    causes: [Cause; 1],
}

#[derive(Serialize)]
struct Cause {
    reason: &'static str,
    message: String,
}

impl Exit {
    /// What went wrong, in words; empty when nothing did.
    pub fn message(&self) -> String {
        match self {
            Exit::Code(0) => String::new(),
            Exit::Code(code) => format!("command terminated with non-zero exit code: exit status {code}"),
            Exit::Failed(text) => format!("Internal error occurred: {text}"),
        }
    }

    /// The status as JSON.
    pub fn status(&self) -> String {
        let (reason, code, exit_code) = match self {
            Exit::Code(0) => (None, None, None),
            Exit::Code(exit_code) => (Some("NonZeroExitCode"), None, Some(exit_code)),
            Exit::Failed(_) => (Some("InternalError"), Some(500), None),
        };
        let details = exit_code.map(|code| Details { causes: [Cause { reason: "ExitCode", message: code.to_string() }] });
        let status = if reason.is_none() { "Success" } else { "Failure" };
        let status = Status { status, message: self.message(), reason, details, code };
        serde_json::to_string(&status).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn statuses_are_those_of_the_original() {
        expect![[r#"{"status":"Success"}"#]].assert_eq(&Exit::Code(0).status());
        expect![[r#"{"status":"Failure","message":"command terminated with non-zero exit code: exit status 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#]].assert_eq(&Exit::Code(3).status());
        expect![[r#"{"status":"Failure","message":"Internal error occurred: error attaching to container: no","reason":"InternalError","code":500}"#]]
            .assert_eq(&Exit::Failed("error attaching to container: no".into()).status());
    }
}
