//! What the downward API gives: a pod's fields and a container's resources as text.
use crate::pod::view::PodView;
use crate::spec::quantity::{self, List};
use k8s_openapi::api::core::v1::{Container, ObjectFieldSelector, Pod, ResourceFieldSelector};
use std::collections::BTreeMap;

/// What a pod does not say of itself.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub host_ips: Vec<String>,
    pub pod_ips: Vec<String>,
    pub allocatable: List,
}

pub fn field(pod: &Pod, facts: &Facts, selector: &ObjectFieldSelector) -> Result<String, String> {
    let path = selector.field_path.as_str();
    if let Some((map, key)) = subscript(path) {
        return Ok(map_of(pod, map)?.and_then(|map| map.get(key).cloned()).unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => pod.pod_name().into(),
        "metadata.namespace" => pod.pod_namespace().into(),
        "metadata.uid" => pod.uid().into(),
        "metadata.labels" | "metadata.annotations" => map_of(pod, path)?.map(lines).unwrap_or_default(),
        "spec.nodeName" => pod.pod_spec().node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => pod.pod_spec().service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => facts.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => facts.host_ips.join(","),
        "status.podIP" => facts.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => facts.pod_ips.join(","),
        path => return Err(format!("unsupported fieldPath: {path}")),
    })
}

fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

fn map_of<'a>(pod: &'a Pod, path: &str) -> Result<Option<&'a BTreeMap<String, String>>, String> {
    match path {
        "metadata.labels" => Ok(pod.metadata.labels.as_ref()),
        "metadata.annotations" => Ok(pod.metadata.annotations.as_ref()),
        path => Err(format!("fieldPath \"{path}\" does not support subscript")),
    }
}

fn lines(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={}", quoted(value))).collect::<Vec<_>>().join("\n")
}

/// A string as Go's `%q` shows it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            letter if letter.is_control() => out.push_str(&format!("\\x{:02x}", letter as u32)),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// `own` is the container that asks; the selector may name another.
pub fn resource(pod: &Pod, facts: &Facts, own: Option<&Container>, selector: &ResourceFieldSelector) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let found = named.and_then(|name| pod.container(name)).map(|(_, container)| container);
    let container = match (named, own) {
        (Some(name), _) => found.ok_or_else(|| format!("container {name} not found"))?,
        (None, Some(own)) => own.clone(),
        (None, None) => return Err("container name must be specified".into()),
    };
    let (side, name) = selector.resource.split_once('.').ok_or_else(|| unsupported(&selector.resource))?;
    let resources = container.resources.unwrap_or_default();
    let list = match side {
        "limits" => resources.limits,
        "requests" => resources.requests,
        _ => return Err(unsupported(&selector.resource)),
    };
    let given = list.as_ref().and_then(|list| list.get(name));
    // A container without a limit can use all that pods may have.
    let quantity = given.or_else(|| facts.allocatable.get(name).filter(|_| side == "limits"));
    let milli = name == "cpu";
    let read = |quantity| if milli { quantity::milli(quantity) } else { quantity::value(quantity) };
    let amount = quantity.map_or(0, read);
    let unit = selector.divisor.as_ref().map_or(0, read);
    let unit = if unit == 0 { if milli { 1000 } else { 1 } } else { unit };
    Ok((amount / unit + i64::from(amount % unit != 0)).to_string())
}

fn unsupported(resource: &str) -> String {
    format!("unsupported container resource : {resource}")
}
