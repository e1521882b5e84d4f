//! Subresources. Those that are a view of the object (`status` and the like) go the way of the verbs; those with effects have a
//! file each.
pub mod kubelet;

pub use kubelet::KubeletDialer;

use crate::encode;
use crate::request::call::{Answer, Call};
use crate::server::flow::{method_not_allowed, unknown};
use crate::verbs::{decode, get, patch, update};
use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;

pub async fn dispatch(call: Arc<Call>) -> Answer {
    let name = call.attributes.subresource.clone();
    if call.attributes.name.is_empty() {
        return unknown(call.in_process);
    }
    let Some(sub) = call.served.subresource(&name) else { return unknown(call.in_process) };
    let verb = call.attributes.verb.as_str();
    if !sub.verbs.iter().any(|own| own == verb) {
        return Err(method_not_allowed());
    }
    if call.served.kind.subresources().iter().any(|(own, _)| *own == name) {
        return view(&call).await;
    }
    Err(method_not_allowed())
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
    if call.attributes.verb != "create" {
        return Err(method_not_allowed());
    }
    let value = decode::virtual_body(call).await?;
    reviewed(call, value).await
}

async fn reviewed(call: &Call, value: Value) -> Answer {
    let Some(reviews) = &call.state.config.reviews else { return unknown(call.in_process) };
    match reviews.create(&call.attributes, value).await {
        Some(answer) => encode::object::value(call, StatusCode::CREATED, &answer?),
        None => unknown(call.in_process),
    }
}
