//! Objects on their way into the store: encoded with a place for the resourceVersion, written on a condition.
use super::storage;
use crate::encode::revision::revision_at;
use crate::request::call::Call;
use bytes::Bytes;
use machinery::object::{AnyObject, Stored};
use machinery::status::{Reason, Status};
use std::sync::Arc;
use store::{Error, Expect, Op};

/// Objects larger than this are not stored.
const MAX_OBJECT_BYTES: usize = 3 << 20;

pub struct Template {
    pub bytes: Bytes,
    pub revision_at: u32,
}

/// The stored form; what the object's resourceVersion was does not matter.
pub fn template(call: &Call, object: &mut dyn AnyObject) -> Result<Template, Status> {
    object.meta_mut().resource_version = Some(String::new());
    let bytes: Bytes = call.served.encode(object)?.into();
    if bytes.len() > MAX_OBJECT_BYTES {
        let message = format!("Request entity too large: the object has {} bytes, the limit is {MAX_OBJECT_BYTES}", bytes.len());
        return Err(Status::new(Reason::RequestEntityTooLarge, message));
    }
    let revision_at = revision_at(&bytes).ok_or_else(|| Status::internal("the object has no place for its resourceVersion"))?;
    Ok(Template { bytes, revision_at })
}

/// What became of a conditional write.
pub enum Written {
    Done(Arc<Stored>),
    /// The condition does not hold (any more).
    Lost,
}

pub async fn put(key: &str, call: &Call, template: Template, expect: Expect) -> Result<Written, Status> {
    let (durability, ttl) = storage::policy(call.served.kind.names().storage);
    let Template { bytes, revision_at } = template;
    let op = Op::Put { key: key.into(), template: bytes, revision_at, expect, ttl };
    run(call, op, durability, |outcome| outcome.object).await
}

/// Gives the last state, at the revision of its deletion where the store tells it.
pub async fn remove(key: &str, call: &Call, expect: Expect) -> Result<Written, Status> {
    let (durability, _) = storage::policy(call.served.kind.names().storage);
    let op = Op::Delete { key: key.into(), expect };
    run(call, op, durability, |outcome| outcome.object.or(outcome.previous)).await
}

async fn run(
    call: &Call,
    op: Op,
    durability: store::Durability,
    take: fn(store::Outcome) -> Option<Arc<Stored>>,
) -> Result<Written, Status> {
    match call.state.store().txn(vec![op], durability).await {
        Ok(outcomes) => {
            let object = outcomes.into_iter().next().and_then(take);
            object.map(Written::Done).ok_or_else(|| Status::internal("the store told nothing about a write"))
        }
        Err(Error::Conflict { .. }) => Ok(Written::Lost),
        Err(error) => Err(storage::failure(error)),
    }
}
