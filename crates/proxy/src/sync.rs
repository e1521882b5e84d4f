//! The driver: informers tell which services changed, a short moment gathers neighbours, one batch carries the difference out.
use crate::conntrack;
use crate::model::{Model, Node, model};
use crate::table::Table;
use client::{Delta, Informer, Informers};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use machinery::meta::Key;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Changes that come within this time go out together.
const GATHER: Duration = Duration::from_millis(5);
/// After a refusal by the kernel the table is built anew, not sooner than this.
const RETRY: Duration = Duration::from_secs(1);
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Services with this label are another proxy's.
const OTHER_PROXY_LABEL: &str = "service.kubernetes.io/service-proxy-name";
const BY_SERVICE: &str = "service";

#[derive(Clone, Debug)]
pub struct Config {
    pub node: Node,
    /// Name of the nftables table.
    pub table: String,
}

/// The running proxy; ends when dropped. The rules stay until `Table::remove`.
pub struct Proxy {
    task: tokio::task::JoinHandle<()>,
    state: Arc<State>,
}

struct State {
    services: Arc<Informer<Service>>,
    slices: Arc<Informer<EndpointSlice>>,
    dirty: Mutex<BTreeSet<Key>>,
    wake: Notify,
    synced: tokio::sync::watch::Sender<bool>,
}

impl Proxy {
    pub fn start(config: Config, informers: &Informers) -> Proxy {
        let state = Arc::new(State {
            services: informers.of(),
            slices: informers.of(),
            dirty: Mutex::default(),
            wake: Notify::new(),
            synced: tokio::sync::watch::Sender::new(false),
        });
        state.slices.cache.add_index(BY_SERVICE, |slice| service_of(slice).map(|key| key.to_string()).into_iter().collect());
        let marks = Arc::downgrade(&state);
        state.services.subscribe(move |delta| {
            if let Some(state) = marks.upgrade() {
                state.mark(Some(Key::of(&delta.object().metadata)));
            }
        });
        let marks = Arc::downgrade(&state);
        state.slices.subscribe(move |delta| {
            if let Some(state) = marks.upgrade() {
                state.mark(service_of(delta.object()));
                if let Delta::Updated { old, .. } = delta {
                    state.mark(service_of(old));
                }
            }
        });
        let task = tokio::spawn(run(config, state.clone()));
        Proxy { task, state }
    }

    /// Waits until the rules show what the API server had at the start.
    pub async fn synced(&self) {
        let _ = self.state.synced.subscribe().wait_for(|synced| *synced).await;
    }

    pub fn is_synced(&self) -> bool {
        *self.state.synced.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn mark(&self, key: Option<Key>) {
        if let Some(key) = key {
            self.dirty.lock().insert(key);
            self.wake.notify_one();
        }
    }

    fn model(&self, key: &Key, node: &Node) -> Model {
        let Some(service) = self.services.cache.get(key).filter(|service| is_ours(service)) else { return Model::default() };
        let slices = self.slices.cache.by_index(BY_SERVICE, &key.to_string());
        let slices: Vec<&EndpointSlice> = slices.iter().map(|slice| &**slice).collect();
        model(&service, &slices, node)
    }
}

fn is_ours(service: &Service) -> bool {
    !service.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(OTHER_PROXY_LABEL))
}

fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
    Some(Key::new(slice.metadata.namespace.clone().unwrap_or_default(), name))
}

async fn run(config: Config, state: Arc<State>) {
    state.services.synced().await;
    state.slices.synced().await;
    loop {
        if let Err(error) = follow(&config, &state).await {
            tracing::error!(%error, table = config.table, "the service rules could not be changed; building them anew");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Builds the table and keeps it; ends only with an error.
async fn follow(config: &Config, state: &State) -> Result<(), netlink::Error> {
    let mut table = Table::install(&config.table, &config.node)?;
    let mut installed: HashMap<Key, Model> = HashMap::new();
    state.dirty.lock().extend(state.services.cache.all().iter().map(|service| Key::of(&service.metadata)));
    loop {
        let dirty = std::mem::take(&mut *state.dirty.lock());
        let nothing = Model::default();
        let models: Vec<(Key, Model)> = dirty.into_iter().map(|key| (key.clone(), state.model(&key, &config.node))).collect();
        let changes: Vec<(&Model, &Model)> = models.iter().map(|(key, new)| (installed.get(key).unwrap_or(&nothing), new)).collect();
        table.change(&changes)?;
        if let Err(error) = conntrack::clean(&changes) {
            tracing::warn!(%error, "stale UDP connections could not be forgotten");
        }
        for (key, model) in models {
            match model.elements.is_empty() {
                true => drop(installed.remove(&key)),
                false => drop(installed.insert(key, model)),
            }
        }
        state.synced.send_replace(true);
        state.wake.notified().await;
        tokio::time::sleep(GATHER).await;
    }
}
