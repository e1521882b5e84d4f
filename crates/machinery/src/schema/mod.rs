//! The shape of every API object: one table of facts that drives decoding, pruning, protobuf, strategic merge, apply and OpenAPI.
//! The table is generated from the published definitions and read once, at first use.
//! What never happens here: behaviour of a single kind; documentation texts.
mod parse;
mod resources;

pub use resources::{Resource, Subresource, resources};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::OnceLock;

/// A message: a struct of the API, under its OpenAPI name.
#[derive(Debug)]
pub struct Message {
    /// `io.k8s.api.core.v1.PodSpec`.
    pub name: &'static str,
    /// As type errors call it: `v1.PodSpec`.
    pub go_name: &'static str,
    /// In the order of declaration. Fields of embedded structs are not among them, the embedding itself is (`inline`).
    pub fields: Vec<Field>,
    /// Replaced as a whole by apply (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Group, version and kind it is served as (`""` is the core group); meta types served in every group are not listed.
    pub kinds: Vec<Gvk>,
    /// Has a protobuf form.
    pub protobuf: bool,
    /// `PodSpec`.
    short_name: &'static str,
    /// Every JSON field, embedded ones included, sorted by name.
    json: Vec<(&'static str, FieldAt)>,
    /// Names of the embedded structs that fields lie in; the first is none.
    embeddings: Vec<&'static [&'static str]>,
    /// Positions in `json` plus one, by the hash of the name; 0 is empty. At least twice as many as fields, a power of two.
    slots: Vec<u8>,
    /// Indexes into `fields` by rising protobuf number.
    by_number: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gvk {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
}

/// A field as JSON sees it.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub field: &'static Field,
    pub position: usize,
    /// The embedded structs it lies in, from the outside.
    pub embedded: &'static [&'static str],
}

/// Which message, which field of it.
#[derive(Clone, Copy, Debug)]
struct FieldAt {
    message: u16,
    field: u16,
    /// Index into `embeddings`.
    embedding: u8,
}

/// Spreads field names well enough: length, ends and middle.
fn hash(name: &str) -> usize {
    let bytes = name.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default() as usize;
    let last = bytes.len().wrapping_sub(1);
    (bytes.len() * 31 + at(0) * 7 + at(last) * 131 + at(bytes.len() / 2) * 37 + at(3) * 61).wrapping_mul(0x9e37_79b9) >> 7
}

#[derive(Debug)]
pub struct Field {
    /// The JSON name; empty for an embedded struct.
    pub name: &'static str,
    /// An embedded struct: its fields stand among the parent's in JSON and in a message of their own in protobuf.
    pub inline: bool,
    /// The protobuf number; 0 for a field without one.
    pub number: u32,
    pub ty: Type,
    /// A pointer in the original: absent and zero are different, so protobuf leaves it out only when it is absent.
    /// Scalars and structs that are no pointers are always on the protobuf wire.
    pub pointer: bool,
    /// Left out of JSON when empty.
    pub omit_empty: bool,
    /// A list of its own named type (`Verbs`, `ExtraValue`): protobuf wraps it in a message with the items as field 1.
    pub wrapped: bool,
    pub required: bool,
    /// How apply treats a list; `None` means atomic.
    pub list_type: Option<ListType>,
    /// The keys of `ListType::Map`.
    pub list_map_keys: Vec<&'static str>,
    /// A map or struct in this place is replaced as a whole by apply.
    pub atomic: bool,
    /// Here it is not, even if its type is.
    pub granular: bool,
    /// Strategic merge: `merge` (otherwise the list is replaced).
    pub patch_merge: bool,
    /// Strategic merge: `retainKeys`.
    pub patch_retain_keys: bool,
    pub patch_merge_key: Option<&'static str>,
    /// The default as JSON text.
    pub default: Option<&'static str>,
    pub enum_values: Vec<&'static str>,
    /// OpenAPI format (`int32`, `byte`, `date-time`, …) or nothing.
    pub format: &'static str,
    /// The type as type errors call it (`v1.RestartPolicy`, `map[string]v1.ExtraValue`), or nothing where it follows from `ty`.
    pub go_type: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    Atomic,
    Set,
    Map,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int32,
    Int64,
    Float64,
    String,
    /// Base64 in JSON.
    Bytes,
    Quantity,
    /// RFC 3339, seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// `1m30s`.
    Duration,
    IntOrString,
    /// Any JSON object (`runtime.RawExtension`).
    Raw,
    /// `metadata.managedFields[].fieldsV1`.
    FieldsV1,
    /// Any JSON value.
    Json,
    /// A schema or a list of schemas, a schema or a boolean, a schema or a list of strings (custom resource definitions).
    PropsOrArray,
    PropsOrBool,
    PropsOrStrings,
    Message(MessageRef),
    List(Box<Type>),
    /// Keys are strings.
    Map(Box<Type>),
}

/// A message of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageRef(u16);

impl MessageRef {
    pub fn get(&self) -> &'static Message {
        &table().messages[self.0 as usize]
    }
}

