//! The annotations by which `kubectl rollout` knows a Deployment's history.
use crate::objects::{annotation, set_entry};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Longest text of old revisions in one set.
const MAX_HISTORY_BYTES: usize = 2000;
/// Annotations of the Deployment that its sets do not get.
const OWN: [&str; 6] =
    ["kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAX, "deprecated.deployment.rollback.to"];

/// The revision of a set; 0 where it has none.
pub fn of(meta: &ObjectMeta) -> i64 {
    annotation(meta, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Copies the Deployment's annotations to its set and raises the set's revision to `revision`, remembering the one it had.
pub fn annotate(deployment: &Deployment, set: &mut ReplicaSet, revision: i64) {
    for (key, value) in deployment.metadata.annotations.iter().flatten().filter(|(key, _)| !OWN.contains(&key.as_str())) {
        set_entry(&mut set.metadata.annotations, key, value);
    }
    let had = annotation(&set.metadata, REVISION).map(String::from);
    let old: i64 = match had.as_deref() {
        None | Some("") => 0,
        Some(text) => match text.parse() {
            Ok(number) => number,
            Err(_) => return,
        },
    };
    if old >= revision {
        return;
    }
    set_entry(&mut set.metadata.annotations, REVISION, &revision.to_string());
    if let Some(had) = had {
        let history = remember(annotation(&set.metadata, HISTORY).unwrap_or_default(), &had);
        set_entry(&mut set.metadata.annotations, HISTORY, &history);
    }
}

fn remember(history: &str, revision: &str) -> String {
    if history.is_empty() {
        return revision.into();
    }
    let mut all = format!("{history},{revision}");
    while all.len() > MAX_HISTORY_BYTES {
        match all.split_once(',') {
            Some((_, rest)) => all = rest.into(),
            None => return history.into(),
        }
    }
    all
}
