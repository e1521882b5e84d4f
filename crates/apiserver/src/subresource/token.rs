//! `serviceaccounts/token`: a bound token, made by the issuer.
use super::admit;
use crate::encode;
use crate::request::FieldValidation;
use crate::request::call::{Answer, Call};
use crate::request::query::write_options;
use crate::server::flow::unknown;
use crate::verbs::decode::{self, Expected};
use http::StatusCode;

pub async fn issue(call: &Call) -> Answer {
    let Some(tokens) = &call.state.config.tokens else { return unknown(call.in_process) };
    let options = write_options(&call.query, "CreateOptions", call.user_agent())?;
    let schema = "io.k8s.api.authentication.v1.TokenRequest";
    let expected = Expected { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest", schema };
    let value = decode::body(call, &expected, FieldValidation::Ignore).await?;
    let value = admit(call, &options, value).await?;
    let answer = tokens.issue(&call.attributes, value, &call.warnings).await?;
    encode::object::value(call, StatusCode::CREATED, &answer)
}
