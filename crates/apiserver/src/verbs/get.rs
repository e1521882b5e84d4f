//! `get`: the stored object as it is.
use super::storage;
use crate::encode;
use crate::list::options::check_revision;
use crate::request::call::{Answer, Call};
use http::StatusCode;
use machinery::object::Stored;
use machinery::status::Status;
use std::sync::Arc;

pub async fn get(call: &Call) -> Answer {
    check_revision(&call.state, call.query.text("resourceVersion"))?;
    encode::object::stored(call, StatusCode::OK, &current(call).await?)
}

/// The stored object that the request names.
pub async fn current(call: &Call) -> Result<Arc<Stored>, Status> {
    let found = call.state.store().get(&call.key()).await.map_err(storage::failure)?;
    found.ok_or_else(|| call.not_found())
}
