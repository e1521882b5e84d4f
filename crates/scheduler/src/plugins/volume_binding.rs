//! VolumeBinding keeps a pod to nodes from which its bound volumes can be reached, and waits for claims that are not bound.
use super::node_affinity::term_matches;
use crate::framework::{Before, Event, Normal, Plugin, Verdict};
use k8s_openapi::api::core::v1::NodeSelectorTerm;
use machinery::meta::Key;

/// Node affinities of the pod's volumes.
pub static VOLUME_BINDING: Plugin<Vec<Vec<NodeSelectorTerm>>> = Plugin {
    name: "VolumeBinding",
    weight: 0,
    wakes_on: &[Event::VolumesChanged, Event::NodeAdded, Event::NodeChanged],
    prefilter: |pod, cluster| {
        let mut affinities = Vec::new();
        for volume in pod.spec().into_iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            let claimed = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
            let made = volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.key.name, volume.name));
            let Some(claim) = claimed.or(made) else { continue };
            match cluster.claim(&Key::new(&pod.key.namespace, &claim)) {
                None => return Before::Refused(format!("persistentvolumeclaim \"{claim}\" not found").into()),
                Some(None) => return Before::Refused("pod has unbound immediate PersistentVolumeClaims".into()),
                Some(Some(volume)) => affinities.extend(cluster.volume(volume).cloned()),
            }
        }
        if affinities.is_empty() { Before::Skip } else { Before::Go(affinities) }
    },
    filter: Some(|affinities, row| {
        let reachable = affinities.iter().all(|terms| terms.iter().any(|term| term_matches(term, row)));
        if reachable { Verdict::Fits } else { Verdict::never("node(s) didn't match PersistentVolume's node affinity") }
    }),
    score: None,
    normal: Normal::AsIs,
};
