//! Discovery.
use crate::request::call::Answer;
use crate::request::query::Query;
use crate::server::State;
use http::request::Parts;
use std::sync::Arc;

pub fn answer(_state: &Arc<State>, _parts: &Parts, _query: &Query) -> Option<Answer> {
    None
}
