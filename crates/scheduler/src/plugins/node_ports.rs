//! NodePorts keeps a pod off nodes where a port of the host that it wants is taken.
use crate::framework::{Before, Event, Normal, Plugin, Verdict};
use crate::pod::HostPort;

pub static NODE_PORTS: Plugin<Vec<HostPort>> = Plugin {
    name: "NodePorts",
    weight: 0,
    wakes_on: &[Event::PodGone, Event::NodeAdded],
    prefilter: |pod, _| if pod.ports.is_empty() { Before::Skip } else { Before::Go(pod.ports.clone()) },
    filter: Some(|wanted, row| match wanted.iter().any(|port| row.ports.iter().any(|taken| conflict(port, taken))) {
        true => Verdict::full("node(s) didn't have free ports for the requested pod ports"),
        false => Verdict::Fits,
    }),
    score: None,
    normal: Normal::AsIs,
};

/// The same number and protocol, at the same address or where one of both wants every address.
fn conflict(a: &HostPort, b: &HostPort) -> bool {
    a.2 == b.2 && a.1 == b.1 && (a.0 == b.0 || a.0.is_empty() || b.0.is_empty())
}
