//! Component schemas: what the operations name and everything reachable from there.
use super::descriptions::Descriptions;
use crate::schema::{Field, ListType, Message, Type, lookup};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/// Schemas that some operation refers to.
#[derive(Default)]
pub(super) struct Wanted(BTreeSet<String>);

impl Wanted {
    /// A reference, remembered.
    pub fn reference(&mut self, name: &str) -> Value {
        self.0.insert(name.into());
        reference(name)
    }

    /// All of them and what they refer to, by name.
    pub fn schemas(self, descriptions: &Descriptions) -> Map<String, Value> {
        let mut waiting: Vec<String> = self.0.into_iter().collect();
        let mut done = Map::new();
        while let Some(name) = waiting.pop() {
            if done.contains_key(&name) {
                continue;
            }
            let mut found = Vec::new();
            let mut schema = match lookup(&name) {
                Some(message) => message_schema(message, descriptions, &mut found),
                None => special(&name),
            };
            if let Some(described) = descriptions.of(&name).filter(|described| !described.text.is_empty()) {
                schema["description"] = described.text.as_str().into();
            }
            done.insert(name, schema);
            waiting.extend(found);
        }
        done
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Types with a form of their own.
fn special(name: &str) -> Value {
    match name.rsplit('.').next().unwrap_or_default() {
        "Quantity" => json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
        "IntOrString" => json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] }),
        "Time" | "MicroTime" => json!({ "format": "date-time", "type": "string" }),
        "Duration" => json!({ "type": "string" }),
        "RawExtension" | "FieldsV1" | "Patch" => json!({ "type": "object" }),
        _ => json!({}),
    }
}

fn message_schema(message: &Message, descriptions: &Descriptions, found: &mut Vec<String>) -> Value {
    let described = descriptions.of(message.name);
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, field) in message.json_fields() {
        let description = described.and_then(|described| described.fields.get(name)).map(String::as_str).unwrap_or_default();
        properties.insert(name.into(), property(field, description, found));
        if field.required {
            required.push(name);
        }
    }
    let mut schema = json!({ "type": "object" });
    if !properties.is_empty() {
        schema["properties"] = properties.into();
    }
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    let kinds: Vec<Value> = message
        .kinds
        .iter()
        .filter(|gvk| gvk.group != "meta.k8s.io")
        .map(|gvk| json!({ "group": gvk.group, "version": gvk.version, "kind": gvk.kind }))
        .collect();
    if !kinds.is_empty() {
        schema["x-kubernetes-group-version-kind"] = kinds.into();
    }
    if message.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    schema
}

fn property(field: &Field, description: &str, found: &mut Vec<String>) -> Value {
    let mut schema = type_schema(&field.ty, field, found);
    if schema.get("$ref").is_some() && (!description.is_empty() || field.default.is_some()) {
        // A reference may have no siblings.
        schema = json!({ "allOf": [schema] });
    }
    let mut set = |key: &str, value: Value| drop(schema.as_object_mut().map(|schema| schema.insert(key.into(), value)));
    if !description.is_empty() {
        set("description", description.into());
    }
    if let Some(default) = field.default_value() {
        set("default", default);
    }
    match field.list_type {
        Some(ListType::Atomic) => set("x-kubernetes-list-type", "atomic".into()),
        Some(ListType::Set) => set("x-kubernetes-list-type", "set".into()),
        Some(ListType::Map) => {
            set("x-kubernetes-list-type", "map".into());
            set("x-kubernetes-list-map-keys", field.list_map_keys.clone().into());
        }
        None => {}
    }
    if field.atomic {
        set("x-kubernetes-map-type", "atomic".into());
    }
    if field.granular {
        set("x-kubernetes-map-type", "granular".into());
    }
    match (field.patch_merge, field.patch_retain_keys) {
        (true, true) => set("x-kubernetes-patch-strategy", "merge,retainKeys".into()),
        (true, false) => set("x-kubernetes-patch-strategy", "merge".into()),
        (false, true) => set("x-kubernetes-patch-strategy", "retainKeys".into()),
        (false, false) => {}
    }
    if let Some(key) = field.patch_merge_key {
        set("x-kubernetes-patch-merge-key", key.into());
    }
    schema
}

/// The schema of a type; `field` gives enum and format of the scalar at its end.
fn type_schema(ty: &Type, field: &Field, found: &mut Vec<String>) -> Value {
    let mut refer = |name: String| {
        let schema = reference(&name);
        found.push(name);
        schema
    };
    let machinery = |name: &str| format!("io.k8s.apimachinery.pkg.{name}");
    match ty {
        Type::Bool => json!({ "type": "boolean" }),
        Type::Int32 => json!({ "type": "integer", "format": "int32" }),
        Type::Int64 => json!({ "type": "integer", "format": "int64" }),
        Type::Float64 => json!({ "type": "number", "format": "double" }),
        Type::Bytes => json!({ "type": "string", "format": "byte" }),
        Type::String => {
            let mut schema = json!({ "type": "string" });
            if !field.format.is_empty() {
                schema["format"] = field.format.into();
            }
            if !field.enum_values.is_empty() {
                schema["enum"] = field.enum_values.clone().into();
            }
            schema
        }
        Type::Quantity => refer(machinery("api.resource.Quantity")),
        Type::Time => refer(machinery("apis.meta.v1.Time")),
        Type::MicroTime => refer(machinery("apis.meta.v1.MicroTime")),
        Type::Duration => refer(machinery("apis.meta.v1.Duration")),
        Type::IntOrString => refer(machinery("util.intstr.IntOrString")),
        Type::Raw => refer(machinery("runtime.RawExtension")),
        Type::FieldsV1 => refer(machinery("apis.meta.v1.FieldsV1")),
        Type::Json => refer(format!("{EXTENSIONS}.JSON")),
        Type::PropsOrArray => refer(format!("{EXTENSIONS}.JSONSchemaPropsOrArray")),
        Type::PropsOrBool => refer(format!("{EXTENSIONS}.JSONSchemaPropsOrBool")),
        Type::PropsOrStrings => refer(format!("{EXTENSIONS}.JSONSchemaPropsOrStringArray")),
        Type::Message(message) => refer(message.get().name.into()),
        Type::List(element) => json!({ "type": "array", "items": type_schema(element, field, found) }),
        Type::Map(element) => json!({ "type": "object", "additionalProperties": type_schema(element, field, found) }),
    }
}
