//! `pods/log`: the kubelet's log stream, after the options are checked.
use super::forward::{Onward, forward};
use super::location;
use crate::encode::header;
use crate::request::call::{Answer, Call};
use client::Body;
use http::{Method, Response, StatusCode};
use machinery::errors::Errors;
use machinery::status::{Details, Reason, Status};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// So much of a kubelet's refusal is read.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// Options that the kubelet takes as they are.
const PASSED: &[&str] = &["sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"];

pub async fn log(call: &Call) -> Answer {
    check(call)?;
    let pod = location::pod(call, &call.attributes.name).await?;
    let container = location::container(&pod, call.query.text("container"))?;
    let node = location::node_name(&pod);
    if node.is_empty() {
        return Ok(text(Response::new(Body::Empty)));
    }
    let (connection, host) = location::dial_kubelet(call, node).await?;
    let path = format!("/containerLogs/{}/{}/{container}", call.namespace(), call.attributes.name);
    let target = format!("{path}?{}", query(call));
    let response = forward(call, connection, Onward { method: Method::GET, target, host }).await?;
    if response.status().is_success() {
        return Ok(text(response));
    }
    Err(refusal(call, response).await)
}

fn query(call: &Call) -> String {
    let mut pairs: Vec<String> = Vec::new();
    for flag in ["follow", "previous", "timestamps"] {
        if call.query.flag(flag) == Some(true) {
            pairs.push(format!("{flag}=true"));
        }
    }
    for name in PASSED {
        if let Some(value) = call.query.get(name).filter(|value| !value.is_empty()) {
            pairs.push(format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        }
    }
    pairs.join("&")
}

fn check(call: &Call) -> Result<(), Status> {
    let query = &call.query;
    let mut errors = Errors::default();
    if let Some(lines) = query.number("tailLines")?.filter(|lines| *lines < 0) {
        errors.invalid("tailLines", lines, "must be greater than or equal to 0");
    }
    if let Some(bytes) = query.number("limitBytes")?.filter(|bytes| *bytes < 1) {
        errors.invalid("limitBytes", bytes, "must be greater than 0");
    }
    let since = query.number("sinceSeconds")?;
    if since.is_some() && query.get("sinceTime").is_some_and(|time| !time.is_empty()) {
        errors.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified");
    } else if let Some(seconds) = since.filter(|seconds| *seconds < 1) {
        errors.invalid("sinceSeconds", seconds, "must be greater than 0");
    }
    let stream = query.text("stream");
    if !matches!(stream, "" | "All" | "Stdout" | "Stderr") {
        errors.not_supported("stream", stream, &["All", "Stderr", "Stdout"]);
    }
    if matches!(stream, "Stdout" | "Stderr") && query.get("tailLines").is_some() {
        errors.forbidden("", "`tailLines` and specific `stream` are mutually exclusive for now");
    }
    errors.into_result("", "PodLogOptions", &call.attributes.name)
}

fn text(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().remove(http::header::CONTENT_TYPE);
    header(&mut response, "content-type", "text/plain");
    response
}

/// The kubelet's words with the API's codes.
async fn refusal(call: &Call, response: Response<Body>) -> Status {
    let code = response.status();
    let bytes = response.into_body().bytes(MAX_REFUSAL_BYTES).await.ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).trim_end().to_string();
    match code {
        StatusCode::INTERNAL_SERVER_ERROR => Status::internal(text),
        StatusCode::BAD_REQUEST => Status::bad_request(text),
        StatusCode::NOT_FOUND => {
            let message = format!("the server could not find the requested resource ( pods/log {})", call.attributes.name);
            Status::new(Reason::NotFound, message).with(Details {
                name: call.attributes.name.clone(),
                kind: "pods/log".into(),
                ..Details::default()
            })
        }
        code => Status { code: code.as_u16(), ..Status::new(Reason::Unknown, text) },
    }
}
