//! One descriptor per kind: typed inside (`Kind<T>`), erased outside (`dyn DynKind`).
//! Handlers, discovery, storage and tables see only the erased side, so none of them knows a kind by name. A custom resource
//! builds another implementation of `DynKind` from its schema at run time.
use crate::errors::Errors;
use crate::object::{AnyObject, Resource, Stored};
use crate::status::Status;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// How a kind is called and where it is served.
#[derive(Clone, Debug)]
pub struct Names {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub short: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    /// Verbs as discovery lists them (`create`, `delete`, `deletecollection`, `get`, `list`, `patch`, `update`, `watch`).
    pub verbs: &'static [&'static str],
    /// The first part of the store's keys, `/registry/<storage>/[<namespace>/]<name>`, the same for all versions of a resource.
    pub storage: &'static str,
    /// Name of the message in the schema table, e.g. `io.k8s.api.apps.v1.Deployment`.
    pub schema: &'static str,
}

impl Names {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The store's key of one object.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        format!("{}{name}", self.prefix(namespace))
    }

    /// The store's prefix of all objects (empty namespace) or of one namespace's.
    pub fn prefix(&self, namespace: &str) -> String {
        if namespace.is_empty() { format!("/registry/{}/", self.storage) } else { format!("/registry/{}/{namespace}/", self.storage) }
    }
}

/// A printer column; `priority` above zero shows only in wide output.
pub struct Column<T> {
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub kind: &'static str,
    pub format: &'static str,
    pub priority: i32,
    pub cell: fn(&T, Timestamp) -> Value,
}

/// A column as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnNames {
    pub name: String,
    pub kind: String,
    pub format: String,
    pub priority: i32,
}

/// A field that `fieldSelector` may name, besides `metadata.name` and `metadata.namespace`.
pub struct Field<T> {
    pub path: &'static str,
    pub value: fn(&T) -> String,
}

/// How the scale subresource reads and writes an object of this kind.
pub struct Scale<T> {
    pub replicas: fn(&T) -> i32,
    pub set_replicas: fn(&mut T, i32),
    pub status_replicas: fn(&T) -> i32,
    /// The selector in its text form.
    pub selector: fn(&T) -> String,
}

/// One more subresource through which the object itself is read and written (`status`, `ephemeralcontainers`, `approval`, `resize`, `finalize`).
pub struct Subresource<T> {
    pub name: &'static str,
    pub verbs: &'static [&'static str],
    /// Takes back what this subresource may not change; `new` is what the client sent, `old` what is stored.
    pub prepare: fn(new: &mut T, old: &T),
    pub validate: fn(new: &T, old: &T, &mut Errors),
}

/// Everything the API server needs to know about one kind with a Rust type. Written as
/// `pub static DEPLOYMENT: Kind<Deployment> = Kind { default, validate, …, ..Kind::of(NAMES) };`
pub struct Kind<T: 'static> {
    pub names: Names,
    pub default: fn(&mut T),
    /// What the server sets or takes back when a client creates (status, generation).
    pub on_create: fn(&mut T),
    /// The same for updates of the main resource.
    pub on_update: fn(new: &mut T, old: &T),
    pub validate: fn(&T, &mut Errors),
    pub validate_update: fn(new: &T, old: &T, &mut Errors),
    pub warnings: fn(&T) -> Vec<String>,
    pub columns: &'static [Column<T>],
    pub fields: &'static [Field<T>],
    pub subresources: &'static [Subresource<T>],
    pub scale: Option<Scale<T>>,
    /// Seconds of grace when a client deletes: `None` deletes at once, `Some` marks first (pods). Gets what the client asked for.
    pub grace: fn(&T, asked: Option<i64>) -> Option<i64>,
    /// May an update create the object (`PUT` on a name that does not exist)?
    pub create_on_update: bool,
    /// May an update leave `resourceVersion` out?
    pub unconditional_update: bool,
    /// How the name is checked.
    pub name: NameRule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    DnsSubdomain,
    DnsLabel,
    /// RFC 1035 label (services).
    Dns1035Label,
    /// Anything that can stand in a path (RBAC).
    PathSegment,
}

