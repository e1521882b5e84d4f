//! What the store says, in the API's words; and which resources are stored with less than full durability.
use machinery::status::{Cause, Details, Reason, Status};
use std::time::Duration;
use store::{Durability, Error};

/// Events vanish after this time.
const EVENT_TTL: Duration = Duration::from_secs(3600);

/// How objects of a resource are kept: leases and events may be lost by a crash within moments, and say so in the documentation.
pub fn policy(storage: &str) -> (Durability, Option<Duration>) {
    match storage {
        "events" => (Durability::Lazy, Some(EVENT_TTL)),
        "leases" | "leases.coordination.k8s.io" => (Durability::Lazy, None),
        _ => (Durability::Synced, None),
    }
}

/// Failures that are not about one object's state.
pub fn failure(error: Error) -> Status {
    match error {
        Error::Conflict { .. } => Status::internal("an unexpected conflict in the store"),
        Error::Compacted { asked, oldest } => expired(asked, oldest),
        Error::Future { asked, newest } => too_large(asked, newest),
        Error::Corrupt { .. } => Status::internal(error),
        Error::Full(_) | Error::Unavailable(_) => {
            let details = Details { retry_after_seconds: 2, ..Details::default() };
            Status::new(Reason::ServiceUnavailable, error.to_string()).with(details)
        }
    }
}

pub fn expired(asked: u64, oldest: u64) -> Status {
    Status::new(Reason::Expired, format!("too old resource version: {asked} ({oldest})"))
}

/// A version that this server has not reached.
pub fn too_large(asked: u64, newest: u64) -> Status {
    let cause = Cause { field: String::new(), reason: "ResourceVersionTooLarge".into(), message: "Too large resource version".into() };
    let details = Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() };
    Status::new(Reason::Timeout, format!("Timeout: Too large resource version: {asked}, current: {newest}")).with(details)
}
