//! The fields of metadata that only the server sets, and what must agree with the request's path.
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::status::Status;
use std::collections::BTreeSet;
use stdx::clock::Clock;
use stdx::random::Random;

pub const ORPHAN: &str = "orphan";
pub const FOREGROUND: &str = "foregroundDeletion";
/// Generated names keep so much of their prefix.
const MAX_NAME_PREFIX: usize = 63 - 5;

/// What a client may not set on creation goes; what the server sets comes.
pub fn initialize(meta: &mut ObjectMeta, clock: &Clock, random: &Random) {
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.self_link = None;
    meta.uid = Some(random.uuid());
    meta.creation_timestamp = Some(now(clock));
}

/// The moment in whole seconds, as the API writes it.
pub fn now(clock: &Clock) -> Time {
    let now = clock.now();
    Time(jiff::Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// A name from `generateName`.
pub fn generated_name(prefix: &str, random: &Random) -> String {
    let mut end = prefix.len().min(MAX_NAME_PREFIX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &prefix[..end], random.name_suffix())
}

/// The namespace of the path and of the object must agree; one that is not set is filled in.
pub fn match_namespace(meta: &mut ObjectMeta, namespaced: bool, namespace: &str) -> Result<(), Status> {
    if !namespaced {
        meta.namespace = None;
        return Ok(());
    }
    match meta.namespace.as_deref() {
        None | Some("") => meta.namespace = Some(namespace.into()),
        Some(own) if own == namespace => {}
        Some(_) => {
            return Err(Status::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
        }
    }
    Ok(())
}

/// Owner references with the same uid are one.
pub fn dedup_owners(meta: &mut ObjectMeta, warn: impl FnOnce(String)) {
    let Some(owners) = &mut meta.owner_references else { return };
    let mut seen = BTreeSet::new();
    let mut doubled = Vec::new();
    owners.retain(|owner| {
        let first = seen.insert(owner.uid.clone());
        if !first {
            doubled.push(owner.uid.clone());
        }
        first
    });
    if !doubled.is_empty() {
        doubled.dedup();
        let uids = doubled.join(", ");
        warn(format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {uids}"
        ));
    }
}