impl<T> Kind<T> {
    /// A kind that adds nothing: no defaults, no checks, only a name column and its age (which the table adds itself).
    pub const fn of(names: Names) -> Kind<T> {
        Kind {
            names,
            default: |_| {},
            on_create: |_| {},
            on_update: |_, _| {},
            validate: |_, _| {},
            validate_update: |_, _, _| {},
            warnings: |_| Vec::new(),
            columns: &[],
            fields: &[],
            subresources: &[],
            scale: None,
            grace: |_, _| None,
            create_on_update: false,
            unconditional_update: true,
            name: NameRule::DnsSubdomain,
        }
    }
}

/// The erased side. `AnyObject`s given to it are always its own (made by `decode` of the same kind).
pub trait DynKind: Send + Sync {
    fn names(&self) -> &Names;
    /// From a JSON value that is already pruned to the kind's schema.
    fn decode(&self, value: Value) -> Result<Box<dyn AnyObject>, Status>;
    /// From the stored bytes.
    fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn AnyObject>, Status>;
    /// The stored object to read, decoded at most once for everybody in the process where the kind has a Rust type.
    fn shared(&self, stored: &Stored) -> Result<Arc<dyn AnyObject>, Status> {
        self.decode_stored(&stored.json).map(Arc::from)
    }
    fn default(&self, object: &mut dyn AnyObject);
    fn on_create(&self, object: &mut dyn AnyObject);
    fn on_update(&self, new: &mut dyn AnyObject, old: &dyn AnyObject);
    fn validate(&self, object: &dyn AnyObject, errors: &mut Errors);
    fn validate_update(&self, new: &dyn AnyObject, old: &dyn AnyObject, errors: &mut Errors);
    fn warnings(&self, object: &dyn AnyObject) -> Vec<String>;
    /// Columns of its Tables; the first is always `Name`.
    fn columns(&self) -> Vec<ColumnNames>;
    fn row(&self, object: &dyn AnyObject, now: Timestamp) -> Vec<Value>;
    /// Fields that selectors may name besides `metadata.name` and `metadata.namespace`.
    fn field_names(&self) -> Vec<&str>;
    /// The value of a selectable field; `None` for one that this kind does not have.
    fn field(&self, object: &dyn AnyObject, path: &str) -> Option<String>;
    /// Object-shaped subresources with their verbs (`status`, …), without `scale`.
    fn subresources(&self) -> Vec<(&str, &[&'static str])>;
    fn prepare_subresource(&self, subresource: &str, new: &mut dyn AnyObject, old: &dyn AnyObject);
    fn validate_subresource(&self, subresource: &str, new: &dyn AnyObject, old: &dyn AnyObject, errors: &mut Errors);
    fn scalable(&self) -> bool;
    /// Replicas wanted, replicas there, selector; `None` if the kind has no scale.
    fn scale(&self, object: &dyn AnyObject) -> Option<(i32, i32, String)>;
    fn set_scale(&self, object: &mut dyn AnyObject, replicas: i32);
    fn grace(&self, object: &dyn AnyObject, asked: Option<i64>) -> Option<i64>;
    fn create_on_update(&self) -> bool;
    fn unconditional_update(&self) -> bool;
    fn name_rule(&self) -> NameRule;
}

fn typed<T: 'static>(object: &dyn AnyObject) -> &T {
    object.downcast_ref().expect("a kind is given its own objects")
}

fn typed_mut<T: 'static>(object: &mut dyn AnyObject) -> &mut T {
    object.downcast_mut().expect("a kind is given its own objects")
}

fn undecodable(names: &Names, error: serde_json::Error) -> Status {
    let (kind, version) = (names.kind, names.version);
    Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"))
}

/// The original takes conditions (`metav1.Condition`) without their time and keeps the zero time; the typed form has to have one.
fn with_condition_times(names: &Names, mut value: Value) -> Value {
    let conditions = value.get_mut("status").and_then(|status| status.get_mut("conditions")).and_then(Value::as_array_mut);
    let timeless = |condition: &&mut Value| condition.is_object() && condition.get("lastTransitionTime").is_none_or(Value::is_null);
    let Some(conditions) =
        conditions.filter(|conditions| conditions.iter().any(|c| c.get("lastTransitionTime").is_none_or(Value::is_null)))
    else {
        return value;
    };
    let status = crate::schema::lookup(names.schema).and_then(|message| message.field("status")?.ty.message());
    let element = status.and_then(|status| status.field("conditions")?.ty.element()?.message());
    if element.is_some_and(|element| element.name == "io.k8s.apimachinery.pkg.apis.meta.v1.Condition") {
        for condition in conditions.iter_mut().filter(timeless) {
            condition["lastTransitionTime"] = "1970-01-01T00:00:00Z".into();
        }
    }
    value
}

