//! `exec`, `attach` and `portforward`: the client's upgraded connection goes through to the kubelet, which speaks the same protocols.
use super::forward::{Onward, forward, wants_upgrade};
use super::location;
use crate::request::call::{Answer, Call};
use crate::request::{Attributes, Operation, Options};
use crate::server::flow::authorize;
use http::{Method, header};
use machinery::status::Status;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub async fn stream(call: &Call) -> Answer {
    // A WebSocket is opened with GET; it may do what needs `create` otherwise.
    if call.attributes.verb == "get" {
        authorize(&call.state, &Attributes { verb: "create".into(), ..call.attributes.clone() }).await?;
    }
    let options = Options::default();
    let request = call.admission(Operation::Connect, None, &options);
    call.state.config.admission.validate(&request, None).await?;
    let pod = location::pod(call, &call.attributes.name).await?;
    let target = target(call, &pod)?;
    let node = location::node_name(&pod);
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", call.attributes.name)));
    }
    let (address, port) = location::kubelet(call, node).await?;
    if !wants_upgrade(call.headers()) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let (connection, host) = location::dial_address(call, node, &address, port).await?;
    let method = if call.headers().contains_key(header::SEC_WEBSOCKET_KEY) { Method::GET } else { call.method().clone() };
    forward(call, connection, Onward { method, target, host }).await
}

fn target(call: &Call, pod: &k8s_openapi::api::core::v1::Pod) -> Result<String, Status> {
    let (namespace, name) = (call.namespace(), &call.attributes.name);
    let mut pairs: Vec<String> = Vec::new();
    if call.attributes.subresource == "portforward" {
        let ports = call.query.all("ports").map(|port| format!("port={}", utf8_percent_encode(port, NON_ALPHANUMERIC)));
        pairs.extend(ports);
        return Ok(with_query(format!("/portForward/{namespace}/{name}"), &pairs));
    }
    let container = location::container(pod, call.query.text("container"))?;
    let flags = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
    for (name, onward) in flags {
        if call.query.flag(name) == Some(true) {
            pairs.push(format!("{onward}=1"));
        }
    }
    if call.attributes.subresource == "exec" {
        pairs.extend(call.query.all("command").map(|word| format!("command={}", utf8_percent_encode(word, NON_ALPHANUMERIC))));
    }
    Ok(with_query(format!("/{}/{namespace}/{name}/{container}", call.attributes.subresource), &pairs))
}

fn with_query(path: String, pairs: &[String]) -> String {
    if pairs.is_empty() { path } else { format!("{path}?{}", pairs.join("&")) }
}
