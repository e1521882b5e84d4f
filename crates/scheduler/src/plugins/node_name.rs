//! NodeName keeps a pod that names a node to that node.
use crate::framework::{Before, Event, Normal, Plugin, Verdict};

pub static NODE_NAME: Plugin<String> = Plugin {
    name: "NodeName",
    weight: 0,
    wakes_on: &[Event::NodeAdded],
    prefilter: |pod, _| match pod.node_name() {
        "" => Before::Skip,
        name => Before::Go(name.into()),
    },
    filter: Some(|name, row| match row.name == *name {
        true => Verdict::Fits,
        false => Verdict::never("node(s) didn't match the requested node name"),
    }),
    score: None,
    normal: Normal::AsIs,
};
