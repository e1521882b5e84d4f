//! Any resource by its metadata alone: get, list and follow, for those who know kinds only from discovery. Nothing is decoded
//! but what ownership and deletion need.
use crate::body::Body;
use crate::error::Error;
use crate::typed::{Client, event_kind, read};
use crate::watcher::lines;
use futures::stream::{BoxStream, StreamExt};
use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use machinery::meta::Key;
use machinery::object::EventKind;
use machinery::status::Status;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use stdx::backoff::Backoff;

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// What ownership and deletion need to know about an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    #[serde(deserialize_with = "or_empty")]
    pub owner_references: Vec<OwnerReference>,
    #[serde(deserialize_with = "or_empty")]
    pub finalizers: Vec<String>,
    pub deletion_timestamp: Option<String>,
}

impl Meta {
    pub fn key(&self) -> Key {
        Key::new(self.namespace.as_str(), self.name.as_str())
    }

    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|own| own == finalizer)
    }
}

/// What a follower is told.
#[derive(Debug)]
pub enum MetaChange {
    /// This is everything there is now.
    Listed(Vec<Meta>),
    Applied(Meta),
    Deleted(Meta),
}

fn or_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Meta,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_empty")]
    items: Vec<Object>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

impl Client {
    /// The metadata of what stands at `path`.
    pub async fn metadata(&self, path: &str) -> Result<Meta, Error> {
        match self.raw(Method::GET, path, None).await? {
            Body::Object(stored) => decode(&stored.json),
            body => read::<Object>(body).await.map(|object| object.metadata),
        }
    }

    /// The metadata of everything in the collection at `path`, with the list's resourceVersion.
    pub async fn list_metadata(&self, path: &str) -> Result<(Vec<Meta>, String), Error> {
        match self.raw(Method::GET, path, None).await? {
            Body::List { objects, revision, .. } => {
                let all: Result<Vec<Meta>, Error> = objects.iter().map(|stored| decode(&stored.json)).collect();
                Ok((all?, revision.to_string()))
            }
            body => {
                let list: List = read(body).await?;
                Ok((list.items.into_iter().map(|object| object.metadata).collect(), list.metadata.resource_version))
            }
        }
    }

    /// Follows the collection at `path` for as long as the task runs; `tell` must not block.
    pub fn follow_metadata(&self, path: String, tell: Arc<dyn Fn(MetaChange) + Send + Sync>) -> tokio::task::JoinHandle<()> {
        let client = self.clone();
        tokio::spawn(async move {
            let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
            let mut place: Option<String> = None;
            loop {
                let before = place.clone();
                if let Err(error) = client.follow_once(&path, &mut place, &*tell).await {
                    tracing::debug!(path, %error, "watch interrupted");
                    if error.is_expired() {
                        place = None;
                    }
                }
                if place.is_some() && place != before {
                    backoff.reset();
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
        })
    }

    async fn follow_once(&self, path: &str, place: &mut Option<String>, tell: &(dyn Fn(MetaChange) + Send + Sync)) -> Result<(), Error> {
        let from = match place {
            Some(version) => version.clone(),
            None => {
                let (all, version) = self.list_metadata(path).await?;
                tell(MetaChange::Listed(all));
                place.insert(version).clone()
            }
        };
        let query = format!("{path}?watch=true&allowWatchBookmarks=true&resourceVersion={from}");
        let mut changes = changes(self.raw(Method::GET, &query, None).await?);
        while let Some(batch) = changes.next().await {
            for (kind, meta) in batch? {
                *place = Some(meta.resource_version.clone());
                match kind {
                    EventKind::Bookmark => {}
                    EventKind::Deleted => tell(MetaChange::Deleted(meta)),
                    EventKind::Added | EventKind::Modified => tell(MetaChange::Applied(meta)),
                }
            }
        }
        Ok(())
    }
}

type Batches = BoxStream<'static, Result<Vec<(EventKind, Meta)>, Error>>;

fn changes(body: Body) -> Batches {
    match body {
        Body::Events(events) => events
            .map(|batch| {
                let one = |event: machinery::object::Event| match event.kind {
                    EventKind::Bookmark => {
                        Ok((event.kind, Meta { resource_version: event.object.revision.to_string(), ..Meta::default() }))
                    }
                    kind => decode(&event.object.json).map(|meta| (kind, meta)),
                };
                batch?.into_iter().map(one).collect()
            })
            .boxed(),
        body => lines(body).map(|line| decode_line(&line?).map(|change| vec![change])).boxed(),
    }
}

fn decode_line(line: &[u8]) -> Result<(EventKind, Meta), Error> {
    let line: Line = serde_json::from_slice(line).map_err(|error| Error::Decode(error.to_string()))?;
    let object = line.object.get().as_bytes();
    match event_kind(line.kind) {
        Some(kind) => decode(object).map(|meta| (kind, meta)),
        None => {
            let status: serde_json::Value = serde_json::from_slice(object).map_err(|error| Error::Decode(error.to_string()))?;
            Err(Status::from_value(&status).into())
        }
    }
}

fn decode(json: &[u8]) -> Result<Meta, Error> {
    serde_json::from_slice::<Object>(json).map(|object| object.metadata).map_err(|error| Error::Decode(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_it_needs_and_nothing_else() {
        let json = br#"{"kind":"Pod","metadata":{"name":"a","namespace":"x","uid":"1","ownerReferences":null,"finalizers":["f"],
            "deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"a":"b"}},"spec":{"nodeName":"n"}}"#;
        let meta = decode(json).unwrap();
        assert!(meta.is_deleting() && meta.has_finalizer("f") && meta.owner_references.is_empty());
        let line = br#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#;
        assert!(decode_line(line).unwrap_err().is_expired());
    }
}
