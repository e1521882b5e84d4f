//! `/openapi/v2` and `/openapi/v3`.
use crate::request::call::Answer;
use crate::request::query::Query;
use crate::server::State;
use http::request::Parts;

/// `None`: not one of its paths.
pub fn answer(_state: &State, _parts: &Parts, _query: &Query) -> Option<Answer> {
    None
}
