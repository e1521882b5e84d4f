//! The garbage collector: what lost its last owner goes, in the order and manner that the user asked for.
//! Reads the metadata of everything that can be deleted; deletes, and edits owner references and finalizers; is woken by
//! every change of metadata. It sees through its own graph, and verifies with the server before it acts.
pub mod graph;

use crate::driver::What;
use crate::driver::discovery::{Served, discover};
use crate::driver::queue::Queue;
use crate::driver::run::{Done, Worker};
use client::{Body, Client, Error, Meta, MetaChange, Recorder};
use futures::future::BoxFuture;
use graph::{FOREGROUND, Graph, Node, ORPHAN, Work};
use http::Method;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use machinery::meta::Key;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Owners known to be gone; beyond this many all are forgotten and asked for again.
const MAX_ABSENT: usize = 4096;
/// Discovery follows a change of custom resources after so long, so that a burst of them is one change.
const SETTLE: Duration = Duration::from_millis(200);
/// A failed discovery is tried again after so long.
const RETRY: Duration = Duration::from_secs(2);

pub struct GarbageCollector {
    client: Client,
    recorder: Recorder,
    queue: Arc<Queue>,
    graph: Mutex<Graph>,
    /// Resources by apiVersion and kind.
    kinds: Mutex<HashMap<(String, String), Served>>,
    absent: Mutex<HashSet<String>>,
    resources_changed: Notify,
}

/// The owners of an object, sorted out.
#[derive(Default)]
struct Owners {
    solid: usize,
    /// They do not exist.
    dangling: Vec<String>,
    /// They wait for their dependents to go.
    waiting: Vec<String>,
}

impl Worker for GarbageCollector {
    fn work<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Done> {
        Box::pin(async move {
            let result = match key.namespace.as_str() {
                "orphan" => self.orphan(&key.name).await,
                _ => self.collect(&key.name).await,
            };
            result.map(|()| None).map_err(|error| error.to_string())
        })
    }
}

impl GarbageCollector {
    pub fn new(client: Client, recorder: Recorder, queue: Arc<Queue>) -> Arc<GarbageCollector> {
        Arc::new(GarbageCollector {
            client,
            recorder,
            queue,
            graph: Mutex::default(),
            kinds: Mutex::default(),
            absent: Mutex::default(),
            resources_changed: Notify::new(),
        })
    }

