//! Which endpoints a service port leads to, from its EndpointSlices. Pure.
use k8s_openapi::api::core::v1::ServicePort;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Address and port of one endpoint.
pub type Target = (Ipv4Addr, u16);

/// The usable endpoints of one service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Everywhere in the cluster.
    pub cluster: Vec<Target>,
    /// On this node.
    pub local: Vec<Target>,
}

#[derive(Clone, Copy)]
struct State {
    ready: bool,
    /// Serving while it terminates: used when nothing is ready.
    draining: bool,
    local: bool,
}

/// Ready endpoints; where there are none, those that still serve while they terminate
/// (KEP-1669). The local ones are chosen in the same way on their own.
pub fn targets(port: &ServicePort, slices: &[&EndpointSlice], node: &str) -> Targets {
    let mut states: BTreeMap<Target, State> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let Some(number) = port_number(port, slice) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let state = state(endpoint, node);
            let addresses = endpoint.addresses.first().and_then(|address| address.parse().ok());
            for address in addresses.into_iter() {
                let known = states.entry((address, number)).or_insert(state);
                known.ready |= state.ready;
                known.draining |= state.draining;
            }
        }
    }
    let choose = |keep: fn(&State) -> bool| {
        let of = |wanted: fn(&State) -> bool| -> Vec<Target> {
            states.iter().filter(|(_, state)| keep(state) && wanted(state)).map(|(target, _)| *target).collect()
        };
        let ready = of(|state| state.ready);
        if ready.is_empty() { of(|state| state.draining) } else { ready }
    };
    Targets { cluster: choose(|_| true), local: choose(|state| state.local) }
}

fn state(endpoint: &Endpoint, node: &str) -> State {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let terminating = conditions.terminating.unwrap_or(false);
    State {
        ready: conditions.ready.unwrap_or(true),
        draining: terminating && conditions.serving.unwrap_or(false),
        local: endpoint.node_name.as_deref() == Some(node),
    }
}

/// Slices name ports as the service does; an unnamed port has the empty name.
fn port_number(port: &ServicePort, slice: &EndpointSlice) -> Option<u16> {
    let wanted = port.name.as_deref().unwrap_or_default();
    let ports = slice.ports.as_deref().unwrap_or_default();
    let found = ports.iter().find(|own| own.name.as_deref().unwrap_or_default() == wanted)?;
    found.port.and_then(|number| u16::try_from(number).ok())
}
