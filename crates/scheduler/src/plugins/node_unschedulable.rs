//! NodeUnschedulable keeps pods off cordoned nodes, unless they tolerate the taint that stands for it.
use super::taint_toleration::tolerates;
use crate::framework::{Before, Event, Normal, Plugin, Verdict};
use k8s_openapi::api::core::v1::Taint;

pub static NODE_UNSCHEDULABLE: Plugin<bool> = Plugin {
    name: "NodeUnschedulable",
    weight: 0,
    wakes_on: &[Event::NodeAdded, Event::NodeChanged],
    prefilter: |pod, _| {
        let taint = Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
        let tolerations = pod.spec().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
        Before::Go(tolerations.iter().any(|toleration| tolerates(toleration, &taint)))
    },
    filter: Some(|tolerated, row| match row.unschedulable && !tolerated {
        true => Verdict::never("node(s) were unschedulable"),
        false => Verdict::Fits,
    }),
    score: None,
    normal: Normal::AsIs,
};
