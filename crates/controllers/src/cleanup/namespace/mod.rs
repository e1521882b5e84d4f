//! The namespace controller: empties a namespace that is being deleted, pods first, and then lets it go.
//! Reads namespaces, and everything in them; deletes; writes the conditions that say what holds a namespace; is woken by
//! namespaces and by the end of pods in them.
pub mod conditions;

use crate::driver::discovery::{Served, discover};
use crate::driver::queue::Queue;
use crate::driver::run::{Done, Worker};
use crate::objects::{is_deleting, name};
use client::{Body, Client, Delta, Error, Informer, Informers};
use conditions::Findings;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::Method;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use machinery::meta::Key;
use serde_json::json;
use std::sync::{Arc, Weak};
use std::time::Duration;
use stdx::clock::Clock;

/// So many resources are emptied at once.
const AT_ONCE: usize = 8;
/// What remains is looked at again after so long; the end of a pod wakes earlier.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const FINALIZER: &str = "kubernetes";

pub struct NamespaceController {
    client: Client,
    clock: Clock,
    namespaces: Arc<Informer<Namespace>>,
    _pods: Arc<Informer<Pod>>,
}

impl NamespaceController {
    pub fn new(client: Client, clock: Clock, informers: &Informers) -> Arc<NamespaceController> {
        Arc::new(NamespaceController { client, clock, namespaces: informers.of(), _pods: informers.of() })
    }

    pub async fn follow(&self, queue: Weak<Queue>) {
        self.namespaces.synced().await;
        let own = queue.clone();
        self.namespaces.subscribe(move |delta| {
            let meta = &delta.object().metadata;
            if let (true, Some(queue)) = (is_deleting(meta), own.upgrade()) {
                queue.add(Key::new("", name(meta)));
            }
        });
        let cache = Arc::downgrade(&self.namespaces.cache);
        self._pods.subscribe(move |delta| {
            let Delta::Deleted(pod) = delta else { return };
            let key = Key::new("", pod.metadata.namespace.clone().unwrap_or_default());
            let ending = cache.upgrade().and_then(|cache| cache.get(&key)).is_some_and(|namespace| is_deleting(&namespace.metadata));
            if let (true, Some(queue)) = (ending, queue.upgrade()) {
                queue.add(key);
            }
        });
    }

    async fn finish(&self, key: &Key) -> Result<bool, Error> {
        let Some(namespace) = self.client.find::<Namespace>("", &key.name).await? else { return Ok(true) };
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
        if !is_deleting(&namespace.metadata) || finalizers.is_empty() {
            return Ok(true);
        }
        let namespace = self.terminating(namespace).await?;
        let findings = self.empty(&key.name).await;
        let remains = findings.remains();
        let mut new = (*namespace).clone();
        conditions::write(&mut new, &findings, self.clock.now());
        if new != *namespace {
            self.client.update_status(&new).await?;
        }
        if remains {
            return Ok(false);
        }
        self.finalize(&key.name).await.map(|()| true)
    }

    async fn terminating(&self, namespace: Arc<Namespace>) -> Result<Arc<Namespace>, Error> {
        if namespace.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Terminating") {
            return Ok(namespace);
        }
        let mut new = (*namespace).clone();
        new.status.get_or_insert_default().phase = Some("Terminating".into());
        self.client.update_status(&new).await
    }

    /// Deletes everything that can be deleted. Nothing but pods goes while pods are there: they may still need it.
    async fn empty(&self, namespace: &str) -> Findings {
        let mut findings = Findings::default();
        let served = match discover(&self.client).await {
            Ok(served) => served,
            Err(error) => {
                findings.discovery = Some(error.to_string());
                return findings;
            }
        };
        let own: Vec<Served> = served.into_iter().filter(|one| one.namespaced && one.preferred && one.can("delete")).collect();
        let (pods, others): (Vec<Served>, Vec<Served>) =
            own.into_iter().partition(|one| one.what.plural == "pods" && one.what.group.is_empty());
        for resource in &pods {
            findings.add(resource, self.empty_one(resource, namespace).await);
        }
        if findings.remains() {
            return findings;
        }
        let results = futures::stream::iter(others.into_iter().map(|resource| async move {
            let result = self.empty_one(&resource, namespace).await;
            (resource, result)
        }));
        let results: Vec<_> = results.buffer_unordered(AT_ONCE).collect().await;
        results.into_iter().for_each(|(resource, result)| findings.add(&resource, result));
        findings
    }

    /// Gives the finalizers of each object that remains.
    async fn empty_one(&self, resource: &Served, namespace: &str) -> Result<Vec<Vec<String>>, Error> {
        let path = resource.what.path(namespace, "", "");
        if !resource.can("list") {
            return Ok(Vec::new());
        }
        if unsupported(self.client.list_metadata(&path).await)?.is_none_or(|(all, _)| all.is_empty()) {
            return Ok(Vec::new());
        }
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
        let supported = resource.can("deletecollection")
            && unsupported(self.client.raw(Method::DELETE, &path, Some(("application/json", Body::json(&options)))).await)?.is_some();
        if !supported {
            let (all, _) = self.client.list_metadata(&path).await?;
            for meta in all {
                let path = resource.what.path(namespace, &meta.name, "");
                unsupported(self.client.raw(Method::DELETE, &path, Some(("application/json", Body::json(&options)))).await)?;
            }
        }
        let (rest, _) = self.client.list_metadata(&path).await?;
        Ok(rest.into_iter().map(|meta| meta.finalizers).collect())
    }

    async fn finalize(&self, name: &str) -> Result<(), Error> {
        let Some(namespace) = self.client.find::<Namespace>("", name).await? else { return Ok(()) };
        let mut new = (*namespace).clone();
        if let Some(finalizers) = new.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        unsupported(self.client.update_subresource(&new, "finalize").await).map(drop)
    }
}

impl Worker for NamespaceController {
    fn work<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Done> {
        Box::pin(async move {
            match self.finish(key).await {
                Ok(true) => Ok(None),
                Ok(false) => Ok(Some(self.clock.now() + LOOK_AGAIN)),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

/// `None` where the resource does not know the verb or is gone.
fn unsupported<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() || error.is(machinery::status::Reason::MethodNotAllowed) => Ok(None),
        Err(error) => Err(error),
    }
}
