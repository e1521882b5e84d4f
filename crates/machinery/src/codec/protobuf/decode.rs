//! Reads messages into JSON values: unknown numbers are skipped, zero values left out where JSON leaves them out.
use super::{BYTES, FIXED32, FIXED64, MAGIC, VARINT, unknown};
use crate::codec::{DEPTH_MAX, DecodeError, time};
use crate::quantity::Quantity;
use crate::schema::{self, Field, Message, Type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

type Result<T> = std::result::Result<T, String>;

/// Reads an object with its envelope. `apiVersion` and `kind` come from the envelope.
pub fn decode(body: &[u8], message: &Message) -> std::result::Result<Value, DecodeError> {
    let envelope = Envelope::read(body).map_err(DecodeError::Unreadable)?;
    object(&envelope, message, 0).map_err(DecodeError::WrongType)
}

fn object(envelope: &Envelope, message: &Message, depth: usize) -> Result<Value> {
    let mut map = Map::new();
    if message.field("apiVersion").is_some() && message.field("kind").is_some() {
        let known = [("apiVersion", envelope.api_version), ("kind", envelope.kind)];
        map.extend(known.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key.to_string(), text.into())));
    }
    read(envelope.raw, message, &mut map, depth)?;
    Ok(Value::Object(map))
}

/// `apiVersion` and `kind` as the envelope says.
pub fn type_of(body: &[u8]) -> std::result::Result<(&str, &str), DecodeError> {
    let envelope = Envelope::read(body).map_err(DecodeError::Unreadable)?;
    Ok((envelope.api_version, envelope.kind))
}

pub(super) struct Envelope<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    pub fn read(body: &'a [u8]) -> Result<Envelope<'a>> {
        if body.is_empty() {
            return Err("empty data".into());
        }
        let Some(rest) = body.strip_prefix(MAGIC) else {
            return Err("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".into());
        };
        if rest.is_empty() {
            return Err("empty body".into());
        }
        let mut envelope = Envelope { api_version: "", kind: "", raw: &[] };
        let mut fields = Fields(rest);
        while let Some((number, wire)) = fields.next()? {
            match (number, wire) {
                (unknown::TYPE_META, Wire::Bytes(bytes)) => {
                    let mut inner = Fields(bytes);
                    while let Some((number, wire)) = inner.next()? {
                        match (number, wire) {
                            (unknown::API_VERSION, Wire::Bytes(bytes)) => envelope.api_version = text(bytes)?,
                            (unknown::KIND, Wire::Bytes(bytes)) => envelope.kind = text(bytes)?,
                            _ => {}
                        }
                    }
                }
                (unknown::RAW, Wire::Bytes(bytes)) => envelope.raw = bytes,
                _ => {}
            }
        }
        Ok(envelope)
    }
}

#[derive(Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, in the order they come.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0).ok_or_else(|| format!("proto: illegal tag {}", tag >> 3))?;
        let wire = match tag as u32 & 7 {
            VARINT => Wire::Varint(self.varint()?),
            FIXED64 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default())),
            BYTES => {
                let size = usize::try_from(self.varint()?).map_err(|_| "proto: negative length found during unmarshaling")?;
                Wire::Bytes(self.take(size)?)
            }
            FIXED32 => self.take(4).map(|_| Wire::Other)?,
            wire => return Err(format!("proto: illegal wireType {wire}")),
        };
        Ok(Some((number, wire)))
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        if size > self.0.len() {
            return Err("unexpected EOF".into());
        }
        let (taken, rest) = self.0.split_at(size);
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= ((byte & 0x7f) as u64) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("proto: integer overflow".into())
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| "proto: invalid UTF-8 string".into())
}

fn read(bytes: &[u8], message: &Message, map: &mut Map<String, Value>, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err("proto: exceeded max depth".into());
    }
    let mut fields = Fields(bytes);
    while let Some((number, wire)) = fields.next()? {
        let Some(field) = message.protobuf_field(number) else { continue };
        let wrong = |text: String| format!("proto: {}.{}: {text}", message.go_name, field.name);
        match (&field.ty, wire) {
            (Type::Message(inner), Wire::Bytes(bytes)) if field.inline => read(bytes, inner.get(), map, depth + 1)?,
            _ => one_field(field, wire, map, depth).map_err(wrong)?,
        }
    }
    Ok(())
}

fn one_field(field: &Field, wire: Wire, map: &mut Map<String, Value>, depth: usize) -> Result<()> {
    match (&field.ty, wire) {
        (Type::List(element), Wire::Bytes(bytes)) if !field.wrapped && is_number(element) => {
            // Packed numbers, which nobody here writes.
            let mut packed = Fields(bytes);
            let list = list_of(map, field.name);
            while !packed.0.is_empty() {
                list.extend(value(element, Wire::Varint(packed.varint()?), depth)?);
            }
        }
        (Type::List(element), wire) if !field.wrapped => {
            let item = value(element, wire, depth)?.unwrap_or(Value::Null);
            list_of(map, field.name).push(item);
        }
        (Type::Map(element), Wire::Bytes(bytes)) => {
            let (key, value) = entry(element, bytes, depth)?;
            let slot = map.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
            slot.as_object_mut().and_then(|object| object.insert(key, value));
        }
        (ty, wire) => match value(ty, wire, depth)?.filter(|value| !field.omits(value)) {
            Some(value) => drop(map.insert(field.name.into(), value)),
            None => drop(map.remove(field.name)),
        },
    }
    Ok(())
}

fn is_number(ty: &Type) -> bool {
    matches!(ty, Type::Int32 | Type::Int64 | Type::Bool)
}

fn list_of<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Vec<Value> {
    let slot = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut().expect("made a list above")
}

