//! What the server itself writes beside the objects of requests: default roles, used quota. It asks nobody for permission, so it
//! is for nothing that a client could cause with content of its own.
use crate::encode::revision::revision_at;
use machinery::object::{AnyObject, Stored};
use machinery::status::Status;
use store::{Expect, Op, Store};

/// A write of a whole object; its resourceVersion is the store's matter.
pub fn put(key: &str, object: &mut dyn AnyObject, expect: Expect) -> Op {
    object.meta_mut().resource_version = Some(String::new());
    let json = object.to_json();
    let revision_at = revision_at(&json).expect("the version was just emptied");
    Op::Put { key: key.into(), template: json.into(), revision_at, expect, ttl: None }
}

/// Reads one object of a known type.
pub async fn find<T>(store: &dyn Store, key: &str) -> Result<Option<std::sync::Arc<T>>, Status>
where
    T: serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let stored = store.get(key).await.map_err(Status::internal)?;
    stored.map(|stored| decoded(&stored)).transpose()
}

/// All objects of a known type under a prefix, in key order. For prefixes with few objects.
pub async fn list<T>(store: &dyn Store, prefix: &str) -> Result<Vec<std::sync::Arc<T>>, Status>
where
    T: serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let page = store.list(prefix, None, 0, store::At::Latest).await.map_err(Status::internal)?;
    page.objects.iter().map(|stored| decoded(stored)).collect()
}

pub fn decoded<T>(stored: &Stored) -> Result<std::sync::Arc<T>, Status>
where
    T: serde::de::DeserializeOwned + Send + Sync + 'static,
{
    stored.decoded().map_err(|error| Status::internal(format!("{} cannot be read: {error}", stored.key)))
}
