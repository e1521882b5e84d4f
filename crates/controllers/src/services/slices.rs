//! Spreads endpoints over EndpointSlices with as few changes as possible: what is right stays, free room is filled, new
//! slices come last.
use crate::driver::Plan;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Ports in one order, as a key.
pub type PortsKey = String;

pub fn ports_key(ports: &[EndpointPort]) -> PortsKey {
    let mut parts: Vec<String> = ports
        .iter()
        .map(|port| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("{}/{}/{}/{}", text(&port.name), text(&port.protocol), port.port.unwrap_or(0), text(&port.app_protocol))
        })
        .collect();
    parts.sort();
    parts.join(",")
}

/// Endpoints that share their ports.
#[derive(Default)]
pub struct Group {
    pub ports: Vec<EndpointPort>,
    pub endpoints: Vec<Endpoint>,
}

/// What slices look like apart from endpoints and ports.
pub struct Frame {
    /// A slice without endpoints, as it would be created.
    pub new: EndpointSlice,
    pub max_endpoints: usize,
    /// Keep one empty slice when there is no endpoint.
    pub placeholder: bool,
}

/// What is to be done, before slices to delete are reused for slices to create.
#[derive(Default)]
struct Changes {
    create: Vec<EndpointSlice>,
    update: Vec<(Arc<EndpointSlice>, EndpointSlice)>,
    delete: Vec<Arc<EndpointSlice>>,
}

/// Plans the change from `existing` (of this owner and address type) to `desired`.
pub fn arrange(plan: &mut Plan, frame: &Frame, existing: &[Arc<EndpointSlice>], desired: BTreeMap<PortsKey, Group>) {
    let mut by_ports: BTreeMap<PortsKey, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in existing {
        by_ports.entry(ports_key(slice.ports.as_deref().unwrap_or_default())).or_default().push(slice.clone());
    }
    let mut changes = Changes::default();
    for (key, group) in desired {
        arrange_group(&mut changes, frame, by_ports.remove(&key).unwrap_or_default(), group);
    }
    changes.delete.extend(by_ports.into_values().flatten());
    if frame.placeholder && changes.delete.len() == existing.len() && changes.create.is_empty() {
        keep_placeholder(&mut changes, frame);
    }
    changes.carry_over(plan);
}

fn arrange_group(changes: &mut Changes, frame: &Frame, existing: Vec<Arc<EndpointSlice>>, group: Group) {
    let mut missing: BTreeMap<String, Endpoint> = group.endpoints.into_iter().map(|endpoint| (identity(&endpoint), endpoint)).collect();
    let mut kept: Vec<(Arc<EndpointSlice>, EndpointSlice)> = Vec::new();
    for slice in existing {
        let right: Vec<Endpoint> = slice.endpoints.iter().flatten().filter_map(|endpoint| missing.remove(&identity(endpoint))).collect();
        let mut new = framed(&slice, frame);
        if slice.endpoints.as_ref().is_none_or(|old| *old != right) {
            new.endpoints = Some(right);
        }
        kept.push((slice, new));
    }
    let mut rest: Vec<Endpoint> = missing.into_values().collect();
    fill(&mut kept, &mut rest, frame.max_endpoints);
    for endpoints in rest.chunks(frame.max_endpoints) {
        let (ports, endpoints) = (Some(group.ports.clone()), Some(endpoints.to_vec()));
        changes.create.push(EndpointSlice { ports, endpoints, ..frame.new.clone() });
    }
    for (old, new) in kept {
        if length(&new) == 0 {
            changes.delete.push(old);
        } else if *old != new {
            changes.update.push((old, new));
        }
    }
}

/// Fills slices that change anyway, fullest first; when the rest does not need a slice of its own, one more is touched.
fn fill(kept: &mut [(Arc<EndpointSlice>, EndpointSlice)], rest: &mut Vec<Endpoint>, max: usize) {
    kept.sort_by_key(|(old, new)| (**old == *new, std::cmp::Reverse(length(new)), old.metadata.name.clone()));
    for (old, new) in kept.iter_mut().filter(|(_, new)| length(new) > 0) {
        let room = max.saturating_sub(length(new));
        let changes = **old != *new;
        if !rest.is_empty() && room > 0 && (changes || rest.len() <= room) {
            let taken = rest.drain(..room.min(rest.len()));
            new.endpoints.get_or_insert_default().extend(taken);
        }
    }
    if let (false, Some((_, empty))) = (rest.is_empty(), kept.iter_mut().find(|(_, new)| length(new) == 0)) {
        empty.endpoints = Some(rest.drain(..max.min(rest.len())).collect());
    }
}

fn keep_placeholder(changes: &mut Changes, frame: &Frame) {
    let placeholder = EndpointSlice { ports: Some(Vec::new()), endpoints: Some(Vec::new()), ..frame.new.clone() };
    let is_one = |slice: &EndpointSlice| {
        length(slice) == 0
            && slice.ports.as_ref().is_none_or(Vec::is_empty)
            && slice.metadata.labels == placeholder.metadata.labels
            && slice.metadata.owner_references == placeholder.metadata.owner_references
    };
    match changes.delete.as_slice() {
        [only] if is_one(only) => changes.delete.clear(),
        _ => changes.create.push(placeholder),
    }
}

impl Changes {
    fn carry_over(mut self, plan: &mut Plan) {
        // a slice that would go takes the content of one that would come
        while let (Some(old), Some(new)) = (self.delete.last().cloned(), self.create.last()) {
            if old.metadata.owner_references != new.metadata.owner_references {
                break;
            }
            let (labels, annotations) = (new.metadata.labels.clone(), new.metadata.annotations.clone());
            let mut metadata = old.metadata.clone();
            metadata.labels = labels;
            metadata.annotations = annotations.or(metadata.annotations);
            let new = EndpointSlice { metadata, ..new.clone() };
            self.update.push((old, new));
            self.delete.pop();
            self.create.pop();
        }
        self.create.into_iter().for_each(|slice| plan.create(slice));
        self.update.into_iter().for_each(|(old, new)| plan.update(&*old, new));
        self.delete.iter().for_each(|slice| plan.delete(&**slice));
    }
}

/// The slice with the labels that it should have.
fn framed(slice: &EndpointSlice, frame: &Frame) -> EndpointSlice {
    let mut new = slice.clone();
    new.metadata.labels = frame.new.metadata.labels.clone();
    if frame.new.metadata.annotations.is_some() {
        new.metadata.annotations = frame.new.metadata.annotations.clone().filter(|annotations| !annotations.is_empty());
    }
    new
}

fn length(slice: &EndpointSlice) -> usize {
    slice.endpoints.as_ref().map_or(0, Vec::len)
}

/// Who an endpoint is, whatever its state.
fn identity(endpoint: &Endpoint) -> String {
    let target = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref()).unwrap_or_default();
    format!("{} {target} {}", endpoint.addresses.join(","), endpoint.hostname.as_deref().unwrap_or_default())
}
