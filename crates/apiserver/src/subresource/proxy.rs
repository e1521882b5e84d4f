//! `proxy` of pods, services and nodes: any request, to an address that the cluster knows.
use super::forward::{Onward, forward};
use super::kubelet::{Connection, unchecked};
use super::location;
use crate::request::call::{Answer, Call};
use crate::request::{Operation, Options};
use crate::verbs::storage;
use client::Body;
use http::{HeaderValue, Response, header};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use machinery::status::{Reason, Status};
use store::At;

pub async fn proxy(call: &Call) -> Answer {
    let options = Options::default();
    let request = call.admission(Operation::Connect, None, &options);
    call.state.config.admission.validate(&request, None).await?;
    let Some(id) = Id::parse(&call.attributes.name) else {
        let what = call.resource().trim_end_matches('s');
        return Err(Status::bad_request(format!("invalid {what} request \"{}\"", call.attributes.name)));
    };
    let (connection, host) = match call.resource() {
        "pods" => dial_pod(call, &id).await?,
        "services" => dial_service(call, &id).await?,
        _ => dial_node(call, &id).await?,
    };
    let path = if call.rest.is_empty() { "/" } else { &call.rest };
    let query = call.query.encoded();
    let target = if query.is_empty() { path.to_string() } else { format!("{path}?{query}") };
    let response = forward(call, connection, Onward { method: call.method().clone(), target, host }).await?;
    Ok(relocated(call, response))
}

/// `[scheme:]name[:port]`.
struct Id<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl Id<'_> {
    fn parse(text: &str) -> Option<Id<'_>> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        (!name.is_empty() && matches!(scheme, "" | "http" | "https")).then_some(Id { scheme, name, port })
    }
}

async fn dial(id: &Id<'_>, host: &str, port: u16) -> Result<(Box<dyn Connection>, String), Status> {
    location::check_address(host)?;
    let connection = match id.scheme {
        "https" => unchecked(host, port).await.map_err(super::forward::unreachable)?,
        _ => location::dial_plain(host, port).await?,
    };
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Ok((connection, shown))
}

async fn dial_pod(call: &Call, id: &Id<'_>) -> Result<(Box<dyn Connection>, String), Status> {
    let pod = location::pod(call, id.name).await?;
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap_or_default();
    let default = if id.scheme == "https" { 443 } else { 80 };
    let port = match id.port {
        "" => first_port(&pod).unwrap_or(default),
        port => port.parse().map_err(|_| Status::bad_request(format!("invalid pod request \"{}\"", call.attributes.name)))?,
    };
    dial(id, &ip, port).await
}

fn first_port(pod: &Pod) -> Option<u16> {
    let containers = &pod.spec.as_ref()?.containers;
    let port = containers.iter().find_map(|container| container.ports.as_ref()?.first())?;
    u16::try_from(port.container_port).ok()
}

async fn dial_service(call: &Call, id: &Id<'_>) -> Result<(Box<dyn Connection>, String), Status> {
    let services = location::served(call, "", "v1", "services")?;
    let service = location::find::<Service>(call, services, call.namespace(), id.name).await?;
    let service = service.ok_or_else(|| no_endpoints(id.name))?;
    let name = port_name(&service, id)?;
    let places = places(call, id.name, &name).await?;
    if places.is_empty() {
        return Err(no_endpoints(id.name));
    }
    let chosen = call.state.config.random.u64(0..places.len() as u64) as usize;
    let (host, port) = &places[chosen];
    dial(id, host, *port).await
}

fn no_endpoints(service: &str) -> Status {
    Status::new(Reason::ServiceUnavailable, format!("no endpoints available for service \"{service}\""))
}

/// The name of the service's port that is meant; services with one port need not say.
fn port_name(service: &Service, id: &Id) -> Result<String, Status> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let name = |port: &k8s_openapi::api::core::v1::ServicePort| port.name.clone().unwrap_or_default();
    let number: Option<i32> = id.port.parse().ok();
    let found = match (id.port, ports) {
        ("", [only]) => Some(name(only)),
        ("", _) => Some(String::new()),
        (text, ports) => ports.iter().find(|port| number == Some(port.port) || port.name.as_deref() == Some(text)).map(name),
    };
    found.ok_or_else(|| {
        let port = if number.is_some() { id.port.to_string() } else { format!("\"{}\"", id.port) };
        let why = format!("no service port {port} found for service \"{}\"", id.name);
        Status::new(Reason::ServiceUnavailable, why)
    })
}

/// Addresses of ready endpoints behind the port.
async fn places(call: &Call, service: &str, port: &str) -> Result<Vec<(String, u16)>, Status> {
    let slices = location::served(call, "discovery.k8s.io", "v1", "endpointslices")?;
    let prefix = slices.kind.names().prefix(call.namespace());
    let page = call.state.store().list(&prefix, None, 0, At::Latest).await.map_err(storage::failure)?;
    let mut places = Vec::new();
    for stored in page.objects {
        let slice = stored.decoded::<EndpointSlice>().map_err(Status::internal)?;
        let label = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        if label.map(String::as_str) != Some(service) {
            continue;
        }
        let found = slice.ports.iter().flatten().find(|own| own.name.as_deref().unwrap_or_default() == port);
        let Some(number) = found.and_then(|own| own.port).and_then(|port| u16::try_from(port).ok()) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            if ready {
                places.extend(endpoint.addresses.iter().map(|address| (address.clone(), number)));
            }
        }
    }
    Ok(places)
}

async fn dial_node(call: &Call, id: &Id<'_>) -> Result<(Box<dyn Connection>, String), Status> {
    let (host, kubelet) = location::kubelet(call, id.name).await?;
    match id.port.parse::<u16>() {
        _ if id.port.is_empty() => location::dial_kubelet(call, id.name).await,
        Ok(port) if port == kubelet => location::dial_kubelet(call, id.name).await,
        Ok(port) => dial(id, &host, port).await,
        Err(_) => Err(Status::bad_request(format!("invalid node request \"{}\"", call.attributes.name))),
    }
}

/// Redirects of the other side stay behind the proxy's path.
fn relocated(call: &Call, mut response: Response<Body>) -> Response<Body> {
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(String::from);
    let Some(location) = location.filter(|location| location.starts_with('/') && !location.starts_with("//")) else { return response };
    let path = &call.attributes.path;
    let prefix = path.strip_suffix(&call.rest).unwrap_or(path);
    if let Ok(value) = HeaderValue::from_str(&format!("{prefix}{location}")) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}
