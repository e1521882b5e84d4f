//! Writes messages back to front, so that every length is known when it is written, and turns the buffer around at the end.
use super::{BYTES, FIXED64, MAGIC, VARINT, unknown};
use crate::codec::time;
use crate::schema::{self, Field, Message, Type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// An object with its envelope; `None` if its kind has no protobuf form.
pub fn encode(value: &Value, message: &Message) -> Option<Vec<u8>> {
    if !message.protobuf {
        return None;
    }
    let object = value.as_object()?;
    let mut out = Backward::default();
    out.string(unknown::CONTENT_TYPE, "");
    out.string(unknown::CONTENT_ENCODING, "");
    out.nested(unknown::RAW, |out| out.message(object, message));
    let typed = message.field("apiVersion").is_some() && message.field("kind").is_some();
    let text = |key: &str| object.get(key).filter(|_| typed).and_then(Value::as_str).unwrap_or_default();
    out.type_meta(text("apiVersion"), text("kind"));
    out.raw(MAGIC);
    Some(out.finish())
}

#[derive(Default)]
pub(super) struct Backward(Vec<u8>);

impl Backward {
    pub fn finish(mut self) -> Vec<u8> {
        self.0.reverse();
        self.0
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().rev());
    }

    pub fn varint(&mut self, mut value: u64) {
        let from = self.0.len();
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self.0[from..].reverse();
    }

    pub fn tag(&mut self, number: u32, wire: u32) {
        self.varint((number << 3 | wire) as u64);
    }

    pub fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.raw(bytes);
        self.varint(bytes.len() as u64);
        self.tag(number, BYTES);
    }

    pub fn string(&mut self, number: u32, text: &str) {
        self.bytes(number, text.as_bytes());
    }

    fn integer(&mut self, number: u32, value: i64) {
        self.varint(value as u64);
        self.tag(number, VARINT);
    }

    pub fn nested(&mut self, number: u32, body: impl FnOnce(&mut Backward)) {
        let from = self.0.len();
        body(self);
        self.varint((self.0.len() - from) as u64);
        self.tag(number, BYTES);
    }

    pub fn type_meta(&mut self, api_version: &str, kind: &str) {
        self.nested(unknown::TYPE_META, |out| {
            out.string(unknown::KIND, kind);
            out.string(unknown::API_VERSION, api_version);
        });
    }

    pub fn message(&mut self, object: &Map<String, Value>, message: &Message) {
        for field in message.protobuf_fields().rev() {
            if field.inline {
                self.embedded(object, field);
                continue;
            }
            match object.get(field.name).filter(|value| !value.is_null()) {
                Some(value) => self.field(field, value),
                None if field.pointer => {}
                None => self.absent(field.number, &field.ty),
            }
        }
    }

    /// An embedded struct is a message of its own, made from the parent's fields.
    fn embedded(&mut self, object: &Map<String, Value>, field: &Field) {
        let Some(inner) = field.ty.message() else { return };
        if !field.pointer || inner.json_fields().any(|(name, _)| object.contains_key(name)) {
            self.nested(field.number, |out| out.message(object, inner));
        }
    }

    fn field(&mut self, field: &Field, value: &Value) {
        match (&field.ty, value) {
            (Type::List(element), Value::Array(list)) if field.wrapped => {
                self.nested(field.number, |out| list.iter().rev().for_each(|item| out.one(1, element, item)));
            }
            (Type::List(element), Value::Array(list)) => list.iter().rev().for_each(|item| self.one(field.number, element, item)),
            (Type::Map(element), Value::Object(map)) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(key, _)| *key);
                for (key, value) in entries.into_iter().rev() {
                    self.nested(field.number, |out| {
                        out.one(2, element, value);
                        out.string(1, key);
                    });
                }
            }
            (ty, value) => self.one(field.number, ty, value),
        }
    }

    /// One value: a field, an element, a map's value.
    fn one(&mut self, number: u32, ty: &Type, value: &Value) {
        let text = value.as_str().unwrap_or_default();
        match ty {
            Type::Bool => self.integer(number, value.as_bool().unwrap_or_default().into()),
            Type::Int32 | Type::Int64 => self.integer(number, value.as_i64().unwrap_or_default()),
            Type::Float64 => {
                self.raw(&value.as_f64().unwrap_or_default().to_le_bytes());
                self.tag(number, FIXED64);
            }
            Type::String => self.string(number, text),
            Type::Bytes => self.bytes(number, &STANDARD.decode(text).unwrap_or_default()),
            Type::Quantity => self.nested(number, |out| out.string(1, if text.is_empty() { "0" } else { text })),
            Type::Time | Type::MicroTime => self.nested(number, |out| out.time(text, *ty == Type::MicroTime)),
            Type::Duration => self.nested(number, |out| out.integer(1, time::parse_duration(text).unwrap_or_default())),
            Type::IntOrString => self.nested(number, |out| {
                out.string(3, text);
                out.integer(2, value.as_i64().unwrap_or_default());
                out.integer(1, value.is_string().into());
            }),
            Type::Raw | Type::FieldsV1 | Type::Json => self.nested(number, |out| {
                let json = serde_json::to_vec(value).unwrap_or_default();
                out.bytes(1, &json);
            }),
            Type::PropsOrArray | Type::PropsOrBool | Type::PropsOrStrings => self.nested(number, |out| out.props_or(ty, value)),
            Type::Message(message) => match value.as_object() {
                Some(object) => self.nested(number, |out| out.message(object, message.get())),
                None => self.nested(number, |_| {}),
            },
            // A list inside a list or map is a message with the items as field 1.
            Type::List(element) => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                self.nested(number, |out| items.iter().rev().for_each(|item| out.one(1, element, item)));
            }
            Type::Map(_) => {}
        }
    }

    /// A value that is no pointer is on the wire even when nothing was said.
    fn absent(&mut self, number: u32, ty: &Type) {
        match ty {
            Type::List(_) | Type::Map(_) | Type::Bytes => {}
            Type::Message(message) => self.nested(number, |out| out.message(&Map::new(), message.get())),
            Type::Time | Type::MicroTime | Type::Raw | Type::FieldsV1 | Type::Json => self.nested(number, |_| {}),
            ty => self.one(number, ty, &Value::Null),
        }
    }

    fn time(&mut self, text: &str, micro: bool) {
        if let Ok(at) = text.parse::<Timestamp>() {
            let micros = if micro { at.subsec_nanosecond() / 1000 } else { 0 };
            self.integer(2, (micros * 1000).into());
            self.integer(1, at.as_second());
        }
    }

    fn props_or(&mut self, ty: &Type, value: &Value) {
        let props = schema::props_type();
        // The number of the schema and of its alternative differ by type.
        let (schema_number, other) = if *ty == Type::PropsOrBool { (2, 1) } else { (1, 2) };
        match value {
            Value::Object(_) if *ty == Type::PropsOrBool => {
                self.one(schema_number, props, value);
                self.integer(other, 1);
            }
            Value::Object(_) => self.one(schema_number, props, value),
            Value::Array(list) => {
                let element = if *ty == Type::PropsOrArray { props } else { &Type::String };
                list.iter().rev().for_each(|item| self.one(other, element, item));
            }
            value if *ty == Type::PropsOrBool => self.integer(other, value.as_bool().unwrap_or_default().into()),
            _ => {}
        }
    }
}
