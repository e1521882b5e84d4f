//! The operations of a resource: paths, actions, parameters, bodies, answers.
use super::path_of;
use super::schemas::{PATCH, Wanted};
use crate::schema::{Resource, Subresource, Type, for_gvk};
use serde_json::{Map, Value, json};

const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";

const LIST: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("shardSelector", "string"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const WRITE: &[(&str, &str)] = &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const DELETE: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const PATCH_TYPES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];
const ANSWERS: &[&str] = &["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];

/// What one operation is about.
struct Subject<'a> {
    resource: &'a Resource,
    /// `Status`, `Scale`, … or nothing.
    suffix: String,
    gvk: (&'a str, &'a str, &'a str),
    schema: Option<&'static str>,
    namespaced: bool,
}

/// The path that lists the resources of a group and version.
pub(super) fn add_discovery(path: &str, resource: &Resource, paths: &mut Map<String, Value>, wanted: &mut Wanted) {
    let list = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList";
    let content: Map<String, Value> = ANSWERS.iter().map(|kind| (kind.to_string(), json!({ "schema": wanted.reference(list) }))).collect();
    let group = format!("{}{}", capitalized(&tag_group(resource.group)), capitalized(resource.version));
    let get = json!({
        "operationId": format!("get{group}APIResources"),
        "tags": [tag(resource)],
        "responses": { "200": { "description": "OK", "content": content }, "401": { "description": "Unauthorized" } },
    });
    paths.insert(format!("/{path}/"), json!({ "get": get }));
}

/// Adds all paths of a resource, remembering the schemas they name.
pub(super) fn add(resource: &Resource, paths: &mut Map<String, Value>, wanted: &mut Wanted) {
    let root = format!("/{}", path_of(resource.group, resource.version));
    let gvk = (resource.group, resource.version, resource.kind);
    let subject = Subject { resource, suffix: String::new(), gvk, schema: Some(resource.schema), namespaced: resource.namespaced };
    let collection = match resource.namespaced {
        true => format!("{root}/namespaces/{{namespace}}/{}", resource.plural),
        false => format!("{root}/{}", resource.plural),
    };
    let on_collection = [("list", "get"), ("create", "post"), ("deletecollection", "delete")];
    insert(paths, collection.clone(), &subject, false, &on_collection, &resource.verbs, wanted);
    let on_item = [("get", "get"), ("update", "put"), ("patch", "patch"), ("delete", "delete")];
    insert(paths, format!("{collection}/{{name}}"), &subject, true, &on_item, &resource.verbs, wanted);
    if resource.namespaced {
        let everywhere = Subject { namespaced: false, suffix: "ForAllNamespaces".into(), ..subject };
        insert(paths, format!("{root}/{}", resource.plural), &everywhere, false, &[("list", "get")], &resource.verbs, wanted);
    }
    for sub in &resource.subresources {
        let subject = Subject {
            resource,
            suffix: capitalized(sub.name),
            gvk: (sub.group, sub.version, sub.kind),
            schema: for_gvk(sub.group, sub.version, sub.kind).map(|message| message.name),
            namespaced: resource.namespaced,
        };
        let on_sub = [("get", "get"), ("create", "post"), ("update", "put"), ("patch", "patch"), ("delete", "delete")];
        insert(paths, format!("{collection}/{{name}}/{}", sub.name), &subject, true, &on_sub, &sub.verbs, wanted);
        if is_connection(sub) && sub.name == "proxy" {
            insert(paths, format!("{collection}/{{name}}/proxy/{{path}}"), &subject, true, &on_sub, &sub.verbs, wanted);
        }
    }
}

/// Subresources whose kind is a set of options are connections, not objects.
fn is_connection(sub: &Subresource) -> bool {
    sub.kind.ends_with("Options")
}

fn insert(
    paths: &mut Map<String, Value>,
    path: String,
    subject: &Subject,
    named: bool,
    methods: &[(&str, &str)],
    verbs: &[&str],
    wanted: &mut Wanted,
) {
    let served: Vec<_> = methods.iter().filter(|(verb, _)| verbs.contains(verb)).collect();
    if served.is_empty() {
        return;
    }
    let mut item: Map<String, Value> =
        served.iter().map(|(verb, method)| (method.to_string(), operation(subject, verb, method, wanted))).collect();
    let mut parameters = Vec::new();
    let in_path = |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    for name in ["name", "namespace", "path"] {
        let stands = path.contains(&format!("{{{name}}}"));
        parameters.extend((stands && (named || name == "namespace")).then(|| in_path(name)));
    }
    let options = for_gvk(subject.gvk.0, subject.gvk.1, subject.gvk.2).filter(|_| subject.gvk.2.ends_with("Options"));
    match options {
        Some(options) => {
            parameters.extend(options.json_fields().filter_map(|(name, field)| Some(query(name, option_type(name, &field.ty)?))))
        }
        None => parameters.push(query("pretty", "string")),
    }
    item.insert("parameters".into(), parameters.into());
    paths.insert(path, item.into());
}

/// A connection's options stand in the query.
fn option_type(name: &str, ty: &Type) -> Option<&'static str> {
    match ty {
        _ if matches!(name, "kind" | "apiVersion") => None,
        Type::Bool => Some("boolean"),
        Type::Int32 | Type::Int64 => Some("integer"),
        Type::String | Type::Time | Type::List(_) => Some("string"),
        _ => None,
    }
}