    /// Follows all resources, and those that come later. Returns `ready` when each had its first list.
    pub async fn follow(self: Arc<Self>, ready: tokio::sync::oneshot::Sender<()>) {
        let mut followed: HashMap<What, tokio::task::JoinHandle<()>> = HashMap::new();
        let mut ready = Some(ready);
        let listed = Arc::new(tokio::sync::Semaphore::new(0));
        loop {
            match discover(&self.client).await {
                Ok(served) => {
                    self.follow_all(served, &mut followed, &listed);
                    if let Some(ready) = ready.take() {
                        let _ = listed.acquire_many(followed.len() as u32).await;
                        let _ = ready.send(());
                    }
                    self.resources_changed.notified().await;
                    tokio::time::sleep(SETTLE).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "discovery failed");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn follow_all(
        self: &Arc<Self>,
        served: Vec<Served>,
        followed: &mut HashMap<What, tokio::task::JoinHandle<()>>,
        listed: &Arc<tokio::sync::Semaphore>,
    ) {
        let wanted: HashMap<What, Served> =
            served.iter().filter(|one| is_followed(one)).map(|one| (one.what.clone(), one.clone())).collect();
        *self.kinds.lock() = served.into_iter().map(|one| ((one.what.api_version(), one.what.kind.to_string()), one)).collect();
        followed.retain(|what, task| {
            let stays = wanted.contains_key(what);
            if !stays {
                task.abort();
            }
            stays
        });
        for what in wanted.into_keys() {
            let (this, own, listed) = (Arc::downgrade(self), Arc::new(what.clone()), listed.clone());
            followed.entry(what.clone()).or_insert_with(|| {
                let tell = move |change: MetaChange| {
                    if let Some(this) = this.upgrade() {
                        this.take(&own, change, &listed);
                    }
                };
                self.client.follow_metadata(what.path("", "", ""), Arc::new(tell))
            });
        }
    }

    fn take(&self, what: &Arc<What>, change: MetaChange, listed: &tokio::sync::Semaphore) {
        if matches!(what.plural.as_ref(), "customresourcedefinitions" | "apiservices") {
            self.resources_changed.notify_one();
        }
        let owner_what = |owner: &OwnerReference| self.what_of(owner).map(|served| Arc::new(served.what));
        let work = match change {
            MetaChange::Listed(all) => {
                let work = self.graph.lock().replace(what, &all, owner_what);
                listed.add_permits(1);
                work
            }
            MetaChange::Applied(meta) => self.graph.lock().apply(what, &meta, owner_what),
            MetaChange::Deleted(meta) => {
                self.note_absent(&meta.uid);
                self.graph.lock().remove(&meta.uid)
            }
        };
        self.add(work);
    }

    fn add(&self, work: Vec<Work>) {
        for work in work {
            self.queue.add(match work {
                Work::Delete(uid) => Key::new("delete", uid),
                Work::Orphan(uid) => Key::new("orphan", uid),
            });
        }
    }

    fn what_of(&self, owner: &OwnerReference) -> Option<Served> {
        self.kinds.lock().get(&(owner.api_version.clone(), owner.kind.clone())).cloned()
    }

    fn note_absent(&self, uid: &str) {
        let mut absent = self.absent.lock();
        if absent.len() >= MAX_ABSENT {
            absent.clear();
        }
        absent.insert(uid.into());
    }

    /// Looks at one object, and deletes it if all its owners are gone.
    async fn collect(&self, uid: &str) -> Result<(), Error> {
        let Some(node) = self.graph.lock().get(uid).cloned() else { return Ok(()) };
        if node.deleting && !node.foreground {
            return Ok(());
        }
        let Some(latest) = self.latest(uid, &node).await? else {
            let work = self.graph.lock().remove(uid);
            self.note_absent(uid);
            self.add(work);
            return Ok(());
        };
        if node.foreground {
            return self.finish_foreground(uid, &node, &latest).await;
        }
        if !latest.owner_references.is_empty() {
            self.judge(&node, &latest).await?;
        }
        // one that was only heard of stays under watch until it is seen or gone
        if node.observed { Ok(()) } else { Err(Error::Transport("the object has not been observed yet".into())) }
    }

    async fn judge(&self, node: &Node, latest: &Meta) -> Result<(), Error> {
        let owners = match self.sort_owners(node, latest).await? {
            Some(owners) => owners,
            None => return Ok(()),
        };
        if owners.solid > 0 {
            let lost = [owners.dangling, owners.waiting].concat();
            return if lost.is_empty() { Ok(()) } else { self.drop_owners(node, latest, &lost).await };
        }
        if !owners.waiting.is_empty() && !node.dependents.is_empty() {
            let cycle = node.dependents.iter().any(|uid| self.graph.lock().get(uid).is_some_and(|dependent| dependent.foreground));
            if cycle {
                self.unblock(node, latest).await?;
                return self.delete(node, latest, "Foreground", false).await;
            }
            return self.delete(node, latest, "Foreground", true).await;
        }
        let policy = match latest {
            meta if meta.has_finalizer(ORPHAN) => "Orphan",
            meta if meta.has_finalizer(FOREGROUND) => "Foreground",
            _ => "Background",
        };
        self.delete(node, latest, policy, true).await
    }

    /// `None`: this cannot be judged and never will (a namespaced owner of a cluster-scoped object).
    async fn sort_owners(&self, node: &Node, latest: &Meta) -> Result<Option<Owners>, Error> {
        let mut owners = Owners::default();
        for owner in &latest.owner_references {
            if self.absent.lock().contains(&owner.uid) && self.graph.lock().get(&owner.uid).is_none() {
                owners.dangling.push(owner.uid.clone());
                continue;
            }
            let Some(served) = self.what_of(owner) else {
                return Err(Error::Decode(format!("no resource is known for {} {}", owner.api_version, owner.kind)));
            };
            if served.namespaced && node.key.namespace.is_empty() {
                return Ok(None);
            }
            let namespace = if served.namespaced { node.key.namespace.as_str() } else { "" };
            match found(self.client.metadata(&served.what.path(namespace, &owner.name, "")).await)? {
                Some(meta) if meta.uid == owner.uid && meta.is_deleting() && meta.has_finalizer(FOREGROUND) => {
                    owners.waiting.push(owner.uid.clone());
                }
                Some(meta) if meta.uid == owner.uid => owners.solid += 1,
                _ => {
                    self.tell_if_elsewhere(node, owner, latest);
                    owners.dangling.push(owner.uid.clone());
                }
            }
        }
        Ok(Some(owners))
    }

    /// An owner must be in the namespace of what it owns; the user hears of it when one is not.
    fn tell_if_elsewhere(&self, node: &Node, owner: &OwnerReference, latest: &Meta) {
        let elsewhere = self.graph.lock().get(&owner.uid).is_some_and(|known| known.observed && known.key.namespace != node.key.namespace);
        if elsewhere {
            let about = ObjectReference {
                api_version: Some(node.what.api_version()),
                kind: Some(node.what.kind.to_string()),
                namespace: Some(latest.namespace.clone()),
                name: Some(latest.name.clone()),
                uid: Some(latest.uid.clone()),
                ..ObjectReference::default()
            };
            let reference = format!(
                "[{}/{}, namespace: {}, name: {}, uid: {}]",
                owner.api_version, owner.kind, latest.namespace, owner.name, owner.uid
            );
            let message = format!("ownerRef {reference} does not exist in namespace \"{}\"", latest.namespace);
            self.recorder.warning(&about, "OwnerRefInvalidNamespace", message);
        }
    }

    async fn finish_foreground(&self, uid: &str, node: &Node, latest: &Meta) -> Result<(), Error> {
        let blocking = self.graph.lock().blocking(uid);
        if blocking.is_empty() {
            return self.drop_finalizer(node, latest, FOREGROUND).await;
        }
        let idle = |uid: &String| self.graph.lock().get(uid).is_some_and(|dependent| !dependent.foreground && !dependent.deleting);
        let work = blocking.into_iter().filter(idle).map(Work::Delete).collect();
        self.add(work);
        Ok(())
    }

    /// Takes the reference to `uid` from all its dependents, then the finalizer that asked for it.
    async fn orphan(&self, uid: &str) -> Result<(), Error> {
        let Some(node) = self.graph.lock().get(uid).cloned() else { return Ok(()) };
        for dependent in &node.dependents {
            let Some(child) = self.graph.lock().get(dependent).cloned() else { continue };
            if let Some(latest) = self.latest(dependent, &child).await? {
                self.drop_owners(&child, &latest, &[uid.to_string()]).await?;
            }
        }
        match self.latest(uid, &node).await? {
            Some(latest) => self.drop_finalizer(&node, &latest, ORPHAN).await,
            None => Ok(()),
        }
    }

    async fn latest(&self, uid: &str, node: &Node) -> Result<Option<Meta>, Error> {
        let found = found(self.client.metadata(&self.path(node)).await)?;
        Ok(found.filter(|meta| meta.uid == uid))
    }

    /// A virtual owner is known by its dependent's namespace, which a cluster-scoped one is not in.
    fn path(&self, node: &Node) -> String {
        let key = (node.what.api_version(), node.what.kind.to_string());
        let namespaced = self.kinds.lock().get(&key).is_none_or(|served| served.namespaced);
        node.what.path(if namespaced { &node.key.namespace } else { "" }, &node.key.name, "")
    }

    async fn drop_owners(&self, node: &Node, latest: &Meta, lost: &[String]) -> Result<(), Error> {
        let owners: Vec<&OwnerReference> = latest.owner_references.iter().filter(|owner| !lost.contains(&owner.uid)).collect();
        if owners.len() == latest.owner_references.len() {
            return Ok(());
        }
        self.patch(node, latest, json!({"ownerReferences": owners})).await
    }

    /// Breaks a circle of objects that wait for each other.
    async fn unblock(&self, node: &Node, latest: &Meta) -> Result<(), Error> {
        let free = |owner: &OwnerReference| OwnerReference { block_owner_deletion: Some(false), ..owner.clone() };
        let owners: Vec<OwnerReference> = latest.owner_references.iter().map(free).collect();
        self.patch(node, latest, json!({"ownerReferences": owners})).await
    }

    async fn drop_finalizer(&self, node: &Node, latest: &Meta, finalizer: &str) -> Result<(), Error> {
        let finalizers: Vec<&String> = latest.finalizers.iter().filter(|own| *own != finalizer).collect();
        if finalizers.len() == latest.finalizers.len() {
            return Ok(());
        }
        self.patch(node, latest, json!({"finalizers": finalizers})).await
    }

    async fn patch(&self, node: &Node, latest: &Meta, mut change: Value) -> Result<(), Error> {
        change["uid"] = latest.uid.as_str().into();
        change["resourceVersion"] = latest.resource_version.as_str().into();
        let body = Body::json(&json!({"metadata": change}));
        let answer = self.client.raw(Method::PATCH, &self.path(node), Some(("application/merge-patch+json", body))).await;
        found(answer).map(drop)
    }

    async fn delete(&self, node: &Node, latest: &Meta, policy: &str, at_version: bool) -> Result<(), Error> {
        let mut preconditions = json!({"uid": latest.uid});
        if at_version {
            preconditions["resourceVersion"] = latest.resource_version.as_str().into();
        }
        tracing::debug!(resource = %node.what.plural, key = %node.key, policy, "collecting");
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy, "preconditions": preconditions});
        found(self.client.raw(Method::DELETE, &self.path(node), Some(("application/json", Body::json(&options)))).await).map(drop)
    }
}

/// Events are many, short-lived and own nothing.
fn is_followed(served: &Served) -> bool {
    served.preferred && ["delete", "list", "watch"].iter().all(|verb| served.can(verb)) && served.what.plural != "events"
}

fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
