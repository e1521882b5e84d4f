//! OpenAPI v2 of the whole API, made over from the v3 documents for clients that know nothing newer.
use super::descriptions::Descriptions;
use super::{document_paths, path_of, v3};
use crate::schema::resources;
use serde_json::{Map, Value, json};

/// `/openapi/v2` as JSON. Some megabytes; made anew on every call.
pub fn v2() -> Vec<u8> {
    let descriptions = Descriptions::load();
    let (mut definitions, mut paths) = (Map::new(), Map::new());
    for path in document_paths() {
        let served: Vec<_> = resources().iter().filter(|resource| path_of(resource.group, resource.version) == path).collect();
        let mut document = v3(&served, &descriptions);
        if let Value::Object(schemas) = document["components"]["schemas"].take() {
            definitions.extend(schemas.into_iter().map(|(name, schema)| (name, older(schema))));
        }
        if let Value::Object(items) = document["paths"].take() {
            paths.extend(items.into_iter().map(|(path, item)| (path, path_item(item))));
        }
    }
    let all = json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": "v1.37.0" },
        "definitions": definitions,
        "paths": paths,
        "securityDefinitions": { "BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
        } },
        "security": [{ "BearerToken": [] }],
    });
    serde_json::to_vec(&all).unwrap_or_default()
}

/// A schema without what v2 does not know: `oneOf`, defaults, references wrapped in `allOf`.
fn older(value: Value) -> Value {
    match value {
        Value::Object(mut map) => {
            if let Some(Value::Array(mut only)) = map.remove("allOf")
                && let Some(Value::Object(reference)) = only.pop()
            {
                map.extend(reference);
            }
            if map.contains_key("oneOf") {
                map.remove("oneOf");
                map.insert("type".into(), "string".into());
            }
            map.remove("default");
            Value::Object(map.into_iter().map(|(key, value)| (key, older(value))).collect())
        }
        Value::Array(list) => list.into_iter().map(older).collect(),
        Value::String(text) => text.replace("#/components/schemas/", "#/definitions/").into(),
        other => other,
    }
}

fn path_item(item: Value) -> Value {
    let Value::Object(item) = item else { return item };
    let convert = |(key, value): (String, Value)| match key.as_str() {
        "parameters" => (key, parameters(value)),
        _ => (key, operation(value)),
    };
    item.into_iter().map(convert).collect::<Map<_, _>>().into()
}

/// `{name, in, schema: {type}}` is `{name, in, type}`.
fn parameters(value: Value) -> Value {
    let Value::Array(list) = value else { return json!([]) };
    let convert = |mut parameter: Value| {
        if let Value::Object(schema) = parameter["schema"].take()
            && let Some(map) = parameter.as_object_mut()
        {
            map.remove("schema");
            map.extend(schema);
        }
        parameter
    };
    list.into_iter().map(convert).collect()
}

fn operation(mut operation: Value) -> Value {
    let mut list = match parameters(operation["parameters"].take()) {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    let body = operation["requestBody"].take();
    let mut consumes = vec!["*/*".to_string()];
    if let Value::Object(content) = &body["content"] {
        consumes = content.keys().cloned().collect();
        let schema = content.values().next().map(|media| older(media["schema"].clone())).unwrap_or_default();
        list.push(json!({ "name": "body", "in": "body", "required": body["required"], "schema": schema }));
    }
    let mut produces = Vec::new();
    let mut responses = Map::new();
    if let Value::Object(all) = operation["responses"].take() {
        for (code, mut response) in all {
            let mut answer = json!({ "description": response["description"].take() });
            if let Value::Object(content) = response["content"].take() {
                answer["schema"] = content.values().next().map(|media| older(media["schema"].clone())).unwrap_or_default();
                produces = content.keys().cloned().collect();
            }
            responses.insert(code, answer);
        }
    }
    if let Some(map) = operation.as_object_mut() {
        map.remove("requestBody");
        let changed = [
            ("parameters", Value::Array(list)),
            ("responses", responses.into()),
            ("consumes", consumes.into()),
            ("produces", produces.into()),
            ("schemes", json!(["https"])),
        ];
        map.extend(changed.map(|(key, value)| (key.to_string(), value)));
    }
    operation
}