fn query(name: &str, kind: &str) -> Value {
    json!({ "name": name, "in": "query", "schema": { "type": kind } })
}

fn operation(subject: &Subject, verb: &str, method: &str, wanted: &mut Wanted) -> Value {
    let (group, version, kind) = subject.gvk;
    let connection = kind.ends_with("Options");
    let action = match verb {
        _ if connection => "connect",
        "create" => "post",
        "update" => "put",
        verb => verb,
    };
    let mut operation = json!({
        "operationId": operation_id(subject, verb, method, connection),
        "tags": [tag(subject.resource)],
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": { "group": group, "version": version, "kind": kind },
        "responses": responses(subject, verb, connection, wanted),
    });
    let parameters = parameters(verb, connection);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = body(subject, verb, connection, wanted) {
        operation["requestBody"] = body;
    }
    operation
}

fn parameters(verb: &str, connection: bool) -> Vec<Value> {
    let all = |lists: &[&[(&str, &str)]]| lists.concat().iter().map(|(name, kind)| query(name, kind)).collect();
    match verb {
        _ if connection => Vec::new(),
        "list" => all(&[LIST]),
        "create" | "update" => all(&[WRITE]),
        "patch" => all(&[WRITE, &[("force", "boolean")]]),
        "delete" => all(&[DELETE]),
        "deletecollection" => all(&[&LIST[1..LIST.len() - 1], DELETE]),
        _ => Vec::new(),
    }
}

fn body(subject: &Subject, verb: &str, connection: bool, wanted: &mut Wanted) -> Option<Value> {
    let mut any =
        |schema: &str, required: bool| json!({ "content": { "*/*": { "schema": wanted.reference(schema) } }, "required": required });
    match verb {
        _ if connection => None,
        "create" | "update" => Some(any(subject.schema?, true)),
        "delete" | "deletecollection" => Some(any(DELETE_OPTIONS, false)),
        "patch" => {
            let content: Map<String, Value> =
                PATCH_TYPES.iter().map(|kind| (kind.to_string(), json!({ "schema": wanted.reference(PATCH) }))).collect();
            Some(json!({ "content": content, "required": true }))
        }
        _ => None,
    }
}

fn responses(subject: &Subject, verb: &str, connection: bool, wanted: &mut Wanted) -> Value {
    let unauthorized = json!({ "description": "Unauthorized" });
    if connection {
        let ok = json!({ "description": "OK", "content": { "*/*": { "schema": { "type": "string" } } } });
        return json!({ "200": ok, "401": unauthorized });
    }
    let (group, version, kind) = subject.gvk;
    let schema = match verb {
        "list" => for_gvk(group, version, &format!("{kind}List")).map(|message| message.name),
        "delete" | "deletecollection" => Some(STATUS),
        _ => subject.schema,
    };
    let mut answer = |description: &str| {
        let Some(schema) = schema else { return json!({ "description": description }) };
        let mut content: Map<String, Value> =
            ANSWERS.iter().map(|kind| (kind.to_string(), json!({ "schema": wanted.reference(schema) }))).collect();
        if verb == "list" {
            // What a watch sends is named, too.
            wanted.reference(WATCH_EVENT);
            let streams = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
            content.extend(streams.map(|kind| (kind.to_string(), json!({ "schema": wanted.reference(schema) }))));
        }
        json!({ "description": description, "content": content })
    };
    let mut responses = json!({ "200": answer("OK"), "401": unauthorized });
    match verb {
        "create" => (responses["201"], responses["202"]) = (answer("Created"), answer("Accepted")),
        "update" | "patch" => responses["201"] = answer("Created"),
        "delete" => responses["202"] = answer("Accepted"),
        _ => {}
    }
    responses
}

/// `createAppsV1NamespacedDeployment`.
fn operation_id(subject: &Subject, verb: &str, method: &str, connection: bool) -> String {
    let resource = subject.resource;
    let what = match verb {
        _ if connection => "connect",
        "get" => "read",
        "update" => "replace",
        "deletecollection" => "delete",
        verb => verb,
    };
    let group = format!("{}{}", capitalized(&tag_group(resource.group)), capitalized(resource.version));
    let method = if connection { capitalized(method) } else { String::new() };
    let collection = if verb == "deletecollection" { "Collection" } else { "" };
    let scope = if subject.namespaced { "Namespaced" } else { "" };
    format!("{what}{group}{method}{collection}{scope}{}{}", resource.kind, subject.suffix)
}

fn tag(resource: &Resource) -> String {
    format!("{}_{}", tag_group(resource.group), resource.version)
}

/// `rbac.authorization.k8s.io` is `rbacAuthorization`.
fn tag_group(group: &str) -> String {
    let mut words = group.trim_end_matches(".k8s.io").split('.');
    match words.next() {
        None | Some("") => "core".into(),
        Some(first) => words.fold(first.to_string(), |text, word| text + &capitalized(word)),
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
