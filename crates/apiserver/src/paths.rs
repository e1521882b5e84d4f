//! Everything that is not a resource: discovery, version, health, OpenAPI, metrics, the keys of tokens.
use crate::discovery;
use crate::request::call::Answer;
use crate::request::query::Query;
use crate::server::State;
use http::request::Parts;
use std::sync::Arc;

/// `None`: nothing is served there.
pub async fn answer(state: &Arc<State>, parts: &Parts, query: &Query) -> Option<Answer> {
    discovery::answer(state, parts, query)
}