impl<T: Resource> DynKind for Kind<T> {
    fn names(&self) -> &Names {
        &self.names
    }
    fn decode(&self, value: Value) -> Result<Box<dyn AnyObject>, Status> {
        let value = with_condition_times(&self.names, value);
        serde_json::from_value::<T>(value).map(|object| Box::new(object) as _).map_err(|error| undecodable(&self.names, error))
    }
    fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn AnyObject>, Status> {
        serde_json::from_slice::<T>(json).map(|object| Box::new(object) as _).map_err(|error| undecodable(&self.names, error))
    }
    fn shared(&self, stored: &Stored) -> Result<Arc<dyn AnyObject>, Status> {
        stored.decoded::<T>().map(|object| object as _).map_err(|error| undecodable(&self.names, error))
    }
    fn default(&self, object: &mut dyn AnyObject) {
        (self.default)(typed_mut(object))
    }
    fn on_create(&self, object: &mut dyn AnyObject) {
        (self.on_create)(typed_mut(object))
    }
    fn on_update(&self, new: &mut dyn AnyObject, old: &dyn AnyObject) {
        (self.on_update)(typed_mut(new), typed(old))
    }
    fn validate(&self, object: &dyn AnyObject, errors: &mut Errors) {
        (self.validate)(typed(object), errors)
    }
    fn validate_update(&self, new: &dyn AnyObject, old: &dyn AnyObject, errors: &mut Errors) {
        (self.validate_update)(typed(new), typed(old), errors)
    }
    fn warnings(&self, object: &dyn AnyObject) -> Vec<String> {
        (self.warnings)(typed(object))
    }
    fn columns(&self) -> Vec<ColumnNames> {
        let shown = |column: &Column<T>| ColumnNames {
            name: column.name.into(),
            kind: column.kind.into(),
            format: column.format.into(),
            priority: column.priority,
        };
        self.columns.iter().map(shown).collect()
    }
    fn row(&self, object: &dyn AnyObject, now: Timestamp) -> Vec<Value> {
        self.columns.iter().map(|column| (column.cell)(typed(object), now)).collect()
    }
    fn field_names(&self) -> Vec<&str> {
        self.fields.iter().map(|field| field.path).collect()
    }
    fn field(&self, object: &dyn AnyObject, path: &str) -> Option<String> {
        self.fields.iter().find(|field| field.path == path).map(|field| (field.value)(typed(object)))
    }
    fn subresources(&self) -> Vec<(&str, &[&'static str])> {
        self.subresources.iter().map(|sub| (sub.name, sub.verbs)).collect()
    }
    fn prepare_subresource(&self, subresource: &str, new: &mut dyn AnyObject, old: &dyn AnyObject) {
        if let Some(sub) = self.subresources.iter().find(|sub| sub.name == subresource) {
            (sub.prepare)(typed_mut(new), typed(old))
        }
    }
    fn validate_subresource(&self, subresource: &str, new: &dyn AnyObject, old: &dyn AnyObject, errors: &mut Errors) {
        if let Some(sub) = self.subresources.iter().find(|sub| sub.name == subresource) {
            (sub.validate)(typed(new), typed(old), errors)
        }
    }
    fn scalable(&self) -> bool {
        self.scale.is_some()
    }
    fn scale(&self, object: &dyn AnyObject) -> Option<(i32, i32, String)> {
        let object = typed(object);
        self.scale.as_ref().map(|scale| ((scale.replicas)(object), (scale.status_replicas)(object), (scale.selector)(object)))
    }
    fn set_scale(&self, object: &mut dyn AnyObject, replicas: i32) {
        if let Some(scale) = &self.scale {
            (scale.set_replicas)(typed_mut(object), replicas)
        }
    }
    fn grace(&self, object: &dyn AnyObject, asked: Option<i64>) -> Option<i64> {
        (self.grace)(typed(object), asked)
    }
    fn create_on_update(&self) -> bool {
        self.create_on_update
    }
    fn unconditional_update(&self) -> bool {
        self.unconditional_update
    }
    fn name_rule(&self) -> NameRule {
        self.name
    }
}
