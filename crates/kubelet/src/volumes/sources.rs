//! Config maps and secrets that pods refer to, each watched by its name while somebody holds it: a node may read no others.
use client::{Client, Informer, ListOptions};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use machinery::meta::Key;
use machinery::object::Resource;
use parking_lot::Mutex;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long a start waits for the first answer.
const SYNC_LIMIT: Duration = Duration::from_secs(10);

/// Called when an object has changed: its kind and key.
pub type OnChange = Arc<dyn Fn(&'static str, &Key) + Send + Sync>;
type Watched<T> = Mutex<HashMap<Key, Weak<Informer<T>>>>;

pub struct Sources {
    client: Client,
    on_change: OnChange,
    config_maps: Watched<ConfigMap>,
    secrets: Watched<Secret>,
}

/// Keeps the watches of one pod alive.
pub type Held = Vec<Arc<dyn Any + Send + Sync>>;

impl Sources {
    pub fn new(client: Client, on_change: OnChange) -> Sources {
        Sources { client, on_change, config_maps: Mutex::default(), secrets: Mutex::default() }
    }

    pub async fn config_map(&self, namespace: &str, name: &str, held: &mut Held) -> Result<Option<Arc<ConfigMap>>, String> {
        self.get(&self.config_maps, Key::new(namespace, name), held).await
    }

    pub async fn secret(&self, namespace: &str, name: &str, held: &mut Held) -> Result<Option<Arc<Secret>>, String> {
        self.get(&self.secrets, Key::new(namespace, name), held).await
    }

    async fn get<T>(&self, watched: &Watched<T>, key: Key, held: &mut Held) -> Result<Option<Arc<T>>, String>
    where
        T: Resource + k8s_openapi::Resource<Scope = NamespaceResourceScope>,
    {
        let informer = self.informer(watched, &key);
        held.push(informer.clone());
        if tokio::time::timeout(SYNC_LIMIT, informer.synced()).await.is_err() {
            return Err(format!("failed to sync {} cache: timed out waiting for the condition", T::KIND.to_lowercase()));
        }
        Ok(informer.cache.get(&key))
    }

    fn informer<T>(&self, watched: &Watched<T>, key: &Key) -> Arc<Informer<T>>
    where
        T: Resource + k8s_openapi::Resource<Scope = NamespaceResourceScope>,
    {
        let mut watched = watched.lock();
        if let Some(informer) = watched.get(key).and_then(Weak::upgrade) {
            return informer;
        }
        let field_selector = format!("metadata.name={}", key.name);
        let options = ListOptions { namespace: key.namespace.clone(), field_selector, ..ListOptions::default() };
        let informer = Informer::<T>::start(self.client.clone(), options);
        let (on_change, changed) = (self.on_change.clone(), key.clone());
        informer.subscribe(move |_| on_change(T::KIND, &changed));
        watched.retain(|_, informer| informer.strong_count() > 0);
        watched.insert(key.clone(), Arc::downgrade(&informer));
        informer
    }
}

/// Does the pod mount this object? (Environments are read once, at the start of a container.)
pub fn mounts(pod: &Pod, kind: &str, name: &str) -> bool {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.into_iter().any(|volume| {
        let projected = volume.projected.iter().flat_map(|all| all.sources.iter().flatten());
        let mut projected = projected.into_iter();
        match kind {
            "ConfigMap" => {
                volume.config_map.as_ref().is_some_and(|own| own.name == name)
                    || projected.any(|source| source.config_map.as_ref().is_some_and(|own| own.name == name))
            }
            _ => {
                volume.secret.as_ref().is_some_and(|own| own.secret_name.as_deref() == Some(name))
                    || projected.any(|source| source.secret.as_ref().is_some_and(|own| own.name == name))
            }
        }
    })
}