fn entry(element: &Type, bytes: &[u8], depth: usize) -> Result<(String, Value)> {
    let (mut key, mut found) = (String::new(), None);
    let mut fields = Fields(bytes);
    while let Some((number, wire)) = fields.next()? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?.into(),
            (2, wire) => found = value(element, wire, depth)?,
            _ => {}
        }
    }
    let found = found.unwrap_or_else(|| match element {
        Type::String | Type::Bytes => "".into(),
        Type::Message(_) => Value::Object(Map::new()),
        _ => Value::Null,
    });
    Ok((key, found))
}

/// One value; `None` for what JSON would write as null.
fn value(ty: &Type, wire: Wire, depth: usize) -> Result<Option<Value>> {
    Ok(match (ty, wire) {
        (Type::Bool, Wire::Varint(number)) => Some((number != 0).into()),
        (Type::Int32, Wire::Varint(number)) => Some((number as i32).into()),
        (Type::Int64, Wire::Varint(number)) => Some((number as i64).into()),
        (Type::Float64, Wire::Fixed64(bits)) => Some(float(f64::from_bits(bits))),
        (Type::String, Wire::Bytes(bytes)) => Some(text(bytes)?.into()),
        (Type::Bytes, Wire::Bytes(bytes)) => Some(STANDARD.encode(bytes).into()),
        (Type::Message(message), Wire::Bytes(bytes)) => {
            let mut map = Map::new();
            read(bytes, message.get(), &mut map, depth + 1)?;
            Some(Value::Object(map))
        }
        (Type::List(element), Wire::Bytes(bytes)) => {
            let mut list = Vec::new();
            let mut fields = Fields(bytes);
            while let Some((number, wire)) = fields.next()? {
                if number == 1 {
                    list.push(value(element, wire, depth + 1)?.unwrap_or(Value::Null));
                }
            }
            Some(Value::Array(list))
        }
        (ty, Wire::Bytes(bytes)) => special(ty, bytes, depth)?,
        _ => return Err("wrong wireType".into()),
    })
}

fn float(number: f64) -> Value {
    let whole = number.fract() == 0.0 && number.abs() < 1e15;
    if whole { (number as i64).into() } else { number.into() }
}

fn special(ty: &Type, bytes: &[u8], depth: usize) -> Result<Option<Value>> {
    let (mut first, mut second, mut third) = (None, None, None);
    let mut strings = Vec::new();
    let mut fields = Fields(bytes);
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => first = Some(wire),
            2 => {
                second = Some(wire);
                strings.push(wire);
            }
            3 => third = Some(wire),
            _ => {}
        }
    }
    let number = |wire: Option<Wire>| if let Some(Wire::Varint(number)) = wire { number as i64 } else { 0 };
    let string = |wire: Option<Wire>| if let Some(Wire::Bytes(bytes)) = wire { text(bytes).map(String::from) } else { Ok(String::new()) };
    Ok(match ty {
        Type::Quantity => match string(first)? {
            text if text.is_empty() => Some("0".into()),
            text => Some(Quantity::parse(&text).map_err(|error| error.to_string())?.to_string().into()),
        },
        Type::Time | Type::MicroTime if bytes.is_empty() => None,
        Type::Time => instant(number(first), 0)?.map(|at| time::format_time(at).into()),
        Type::MicroTime => instant(number(first), number(second))?.map(|at| time::format_micro_time(at).into()),
        Type::Duration => Some(time::format_duration(number(first)).into()),
        Type::IntOrString if number(first) == 1 => Some(string(third)?.into()),
        Type::IntOrString => Some((number(second) as i32).into()),
        Type::Raw | Type::FieldsV1 | Type::Json => match first {
            Some(Wire::Bytes(bytes)) => raw(bytes, depth)?,
            _ => None,
        },
        Type::PropsOrBool => match second {
            Some(schema) => value(schema::props_type(), schema, depth)?,
            None => Some((number(first) != 0).into()),
        },
        Type::PropsOrArray | Type::PropsOrStrings if !strings.is_empty() => {
            let element = if *ty == Type::PropsOrArray { schema::props_type() } else { &Type::String };
            let items: Result<Vec<_>> = strings.into_iter().map(|wire| Ok(value(element, wire, depth)?.unwrap_or(Value::Null))).collect();
            Some(Value::Array(items?))
        }
        Type::PropsOrArray | Type::PropsOrStrings => first.map_or(Ok(None), |wire| value(schema::props_type(), wire, depth))?,
        _ => return Err("wrong wireType".into()),
    })
}

fn instant(seconds: i64, nanos: i64) -> Result<Option<Timestamp>> {
    const ZERO_SECONDS: i64 = -62_135_596_800;
    if seconds == ZERO_SECONDS && nanos == 0 {
        return Ok(None);
    }
    let nanos = i32::try_from(nanos).ok().filter(|nanos| (0..1_000_000_000).contains(nanos)).ok_or("time out of range")?;
    Timestamp::new(seconds, nanos).map(Some).map_err(|_| "time out of range".into())
}

/// JSON, or an object with its own envelope.
fn raw(bytes: &[u8], depth: usize) -> Result<Option<Value>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.starts_with(MAGIC) {
        let envelope = Envelope::read(bytes)?;
        let (group, version) = envelope.api_version.split_once('/').unwrap_or(("", envelope.api_version));
        let message = schema::for_gvk(group, version, envelope.kind).ok_or_else(|| format!("no kind {:?} is registered", envelope.kind))?;
        return object(&envelope, message, depth + 1).map(Some);
    }
    serde_json::from_slice(bytes).map(Some).map_err(|error| error.to_string())
}
