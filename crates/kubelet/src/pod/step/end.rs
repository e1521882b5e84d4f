//! The end of a pod: containers, sandboxes, last status, volumes, the object, and at last every trace.
use super::live::kill;
use crate::pod::effect::{Effect, Kill};
use crate::pod::observed::Observed;
use crate::pod::record::PodRecord;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

pub(super) fn end(record: &mut PodRecord, observed: &Observed, now: Timestamp) -> Vec<Effect> {
    if let Some(at) = record.again_at.filter(|at| *at > now) {
        record.wake(at);
        return Vec::new();
    }
    record.again_at = None;
    if !record.ended {
        let grace_seconds = record.stop.as_ref().map_or(0, |stop| stop.grace_seconds);
        let pod = record.pod.clone();
        let kills = kills(&pod, observed, grace_seconds);
        let ready = observed.sandboxes.iter().filter(|sandbox| sandbox.ready);
        let sandboxes: Vec<String> = ready.map(|sandbox| sandbox.id.clone()).collect();
        if !kills.is_empty() || !sandboxes.is_empty() {
            record.killing = Some(grace_seconds);
            return vec![Effect::KillPod { grace_seconds, kills, sandboxes }];
        }
        record.ended = true;
        record.waiting.clear();
    }
    if !record.cleaned {
        return vec![Effect::CleanUp];
    }
    if record.gone {
        return if record.erased { Vec::new() } else { vec![Effect::Erase] };
    }
    if record.pod.metadata.deletion_timestamp.is_some() && !record.object_deleted {
        return vec![Effect::DeleteObject];
    }
    Vec::new()
}

/// Kills for everything that runs.
pub(super) fn kills(pod: &Pod, observed: &Observed, grace_seconds: i64) -> Vec<Kill> {
    let one = |seen| Kill { grace_seconds, ..kill(pod, seen, String::new(), Some(grace_seconds)) };
    observed.running().map(one).collect()
}
