//! Objects: erased while a request is worked on (`dyn AnyObject`), encoded once when stored (`Stored`).
use bytes::Bytes;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The one bound that every typed API object meets (`k8s_openapi` types do).
pub trait Resource: Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}
impl<T: Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Resource for T {}

/// An object without its type. Generic steps work on metadata or on the JSON value; those that know the type downcast.
pub trait AnyObject: Any + Send + Sync {
    fn meta(&self) -> &ObjectMeta;
    fn meta_mut(&mut self) -> &mut ObjectMeta;
    /// The whole object with `apiVersion` and `kind`.
    fn to_value(&self) -> Value;
    fn to_json(&self) -> Vec<u8>;
    fn boxed_clone(&self) -> Box<dyn AnyObject>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Resource> AnyObject for T {
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }
    fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("an API object has a JSON form")
    }
    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an API object has a JSON form")
    }
    fn boxed_clone(&self) -> Box<dyn AnyObject> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl dyn AnyObject {
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        self.as_any().downcast_ref()
    }
    pub fn downcast_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.as_any_mut().downcast_mut()
    }
}

/// An object of a kind that has no Rust type: metadata typed, the rest as it came. Kinds without code of their own and
/// custom resources use it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dynamic {
    pub api_version: String,
    pub kind: String,
    pub metadata: ObjectMeta,
    /// Everything but `apiVersion`, `kind` and `metadata`.
    pub rest: Map<String, Value>,
}

impl Dynamic {
    pub fn from_value(value: Value) -> Result<Dynamic, serde_json::Error> {
        let Value::Object(mut rest) = value else { return Err(serde::de::Error::custom("an object is expected")) };
        let mut text = |key: &str| rest.remove(key).and_then(|value| value.as_str().map(String::from)).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let metadata = rest.remove("metadata").map(serde_json::from_value).transpose()?.unwrap_or_default();
        Ok(Dynamic { api_version, kind, metadata, rest })
    }
}

impl AnyObject for Dynamic {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("apiVersion".into(), self.api_version.as_str().into());
        map.insert("kind".into(), self.kind.as_str().into());
        map.insert("metadata".into(), serde_json::to_value(&self.metadata).expect("metadata has a JSON form"));
        map.extend(self.rest.clone());
        Value::Object(map)
    }
    /// In the order of typed objects: what it is, its metadata, the rest.
    fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Ordered<'a> {
            api_version: &'a str,
            kind: &'a str,
            metadata: &'a ObjectMeta,
            #[serde(flatten)]
            rest: &'a Map<String, Value>,
        }
        let Dynamic { api_version, kind, metadata, rest } = self;
        serde_json::to_vec(&Ordered { api_version, kind, metadata, rest }).expect("a JSON value has a JSON form")
    }
    fn boxed_clone(&self) -> Box<dyn AnyObject> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// An object as the store, the watchers and the informers share it: encoded once per encoding, decoded at most once.
/// `json` is in the stored version and already carries `metadata.resourceVersion`.
pub struct Stored {
    pub key: Arc<str>,
    pub json: Bytes,
    /// Where in `json` the digits of the resourceVersion stand (between their quotes).
    pub revision_at: u32,
    /// The revision of the last write; `metadata.resourceVersion`.
    pub revision: u64,
    /// The revision at which the key was created.
    pub created: u64,
    protobuf: OnceLock<Bytes>,
    decoded: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Stored {
    pub fn new(key: Arc<str>, json: Bytes, revision_at: u32, revision: u64, created: u64) -> Stored {
        Stored { key, json, revision_at, revision, created, protobuf: OnceLock::new(), decoded: OnceLock::new() }
    }

    /// `template` holds the object with an empty resourceVersion (`"resourceVersion":""`) whose closing quote stands at
    /// `revision_at`; the digits go in there by one copy.
    pub fn publish(key: Arc<str>, template: &[u8], revision_at: u32, revision: u64, created: u64) -> Stored {
        let (head, tail) = template.split_at(revision_at as usize);
        let mut json = Vec::with_capacity(template.len() + 12);
        json.extend_from_slice(head);
        json.extend_from_slice(revision.to_string().as_bytes());
        json.extend_from_slice(tail);
        Stored::new(key, json.into(), revision_at, revision, created)
    }

    /// The bytes with an empty resourceVersion again: what a log keeps, and what a deletion event is published from.
    pub fn template(&self) -> Vec<u8> {
        let at = self.revision_at as usize;
        let digits = self.json[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        [&self.json[..at], &self.json[at + digits..]].concat()
    }

    /// The typed object, parsed at most once for everybody in the process as long as all ask for the same type.
    pub fn decoded<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, serde_json::Error> {
        if let Some(shared) = self.decoded.get() {
            if let Ok(object) = shared.clone().downcast::<T>() {
                return Ok(object);
            }
            return serde_json::from_slice(&self.json).map(Arc::new);
        }
        let object: Arc<T> = Arc::new(serde_json::from_slice(&self.json)?);
        let _ = self.decoded.set(object.clone());
        Ok(object)
    }

    /// The protobuf form (with envelope), encoded by `encode` at most once.
    pub fn protobuf(&self, encode: impl FnOnce(&[u8]) -> Bytes) -> Bytes {
        self.protobuf.get_or_init(|| encode(&self.json)).clone()
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Stored({} at {}, {} bytes)", self.key, self.revision, self.json.len())
    }
}

/// What a watch tells: one change to one object.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: EventKind,
    pub object: Arc<Stored>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Added,
    Modified,
    Deleted,
    /// Only the resourceVersion of `object` means something.
    Bookmark,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_goes_in_and_comes_out() {
        let template = br#"{"metadata":{"name":"a","resourceVersion":""},"data":{}}"#;
        let at = 43;
        let stored = Stored::publish("/registry/configmaps/x/a".into(), template, at, 1234, 1234);
        let value: Value = serde_json::from_slice(&stored.json).unwrap();
        assert_eq!(value["metadata"]["resourceVersion"], "1234");
        assert_eq!(stored.template(), template);
    }
}
