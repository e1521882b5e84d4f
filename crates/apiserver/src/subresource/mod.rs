//! Subresources. Those that are a view of the object (`status` and the like) go the way of the verbs; those with effects have a
//! file each.
pub mod binding;
pub mod eviction;
pub mod forward;
pub mod kubelet;
pub mod location;
pub mod log;
pub mod proxy;
pub mod scale;
pub mod stream;
pub mod token;

pub use kubelet::{Connection, KubeletDialer, TlsDialer};

use crate::encode;
use crate::request::call::{Answer, Call};
use crate::request::{AdmissionRequest, Operation, Options};
use crate::server::flow::{method_not_allowed, no_resource, unknown};
use crate::verbs::{decode, get, patch, update};
use http::StatusCode;
use machinery::object::{AnyObject, Dynamic};
use machinery::status::Status;
use serde_json::{Value, json};
use std::sync::Arc;

pub async fn dispatch(call: Arc<Call>) -> Answer {
    let name = call.attributes.subresource.clone();
    if call.attributes.name.is_empty() {
        return Err(no_resource());
    }
    let Some(sub) = call.served.subresource(&name) else { return Err(no_resource()) };
    let verb = call.attributes.verb.as_str();
    if !sub.verbs.iter().any(|own| own == verb) {
        return Err(method_not_allowed());
    }
    if call.served.kind.subresources().iter().any(|(own, _)| *own == name) {
        return view(&call).await;
    }
    match (call.resource(), name.as_str()) {
        (_, "scale") => scale::scale(&call).await,
        ("pods", "binding") => binding::bind(&call, &call.attributes.name).await,
        ("pods", "eviction") => eviction::evict(&call).await,
        ("serviceaccounts", "token") => token::issue(&call).await,
        ("pods", "log") => log::log(&call).await,
        ("pods", "exec" | "attach" | "portforward") => stream::stream(&call).await,
        ("pods" | "services" | "nodes", "proxy") => proxy::proxy(&call).await,
        // Kinds without code of their own for it: the whole object may change.
        _ => view(&call).await,
    }
}

/// The object itself, of which this subresource may change only a part.
async fn view(call: &Call) -> Answer {
    match call.attributes.verb.as_str() {
        "get" => get::get(call).await,
        "update" => update::update(call).await,
        "patch" => patch::patch(call).await,
        _ => Err(method_not_allowed()),
    }
}

/// Resources of which nothing is stored: reviews are answered, bindings carried out.
pub async fn virtual_resource(call: &Call) -> Answer {
    match (call.attributes.verb.as_str(), call.resource()) {
        ("create", "bindings") => binding::bind(call, "").await,
        ("create", _) => reviewed(call, decode::virtual_body(call).await?).await,
        ("list", _) => nothing(call),
        ("get", _) => Err(Status::not_found(call.group(), call.served.kind.names().singular, &call.attributes.name)),
        _ => Err(method_not_allowed()),
    }
}

async fn reviewed(call: &Call, value: Value) -> Answer {
    let Some(reviews) = &call.state.config.reviews else { return unknown(call.in_process) };
    match reviews.create(&call.attributes, value).await {
        Some(answer) => encode::object::value(call, StatusCode::CREATED, &answer?),
        None => unknown(call.in_process),
    }
}

/// Component statuses: there are none in this version of the API any more, only the list.
fn nothing(call: &Call) -> Answer {
    let names = call.served.kind.names();
    let list = json!({"kind": format!("{}List", names.kind), "apiVersion": names.api_version(), "metadata": {}, "items": []});
    encode::object::value(call, StatusCode::OK, &list)
}

/// What subresources that do something answer.
fn done(call: &Call) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    encode::object::value(call, StatusCode::CREATED, &status)
}

/// Both steps of admission for a body that is no object of the resource's kind; gives it back as admission left it.
async fn admit(call: &Call, options: &Options, value: Value) -> Result<Value, Status> {
    let mut object: Box<dyn AnyObject> = Box::new(Dynamic::from_value(value).map_err(|error| Status::bad_request(error.to_string()))?);
    let admission = &call.state.config.admission;
    let request: AdmissionRequest = call.admission(Operation::Create, None, options);
    admission.mutate(&request, &mut object).await?;
    admission.validate(&request, Some(&*object)).await?;
    Ok(object.to_value())
}
