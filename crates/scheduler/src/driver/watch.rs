//! Events into state: every informer's callback changes the cluster by what changed, and wakes whom it may concern.
use super::{Shared, State};
use crate::framework::Event;
use crate::pod::PodInfo;
use client::{Delta, Informer, Informers};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use machinery::meta::Key;
use machinery::object::Resource;
use std::sync::{Arc, Weak};

/// The informers that feed the scheduler.
#[derive(Clone)]
pub struct Watched {
    pods: Arc<Informer<Pod>>,
    nodes: Arc<Informer<Node>>,
    namespaces: Arc<Informer<Namespace>>,
    claims: Arc<Informer<PersistentVolumeClaim>>,
    volumes: Arc<Informer<PersistentVolume>>,
}

impl Watched {
    pub fn start(informers: &Informers, shared: &Arc<Shared>) -> Watched {
        let watched = Watched {
            pods: informers.of(),
            nodes: informers.of(),
            namespaces: informers.of(),
            claims: informers.of(),
            volumes: informers.of(),
        };
        follow(&watched.nodes, shared, node);
        follow(&watched.namespaces, shared, namespace);
        follow(&watched.claims, shared, claim);
        follow(&watched.volumes, shared, volume);
        follow(&watched.pods, shared, pod);
        watched
    }

    pub async fn synced(&self) {
        self.nodes.synced().await;
        self.namespaces.synced().await;
        self.claims.synced().await;
        self.volumes.synced().await;
        self.pods.synced().await;
    }
}

fn follow<T: Resource>(informer: &Informer<T>, shared: &Arc<Shared>, apply: fn(&Shared, &mut State, &Delta<T>)) {
    let shared: Weak<Shared> = Arc::downgrade(shared);
    informer.subscribe(move |delta| {
        if let Some(shared) = shared.upgrade() {
            apply(&shared, &mut shared.state.lock(), delta);
        }
    });
}

fn node(shared: &Shared, state: &mut State, delta: &Delta<Node>) {
    match delta {
        Delta::Deleted(node) => state.cluster.remove_node(node.metadata.name.as_deref().unwrap_or_default()),
        Delta::Added(node) => {
            state.cluster.set_node(node.clone());
            shared.happened(state, Event::NodeAdded);
        }
        Delta::Updated { old, new } => {
            state.cluster.set_node(new.clone());
            if matters(old, new) {
                shared.happened(state, Event::NodeChanged);
            }
        }
    }
}

/// Heartbeats and image lists change nothing for those who wait.
fn matters(old: &Node, new: &Node) -> bool {
    let room = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    old.spec != new.spec || old.metadata.labels != new.metadata.labels || room(old) != room(new)
}

fn namespace(shared: &Shared, state: &mut State, delta: &Delta<Namespace>) {
    let (object, gone) = (delta.object(), matches!(delta, Delta::Deleted(_)));
    let labels = (!gone).then(|| object.metadata.labels.clone().unwrap_or_default());
    state.cluster.set_namespace(object.metadata.name.as_deref().unwrap_or_default(), labels);
    if matches!(delta, Delta::Updated { old, new } if old.metadata.labels != new.metadata.labels) {
        shared.happened(state, Event::LabelsChanged);
    }
}

fn claim(shared: &Shared, state: &mut State, delta: &Delta<PersistentVolumeClaim>) {
    let claim = delta.object();
    let key = Key::of(&claim.metadata);
    if matches!(delta, Delta::Deleted(_)) {
        return state.cluster.remove_claim(&key);
    }
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|_| bound);
    state.cluster.set_claim(key, volume);
    shared.happened(state, Event::VolumesChanged);
}

fn volume(shared: &Shared, state: &mut State, delta: &Delta<PersistentVolume>) {
    let volume = delta.object();
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.clone());
    let terms = affinity.map(|required| required.node_selector_terms).filter(|_| !matches!(delta, Delta::Deleted(_)));
    state.cluster.set_volume(volume.metadata.name.as_deref().unwrap_or_default(), terms);
    shared.happened(state, Event::VolumesChanged);
}

fn pod(shared: &Shared, state: &mut State, delta: &Delta<Pod>) {
    let info = Arc::new(PodInfo::new(delta.object().clone()));
    let key = &info.key;
    if matches!(delta, Delta::Deleted(_)) || info.is_finished() {
        state.queue.remove(key);
        state.cluster.forget_nomination(key);
        if state.cluster.remove_pod(key).is_some() {
            shared.happened(state, Event::PodGone);
        }
        return;
    }
    let node = info.node_name().to_string();
    if !node.is_empty() {
        return placed(shared, state, delta, info, &node);
    }
    if info.is_being_deleted() || !shared.is_ours(&info.pod) {
        return state.queue.remove(key);
    }
    if !info.nominated_node().is_empty() && state.cluster.node_of(key).is_none() {
        let node = info.nominated_node().to_string();
        state.cluster.nominate(info.clone(), &node);
    }
    // A pod that is assumed somewhere is being bound: its own event from before that says nothing new.
    if state.cluster.node_of(key).is_none() {
        state.queue.put(info, shared.now());
        shared.wake.notify_one();
    }
}

fn placed(shared: &Shared, state: &mut State, delta: &Delta<Pod>, info: Arc<PodInfo>, node: &str) {
    let known = state.cluster.node_of(&info.key).is_some();
    let relabelled = matches!(delta, Delta::Updated { old, new } if old.metadata.labels != new.metadata.labels);
    let shrunk = matches!(delta, Delta::Updated { old, new } if old.spec.as_ref().map(|spec| &spec.containers) != new.spec.as_ref().map(|spec| &spec.containers));
    state.queue.remove(&info.key);
    state.cluster.forget_nomination(&info.key);
    state.cluster.set_pod(info, node);
    if shrunk {
        shared.happened(state, Event::PodGone);
    }
    if !known {
        shared.happened(state, Event::PodPlaced);
    } else if relabelled {
        shared.happened(state, Event::LabelsChanged);
    }
}
