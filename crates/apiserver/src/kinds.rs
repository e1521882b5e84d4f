//! Which resources are served: every version of every resource, found by group, version and plural. Handlers get a `Served` and
//! never ask what kind it is.
use machinery::kind::{DynKind, Names};
use machinery::object::{AnyObject, Stored};
use machinery::status::Status;
use serde_json::Value;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

/// A kind from the registry, or one made at run time.
#[derive(Clone)]
pub enum KindRef {
    Static(&'static dyn DynKind),
    Made(Arc<dyn DynKind>),
}

impl Deref for KindRef {
    type Target = dyn DynKind;

    fn deref(&self) -> &(dyn DynKind + 'static) {
        match self {
            KindRef::Static(kind) => *kind,
            KindRef::Made(kind) => &**kind,
        }
    }
}

/// A subresource as discovery shows it.
#[derive(Clone, Debug)]
pub struct SubresourceNames {
    pub name: String,
    pub group: String,
    pub version: String,
    pub kind: String,
    pub verbs: Vec<String>,
}

impl From<&machinery::schema::Subresource> for SubresourceNames {
    fn from(sub: &machinery::schema::Subresource) -> SubresourceNames {
        SubresourceNames {
            name: sub.name.into(),
            group: sub.group.into(),
            version: sub.version.into(),
            kind: sub.kind.into(),
            verbs: sub.verbs.iter().map(|verb| verb.to_string()).collect(),
        }
    }
}

/// How a value of one version becomes one of another.
pub type Convert = fn(Value, &Names, &Names) -> Value;

/// One version of one resource.
pub struct Served {
    pub kind: KindRef,
    /// The version that is stored, if it is another one.
    pub hub: Option<Hub>,
    pub subresources: Vec<SubresourceNames>,
    /// What discovery tells about the stored form; opaque to clients.
    pub storage_hash: String,
}

pub struct Hub {
    pub kind: KindRef,
    pub convert: Convert,
}

impl Served {
    /// The stored object in this version.
    pub fn object(&self, stored: &Stored) -> Result<Arc<dyn AnyObject>, Status> {
        match &self.hub {
            None => self.kind.shared(stored),
            Some(hub) => self.out_of_hub(hub, &stored.json).map(Arc::from),
        }
    }

    /// The same, to be changed.
    pub fn own_object(&self, stored: &Stored) -> Result<Box<dyn AnyObject>, Status> {
        match &self.hub {
            None => self.kind.decode_stored(&stored.json),
            Some(hub) => self.out_of_hub(hub, &stored.json),
        }
    }

    fn out_of_hub(&self, hub: &Hub, json: &[u8]) -> Result<Box<dyn AnyObject>, Status> {
        let value = serde_json::from_slice(json).map_err(Status::internal)?;
        self.kind.decode((hub.convert)(value, hub.kind.names(), self.kind.names()))
    }

    /// The stored bytes in this version, shared if it is the stored one.
    pub fn stored(&self, stored: &Arc<Stored>) -> Result<Arc<Stored>, Status> {
        if self.hub.is_none() {
            return Ok(stored.clone());
        }
        let json = self.object(stored)?.to_json();
        Ok(Arc::new(Stored::new(stored.key.clone(), json.into(), 0, stored.revision, stored.created)))
    }

    /// The JSON to be stored.
    pub fn encode(&self, object: &dyn AnyObject) -> Result<Vec<u8>, Status> {
        let Some(hub) = &self.hub else { return Ok(object.to_json()) };
        let value = (hub.convert)(object.to_value(), self.kind.names(), hub.kind.names());
        // Through the type, so that the bytes are the same whichever version wrote them.
        Ok(hub.kind.decode(value)?.to_json())
    }

    pub fn storage_kind(&self) -> &KindRef {
        self.hub.as_ref().map_or(&self.kind, |hub| &hub.kind)
    }

    /// Whether objects are kept at all (reviews and bindings are only answered).
    pub fn is_stored(&self) -> bool {
        !self.kind.names().storage.is_empty()
    }

    pub fn has_verb(&self, verb: &str) -> bool {
        self.kind.names().verbs.contains(&verb)
    }

    pub fn subresource(&self, name: &str) -> Option<&SubresourceNames> {
        self.subresources.iter().find(|sub| sub.name == name)
    }
}

/// All that is served, in discovery's order.
#[derive(Default)]
pub struct Kinds {
    all: Vec<Arc<Served>>,
    by_path: HashMap<(&'static str, &'static str, &'static str), usize>,
}

impl Kinds {
    /// Everything in the registry.
    pub fn builtin() -> Kinds {
        let registry = api::registry();
        Kinds::new(registry.all().iter().map(|entry| {
            let names = entry.kind.names();
            let hub = registry.hub_of(names);
            let same = (hub.names().group, hub.names().version) == (names.group, names.version);
            Served {
                kind: KindRef::Static(entry.kind),
                hub: (!same).then_some(Hub { kind: KindRef::Static(hub), convert: api::convert::convert }),
                subresources: entry.subresources.iter().map(SubresourceNames::from).collect(),
                storage_hash: registry.storage_hash(names),
            }
        }))
    }

    pub fn new(all: impl IntoIterator<Item = Served>) -> Kinds {
        let mut kinds = Kinds::default();
        for served in all {
            kinds.add(served);
        }
        kinds
    }

    fn add(&mut self, served: Served) {
        let names = served.kind.names();
        let path = (names.group, names.version, names.plural);
        self.by_path.insert(path, self.all.len());
        self.all.push(Arc::new(served));
    }

    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Served>> {
        self.by_path.get(&(group, version, resource)).map(|&index| &self.all[index])
    }

    pub fn all(&self) -> &[Arc<Served>] {
        &self.all
    }

    /// Whether this group and version is served at all.
    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.all.iter().any(|served| served.kind.names().group == group && served.kind.names().version == version)
    }
}
