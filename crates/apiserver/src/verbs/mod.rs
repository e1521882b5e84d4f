//! One file per verb, the same for every resource; and the steps that they share.
pub mod create;
pub mod decode;
pub mod delete;
pub mod delete_collection;
pub mod deletion;
pub mod get;
pub mod managed;
pub mod metadata;
pub mod patch;
pub mod storage;
pub mod update;
pub mod write;

use crate::request::call::{Answer, Call};
use crate::server::flow::{method_not_allowed, unknown};
use crate::{encode, list, subresource, watch};
use std::sync::Arc;

/// To the verb, if the resource has it. Warnings leave with refusals as well.
pub async fn dispatch(call: Arc<Call>) -> Answer {
    match run(call.clone()).await {
        Err(status) if !call.warnings.is_empty() => {
            let mut response = encode::status::refusal(call.headers(), &status);
            encode::object::warn(&call, &mut response);
            Ok(response)
        }
        answer => answer,
    }
}

async fn run(call: Arc<Call>) -> Answer {
    if !call.attributes.subresource.is_empty() {
        return subresource::dispatch(call).await;
    }
    let verb = call.attributes.verb.as_str();
    let named = !call.attributes.name.is_empty();
    if verb == "proxy" {
        return unknown(call.in_process);
    }
    if !call.served.has_verb(verb) || (verb == "create" && named) || (matches!(verb, "update" | "patch") && !named) {
        return Err(method_not_allowed());
    }
    if let Some(warning) = deprecation(&call) {
        call.warnings.add(warning);
    }
    if !call.served.is_stored() {
        return subresource::virtual_resource(&call).await;
    }
    match verb {
        "get" => get::get(&call).await,
        "list" => list::list(&call).await,
        "watch" => watch::watch(call).await,
        "create" => create::create(&call).await,
        "update" => update::update(&call).await,
        "patch" => patch::patch(&call).await,
        "delete" => delete::delete(&call).await,
        "deletecollection" => delete_collection::delete_collection(&call).await,
        _ => Err(method_not_allowed()),
    }
}

/// Resources that the API itself calls deprecated, from which version on and for what.
fn deprecation(call: &Call) -> Option<&'static str> {
    let names = call.served.kind.names();
    match (names.group, names.version, names.plural) {
        ("", "v1", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        ("", "v1", "endpoints") => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        _ => None,
    }
}
