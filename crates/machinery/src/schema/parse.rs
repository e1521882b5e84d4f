//! Reads the generated table. Its text is part of the program, so anything unreadable in it is a mistake of the generator and panics;
//! a test reads all of it.
use super::{Field, FieldAt, ListType, Message, MessageRef, Table, Type};
use std::collections::HashMap;

/// Lines: `M name go-name flags`, `K group version kind` and `F name number type attributes…`, the latter two about the message above.
pub(super) fn table(text: &'static str) -> Table {
    let mut names = HashMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("M\t")) {
        let index = names.len() as u16;
        names.insert(line.split('\t').next().unwrap_or_default(), index);
    }
    let mut messages: Vec<Message> = Vec::with_capacity(names.len());
    let mut kinds = HashMap::new();
    for line in text.lines() {
        let mut columns = line.split('\t');
        match columns.next() {
            Some("M") => messages.push(message(columns)),
            Some("K") => {
                let mut next = || columns.next().expect("a kind has three columns");
                let (group, version, kind) = (next(), next(), next());
                kinds.insert((group, version, kind), messages.len() as u16 - 1);
                messages.last_mut().expect("a message stands above").kinds.push(super::Gvk { group, version, kind });
            }
            Some("F") => messages.last_mut().expect("a message stands above").fields.push(field(columns, &names)),
            _ => {}
        }
    }
    index(&mut messages);
    Table { messages, names, kinds }
}

fn message(mut columns: impl Iterator<Item = &'static str>) -> Message {
    let name = columns.next().expect("a message has a name");
    let go_name = columns.next().expect("a message has a short name");
    let flags = columns.next().unwrap_or_default();
    let (atomic, protobuf) = (flags.contains('a'), flags.contains('p'));
    let short_name = go_name.rsplit('.').next().unwrap_or(go_name);
    Message {
        name,
        go_name,
        fields: Vec::new(),
        atomic,
        kinds: Vec::new(),
        protobuf,
        short_name,
        json: Vec::new(),
        slots: Vec::new(),
        embeddings: Vec::new(),
        by_number: Vec::new(),
    }
}

fn field(mut columns: impl Iterator<Item = &'static str>, names: &HashMap<&'static str, u16>) -> Field {
    let name = columns.next().expect("a field has a name");
    let number = columns.next().and_then(|number| number.parse().ok()).expect("a field has a number");
    let ty = kind(columns.next().expect("a field has a type"), names);
    let mut field = Field {
        name,
        inline: name.is_empty(),
        number,
        ty,
        pointer: false,
        omit_empty: false,
        wrapped: false,
        required: false,
        list_type: None,
        list_map_keys: Vec::new(),
        atomic: false,
        granular: false,
        patch_merge: false,
        patch_retain_keys: false,
        patch_merge_key: None,
        default: None,
        enum_values: Vec::new(),
        format: "",
        go_type: "",
    };
    columns.for_each(|column| attribute(&mut field, column));
    field
}

fn attribute(field: &mut Field, column: &'static str) {
    let (key, value) = column.split_once('=').unwrap_or((column, ""));
    match key {
        "ptr" => field.pointer = true,
        "omit" => field.omit_empty = true,
        "wrap" => field.wrapped = true,
        "req" => field.required = true,
        "list" => {
            let (list_type, keys) = value.split_once(':').unwrap_or((value, ""));
            field.list_type = Some(match list_type {
                "map" => ListType::Map,
                "set" => ListType::Set,
                _ => ListType::Atomic,
            });
            field.list_map_keys = keys.split(',').filter(|key| !key.is_empty()).collect();
        }
        "atomic" => field.atomic = true,
        "granular" => field.granular = true,
        "merge" => field.patch_merge = true,
        "retain" => field.patch_retain_keys = true,
        "key" => field.patch_merge_key = Some(value),
        "default" => field.default = Some(value),
        "enum" => field.enum_values = value.split(',').collect(),
        "format" => field.format = value,
        "go" => field.go_type = value,
        _ => panic!("unknown attribute {column}"),
    }
}

fn kind(text: &'static str, names: &HashMap<&'static str, u16>) -> Type {
    if let Some(element) = text.strip_prefix("[]") {
        return Type::List(Box::new(kind(element, names)));
    }
    if let Some(element) = text.strip_prefix("{}") {
        return Type::Map(Box::new(kind(element, names)));
    }
    match text {
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "float64" => Type::Float64,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "quantity" => Type::Quantity,
        "time" => Type::Time,
        "microtime" => Type::MicroTime,
        "duration" => Type::Duration,
        "intorstring" => Type::IntOrString,
        "raw" => Type::Raw,
        "fieldsv1" => Type::FieldsV1,
        "json" => Type::Json,
        "propsorarray" => Type::PropsOrArray,
        "propsorbool" => Type::PropsOrBool,
        "propsorstrings" => Type::PropsOrStrings,
        name => Type::Message(MessageRef(*names.get(name).unwrap_or_else(|| panic!("no message {name}")))),
    }
}

/// Fills the indexes: JSON names with embedded structs laid flat (an outer field wins over an embedded one), and protobuf numbers.
fn index(messages: &mut [Message]) {
    for at in 0..messages.len() {
        let mut json = Vec::new();
        messages[at].embeddings = flatten(messages, at as u16, &mut json);
        json.sort_by_key(|(name, _, depth)| (*name, *depth));
        json.dedup_by_key(|(name, _, _)| *name);
        let mut by_number: Vec<u16> =
            (0..messages[at].fields.len() as u16).filter(|i| messages[at].fields[*i as usize].number > 0).collect();
        by_number.sort_by_key(|i| messages[at].fields[*i as usize].number);
        messages[at].slots = slots(&json);
        messages[at].json = json.into_iter().map(|(name, field, _)| (name, field)).collect();
        messages[at].by_number = by_number;
    }
}

/// The names' positions by their hash, one after the other where two meet.
fn slots(json: &[(&'static str, FieldAt, usize)]) -> Vec<u8> {
    assert!(json.len() < 128, "positions fit into a bit set of 128");
    if json.is_empty() {
        return Vec::new();
    }
    let mut slots = vec![0; (json.len() * 2).next_power_of_two()];
    for (position, (name, ..)) in json.iter().enumerate() {
        let mut slot = super::hash(name) & (slots.len() - 1);
        while slots[slot] != 0 {
            slot = (slot + 1) & (slots.len() - 1);
        }
        slots[slot] = position as u8 + 1;
    }
    slots
}

/// What stands for embedded structs; the table lives as long as the program, and so do these names.
type Embeddings = Vec<&'static [&'static str]>;

fn flatten(messages: &[Message], at: u16, json: &mut Vec<(&'static str, FieldAt, usize)>) -> Embeddings {
    let mut embeddings: Embeddings = vec![&[]];
    walk(messages, at, 0, &mut embeddings, json);
    embeddings
}

/// `embedding` tells the embedded structs on the way to this message.
fn walk(messages: &[Message], at: u16, embedding: usize, embeddings: &mut Embeddings, json: &mut Vec<(&'static str, FieldAt, usize)>) {
    for (index, field) in messages[at as usize].fields.iter().enumerate() {
        match &field.ty {
            Type::Message(inner) if field.inline => {
                let inside = [embeddings[embedding], &[messages[inner.0 as usize].short_name]].concat();
                embeddings.push(inside.leak());
                walk(messages, inner.0, embeddings.len() - 1, embeddings, json);
            }
            _ => {
                let at = FieldAt { message: at, field: index as u16, embedding: embedding as u8 };
                json.push((field.name, at, embeddings[embedding].len()));
            }
        }
    }
}
