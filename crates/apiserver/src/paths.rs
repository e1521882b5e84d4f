//! Everything that is not a resource: discovery, version, health, OpenAPI, metrics, the keys of tokens.
use crate::discovery;
use crate::encode::media::{Accept, Offer};
use crate::encode::{header, wire};
use crate::health;
use crate::openapi;
use crate::request::call::Answer;
use crate::request::query::Query;
use crate::server::State;
use crate::server::flow::method_not_allowed;
use client::Body;
use http::request::Parts;
use http::{Method, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// `None`: nothing is served there.
pub async fn answer(state: &Arc<State>, parts: &Parts, query: &Query) -> Option<Answer> {
    if let Some(answer) = discovery::answer(state, parts, query) {
        return Some(answer);
    }
    let path = parts.uri.path();
    let known = match path {
        "/" => Some(json(parts, query, &index(state))),
        "/version" | "/version/" => Some(json(parts, query, &version())),
        "/metrics" => Some(Ok(metrics(state))),
        "/.well-known/openid-configuration" => {
            state.config.tokens.as_ref().map(|tokens| json(parts, query, &tokens.openid_configuration()))
        }
        "/openid/v1/jwks" => state.config.tokens.as_ref().map(|tokens| jwks(&tokens.jwks())),
        _ => match health::answer(state, path, query) {
            Some(health) => return Some(Ok(health)),
            None => None,
        },
    };
    let answer = match known {
        Some(answer) => answer,
        None => openapi::answer(parts, query)?,
    };
    Some(if matches!(parts.method, Method::GET | Method::HEAD) { answer } else { Err(method_not_allowed()) })
}

fn json(parts: &Parts, query: &Query, value: &Value) -> Answer {
    let accept = Accept::negotiate(&parts.headers, query.flag("pretty"), Offer::Plain).unwrap_or(Accept::plain(&parts.headers));
    let mut response = Response::new(Body::Full(wire::encode_value(value, crate::encode::media::Media::Json, accept.pretty)?));
    header(&mut response, "content-type", "application/json");
    Ok(response)
}

fn jwks(value: &Value) -> Answer {
    let mut response = Response::new(Body::json(value));
    header(&mut response, "content-type", "application/jwk-set+json");
    Ok(response)
}

/// What `kubectl version` shows. Clients compare `gitVersion` with their own, so it names the API that is served.
fn version() -> Value {
    json!({
        "major": "1", "minor": "37", "emulationMajor": "1", "emulationMinor": "37", "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "36", "gitVersion": "v1.37.0", "gitCommit": option_env!("COXSWAIN_COMMIT").unwrap_or(""),
        "gitTreeState": "clean", "buildDate": option_env!("COXSWAIN_BUILD_DATE").unwrap_or("1970-01-01T00:00:00Z"),
        "goVersion": concat!("coxswain/", env!("CARGO_PKG_VERSION")), "compiler": "rustc",
        "platform": if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" },
    })
}

fn index(state: &State) -> Value {
    let mut paths: Vec<String> = vec!["/api".into(), "/api/v1".into(), "/apis".into()];
    for (group, versions) in discovery::legacy::group_versions(&state.config.kinds) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
    }
    let others = ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"];
    paths.extend(others.map(String::from));
    paths.sort();
    json!({"paths": paths})
}

fn metrics(state: &State) -> Response<Body> {
    let storages = state.config.kinds.all().iter().filter(|served| served.is_stored() && served.hub.is_none());
    let objects: Vec<(String, usize)> = storages
        .map(|served| {
            let names = served.kind.names();
            (machinery::status::qualified(names.group, names.plural), state.store().count(&names.prefix("")))
        })
        .collect();
    let mut response = Response::new(Body::from(state.metrics.text(&objects).into_bytes()));
    header(&mut response, "content-type", "text/plain; version=0.0.4; charset=utf-8");
    response
}