impl Type {
    /// The message, if it is one.
    pub fn message(&self) -> Option<&'static Message> {
        match self {
            Type::Message(message) => Some(message.get()),
            _ => None,
        }
    }

    /// What a list or map holds.
    pub fn element(&self) -> Option<&Type> {
        match self {
            Type::List(element) | Type::Map(element) => Some(element),
            _ => None,
        }
    }
}

impl Field {
    /// Does the original leave this value out of what it writes?
    pub fn omits(&self, value: &Value) -> bool {
        self.omit_empty
            && !self.pointer
            && match value {
                Value::Bool(flag) => !flag,
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::String(text) => text.is_empty(),
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty() && matches!(self.ty, Type::Map(_) | Type::Message(_)),
                Value::Null => true,
            }
    }

    /// How apply and strategic merge's successors treat this list: the list type, or what the patch strategy says where there is none.
    pub fn list_semantics(&self) -> (ListType, Vec<&'static str>) {
        match (self.list_type, self.patch_merge, self.patch_merge_key) {
            (Some(list_type), ..) => (list_type, self.list_map_keys.clone()),
            (None, true, Some(key)) => (ListType::Map, vec![key]),
            (None, true, None) => (ListType::Set, Vec::new()),
            (None, false, _) => (ListType::Atomic, Vec::new()),
        }
    }

    pub fn default_value(&self) -> Option<Value> {
        self.default.and_then(|text| serde_json::from_str(text).ok())
    }
}

impl Message {
    /// The field of that JSON name, those of embedded structs included.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.find(name).map(|found| found.field)
    }

    /// The same with its position among all JSON fields (below 128) and the embedded struct it lies in.
    pub fn find(&self, name: &str) -> Option<Found> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash(name) & mask;
        loop {
            let position = (self.slots[slot] as usize).checked_sub(1)?;
            let (known, FieldAt { message, field, embedding }) = self.json[position];
            if known == name {
                let field = &table().messages[message as usize].fields[field as usize];
                return Some(Found { field, position, embedded: self.embeddings[embedding as usize] });
            }
            slot = (slot + 1) & mask;
        }
    }

    /// `PodSpec`.
    pub fn short_name(&self) -> &'static str {
        self.short_name
    }

    /// All JSON fields, embedded ones included, by name.
    pub fn json_fields(&self) -> impl Iterator<Item = (&'static str, &'static Field)> {
        let messages = &table().messages;
        self.json.iter().map(|(name, at)| (*name, &messages[at.message as usize].fields[at.field as usize]))
    }

    /// Fields with a protobuf number, by number; embedded structs are one field here.
    pub fn protobuf_fields(&self) -> impl DoubleEndedIterator<Item = &Field> {
        self.by_number.iter().map(|index| &self.fields[*index as usize])
    }

    pub fn protobuf_field(&self, number: u32) -> Option<&Field> {
        let at = self.by_number.binary_search_by_key(&number, |index| self.fields[*index as usize].number).ok()?;
        Some(&self.fields[self.by_number[at] as usize])
    }
}

pub(crate) const TABLE: &str = include_str!("table.txt");
pub(crate) const RESOURCES: &str = include_str!("resources.txt");

struct Table {
    messages: Vec<Message>,
    names: HashMap<&'static str, u16>,
    kinds: HashMap<(&'static str, &'static str, &'static str), u16>,
}

fn table() -> &'static Table {
    static PARSED: OnceLock<Table> = OnceLock::new();
    PARSED.get_or_init(|| parse::table(TABLE))
}

/// A message by its OpenAPI name, e.g. `io.k8s.api.apps.v1.Deployment`.
pub fn lookup(name: &str) -> Option<&'static Message> {
    let table = table();
    table.names.get(name).map(|index| &table.messages[*index as usize])
}

/// The message of a kind (lists, reviews and options included). Meta kinds (`DeleteOptions`, `WatchEvent`, …) answer in every
/// group and version.
pub fn for_gvk(group: &str, version: &str, kind: &str) -> Option<&'static Message> {
    let table = table();
    let kinds: &HashMap<(&str, &str, &str), u16> = &table.kinds;
    let index = kinds.get(&(group, version, kind)).or_else(|| META_KINDS.contains(&kind).then(|| kinds.get(&("", "v1", kind))).flatten());
    index.map(|index| &table.messages[*index as usize])
}

/// Kinds of `meta/v1` that every group and version knows.
pub const META_KINDS: &[&str] =
    &["CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "WatchEvent"];

/// `JSONSchemaProps`, which custom types of the schema of schemas refer to.
pub(crate) fn props_type() -> &'static Type {
    static PROPS: OnceLock<Type> = OnceLock::new();
    PROPS.get_or_init(|| {
        let name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
        Type::Message(MessageRef(*table().names.get(name).expect("the table knows schemas")))
    })
}

pub(crate) fn props() -> &'static Message {
    props_type().message().expect("a message")
}

/// Every message, in the table's order.
pub fn messages() -> &'static [Message] {
    &table().messages
}

#[cfg(test)]
mod tests;
