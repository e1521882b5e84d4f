//! What the schema says about a place in an object, as far as apply needs it: how its parts are named and which of them have owners
//! of their own. Without a schema (`Deduced`), objects are owned member by member and lists as a whole.
use crate::schema::{Field, ListType, Message, Type};
use serde_json::{Map, Value};
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Message {
        message: &'static Message,
        atomic: bool,
    },
    Map {
        element: &'static Type,
        atomic: bool,
    },
    List {
        element: &'static Type,
        items: Items,
    },
    Text,
    Number,
    Bool,
    /// Any scalar.
    Scalar,
    Deduced,
    /// A list in a list and the like: owned as a whole.
    Whole,
}

/// How a list's items are told apart.
#[derive(Clone, Copy, Debug)]
pub enum Items {
    Atomic,
    Set,
    Keys(&'static [&'static str]),
}

/// What kind of value is in a place, after a look at the value where the schema leaves it open.
#[derive(Clone, Copy, Debug)]
pub enum Atom {
    Map { atomic: bool },
    List(Items),
    Scalar,
}

impl Shape {
    pub fn object(schema: Option<&'static Message>) -> Shape {
        schema.map_or(Shape::Deduced, |message| Shape::Message { message, atomic: false })
    }

    pub fn of_field(field: &'static Field) -> Shape {
        match &field.ty {
            Type::Message(message) => {
                Shape::Message { message: message.get(), atomic: (field.atomic || message.get().atomic) && !field.granular }
            }
            Type::Map(element) => Shape::Map { element, atomic: field.atomic },
            Type::List(element) => {
                let items = match field.list_type {
                    Some(ListType::Map) => Items::Keys(&field.list_map_keys),
                    Some(ListType::Set) => Items::Set,
                    _ => Items::Atomic,
                };
                Shape::List { element, items }
            }
            other => Shape::of_type(other),
        }
    }

    fn of_type(ty: &'static Type) -> Shape {
        match ty {
            Type::Bool => Shape::Bool,
            Type::Int32 | Type::Int64 | Type::Float64 => Shape::Number,
            Type::String | Type::Bytes | Type::Duration => Shape::Text,
            Type::Quantity | Type::Time | Type::MicroTime | Type::IntOrString => Shape::Scalar,
            Type::Message(message) => Shape::Message { message: message.get(), atomic: message.get().atomic },
            Type::Map(element) => Shape::Map { element, atomic: false },
            Type::List(element) => Shape::List { element, items: Items::Atomic },
            Type::Raw => Shape::Whole,
            _ => Shape::Deduced,
        }
    }

    /// The shape of an object's member and, if it is declared by name, its field; `None` for one that cannot be there.
    pub fn member(self, name: &str) -> Option<(Shape, Option<&'static Field>)> {
        match self {
            Shape::Message { message, .. } => message.field(name).map(|field| (Shape::of_field(field), Some(field))),
            Shape::Map { element, .. } => Some((Shape::of_type(element), None)),
            Shape::Whole => Some((Shape::Whole, None)),
            _ => Some((Shape::Deduced, None)),
        }
    }

    /// The shape of a list's items.
    pub fn item(self) -> Shape {
        match self {
            Shape::List { element, .. } => Shape::of_type(element),
            _ => Shape::Whole,
        }
    }

    pub fn atom(self, value: Option<&Value>) -> Atom {
        match (self, value) {
            (Shape::Message { atomic, .. } | Shape::Map { atomic, .. }, _) => Atom::Map { atomic },
            (Shape::List { items, .. }, _) => Atom::List(items),
            (Shape::Deduced | Shape::Whole, Some(Value::Array(_))) => Atom::List(Items::Atomic),
            (Shape::Deduced, None | Some(Value::Object(_) | Value::Null)) => Atom::Map { atomic: false },
            (Shape::Whole, None | Some(Value::Object(_) | Value::Null)) => Atom::Map { atomic: true },
            _ => Atom::Scalar,
        }
    }

    /// Does the value have a form that this place takes? Otherwise what the original says about it.
    pub fn misfit(self, value: &Value) -> Option<String> {
        let odd = |wanted: &str| Some(format!("expected {wanted}, got &{{{}}}", go_text(value)));
        let text = |wanted: &str| Some(format!("expected {wanted}, got &value.valueUnstructured{{Value:{value}}}"));
        match (self, value) {
            (_, Value::Null) | (Shape::Deduced | Shape::Whole, _) => None,
            (Shape::Message { .. } | Shape::Map { .. }, Value::Object(_)) | (Shape::List { .. }, Value::Array(_)) => None,
            (Shape::Text, Value::String(_)) | (Shape::Number, Value::Number(_)) | (Shape::Bool, Value::Bool(_)) => None,
            (Shape::Scalar, Value::String(_) | Value::Number(_) | Value::Bool(_)) => None,
            (Shape::Message { .. } | Shape::Map { .. }, _) => odd("map"),
            (Shape::List { .. }, _) => odd("list"),
            (Shape::Text, _) => text("string"),
            (Shape::Number, _) => Some(format!("expected numeric (int or float), got {}", go_type(value))),
            (Shape::Bool, _) => odd("boolean"),
            (Shape::Scalar, _) => odd("any scalar"),
        }
    }

    /// The path step of one item of an associative list.
    pub fn step(self, items: Items, item: &Value) -> Result<String, String> {
        let keys = match items {
            Items::Atomic => return Err("invalid indexing of non-associative list".into()),
            Items::Set => return set_step(item),
            Items::Keys(keys) => keys,
        };
        let map = match item {
            Value::Object(map) => map,
            Value::Null => return Err("associative list with keys may not have a null element".into()),
            _ => return Err("associative list with keys may not have non-map elements".into()),
        };
        let mut found = Map::new();
        for key in keys {
            let value = map.get(*key).cloned().or_else(|| self.item().member(key)?.1?.default_value()).filter(|value| !value.is_null());
            found.extend(value.map(|value| (key.to_string(), value)));
        }
        if found.is_empty() {
            let keys = keys.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(" ");
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{keys}] (and doesn't have default values for any key fields)"
            ));
        }
        Ok(format!("k:{}", Value::Object(found)))
    }
}

fn set_step(item: &Value) -> Result<String, String> {
    match item {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
        item => Ok(format!("v:{item}")),
    }
}

/// What an absent member of a present object counts as: the original's structs hold parts that are never absent. This decides
/// which places a manager is said to own.
pub fn zero(field: &Field) -> Option<&'static Value> {
    static NULL: Value = Value::Null;
    static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
    static ZERO: LazyLock<Value> = LazyLock::new(|| 0.into());
    static FALSE: Value = Value::Bool(false);
    static NO_TEXT: Value = Value::String(String::new());
    match &field.ty {
        Type::Message(_) if !field.pointer => Some(&EMPTY),
        _ if field.omit_empty => None,
        _ if field.pointer => Some(&NULL),
        Type::Int32 | Type::Int64 | Type::Float64 => Some(&ZERO),
        Type::Bool => Some(&FALSE),
        Type::String => Some(&NO_TEXT),
        _ => Some(&NULL),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::Null | Value::Number(_) => "int64",
    }
}

/// A value as the original prints it into messages.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            format!("map[{}]", map.iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}
