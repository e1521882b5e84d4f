//! Starts controllers, each with its own identity, over shared informers.
use crate::accounts::certificates::{Certificates, Signer};
use crate::cleanup::garbage::GarbageCollector;
use crate::cleanup::namespace::NamespaceController;
use crate::driver::caches::Caches;
use crate::driver::carry::Carrier;
use crate::driver::controller::{Controller, Source};
use crate::driver::metrics::{Counters, Meter};
use crate::driver::queue::Queue;
use crate::driver::run::{Planner, run};
use crate::settings::Settings;
use client::{Client, Identity, Informers, Recorder};
use std::sync::Arc;
use stdx::clock::Clock;

const GARBAGE_WORKERS: usize = 20;
const NAMESPACE_WORKERS: usize = 10;
const CERTIFICATE_WORKERS: usize = 2;

/// What controllers need from outside.
pub struct Config {
    /// A client that acts as the given identity (`system:serviceaccount:kube-system:<name>`).
    pub clients: Box<dyn Fn(&Identity) -> Client + Send + Sync>,
    pub informers: Arc<Informers>,
    pub clock: Clock,
    pub settings: Settings,
    /// Signs approved certificate requests; without it they wait.
    pub signer: Option<Signer>,
    /// Names of the controllers to run; empty: all.
    pub which: Vec<String>,
}

/// Running controllers; they end when this is dropped.
pub struct Handle {
    tasks: tokio::task::JoinSet<()>,
    meters: Vec<Meter>,
    _caches: Arc<Caches>,
}

impl Handle {
    /// Prometheus' text form of the queues' counters.
    pub fn metrics(&self) -> String {
        crate::driver::metrics::render(&self.meters)
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.meters.iter().map(|meter| meter.name).collect()
    }

    /// Waits for the end of any controller: none ends by itself, so that would be a failure.
    pub async fn failed(&mut self) {
        let _ = self.tasks.join_next().await;
    }
}

/// The identity of a controller's service account.
pub fn identity(account: &str) -> Identity {
    let user = format!("system:serviceaccount:kube-system:{account}");
    Identity::new(&user, &["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"])
}

/// Starts the chosen controllers. Each begins to work when its informers have their first list.
pub fn start(config: Config) -> Handle {
    let wanted = |name: &str| config.which.is_empty() || config.which.iter().any(|own| own == name);
    let chosen: Vec<&'static Controller> = crate::all().into_iter().filter(|controller| wanted(controller.name)).collect();
    let mut caches = Caches::default();
    let sources: Vec<Vec<Box<dyn Source>>> = chosen.iter().map(|controller| (controller.reads)()).collect();
    for source in sources.iter().flatten() {
        source.open(&mut caches, Some(&config.informers));
    }
    let caches = Arc::new(caches);
    let settings = Arc::new(config.settings.clone());
    let mut handle = Handle { tasks: tokio::task::JoinSet::new(), meters: Vec::new(), _caches: caches.clone() };
    for (controller, sources) in chosen.into_iter().zip(sources) {
        spawn(&mut handle, &config, controller, sources, &caches, &settings);
    }
    if wanted("garbagecollector") {
        spawn_garbage_collector(&mut handle, &config);
    }
    if wanted("namespace") {
        spawn_namespaces(&mut handle, &config);
    }
    if wanted("certificates") {
        spawn_certificates(&mut handle, &config);
    }
    handle
}

fn spawn_garbage_collector(handle: &mut Handle, config: &Config) {
    let (queue, client, recorder) = begin(handle, config, "garbagecollector", "generic-garbage-collector");
    let collector = GarbageCollector::new(client, recorder, queue.clone());
    let (ready, followed) = tokio::sync::oneshot::channel();
    handle.tasks.spawn(collector.clone().follow(ready));
    let clock = config.clock.clone();
    handle.tasks.spawn(async move {
        // before everything is known, an owner may only seem to be missing
        let _ = followed.await;
        run("garbagecollector", queue, collector, GARBAGE_WORKERS, clock).await;
    });
}

fn spawn_namespaces(handle: &mut Handle, config: &Config) {
    let (queue, client, _) = begin(handle, config, "namespace", "namespace-controller");
    let controller = NamespaceController::new(client, config.clock.clone(), &config.informers);
    let clock = config.clock.clone();
    handle.tasks.spawn(async move {
        controller.follow(Arc::downgrade(&queue)).await;
        run("namespace", queue, controller, NAMESPACE_WORKERS, clock).await;
    });
}

fn spawn_certificates(handle: &mut Handle, config: &Config) {
    let (queue, client, _) = begin(handle, config, "certificates", "certificate-controller");
    let controller = Certificates::new(client, config.clock.clone(), &config.informers, config.signer.clone());
    let clock = config.clock.clone();
    handle.tasks.spawn(async move {
        controller.follow(Arc::downgrade(&queue)).await;
        run("certificates", queue, controller, CERTIFICATE_WORKERS, clock).await;
    });
}

/// The queue, client and recorder of a controller that does not plan from caches.
fn begin(handle: &mut Handle, config: &Config, name: &'static str, account: &str) -> (Arc<Queue>, Client, Recorder) {
    let queue = Arc::new(Queue::default());
    handle.meters.push(Meter { name, counters: Arc::default(), queue: Arc::downgrade(&queue) });
    let client = (config.clients)(&identity(account));
    let recorder = Recorder::start(client.clone(), config.clock.clone(), account, "");
    (queue, client, recorder)
}

fn spawn(
    handle: &mut Handle,
    config: &Config,
    controller: &'static Controller,
    sources: Vec<Box<dyn Source>>,
    caches: &Arc<Caches>,
    settings: &Arc<Settings>,
) {
    let queue = Arc::new(Queue::default());
    let counters = Arc::new(Counters::default());
    handle.meters.push(Meter { name: controller.name, counters: counters.clone(), queue: Arc::downgrade(&queue) });
    let client = (config.clients)(&identity(controller.account));
    let recorder = Recorder::start(client.clone(), config.clock.clone(), controller.account, "");
    let planner = Planner {
        controller,
        caches: caches.clone(),
        carrier: Carrier { client, recorder },
        clock: config.clock.clone(),
        started: config.clock.now(),
        settings: settings.clone(),
        counters,
        noticed: Default::default(),
    };
    let (caches, clock) = (caches.clone(), config.clock.clone());
    handle.tasks.spawn(async move {
        for source in &sources {
            source.synced(&caches).await;
        }
        for source in sources {
            source.follow(&caches, Arc::downgrade(&queue));
        }
        if controller.always {
            queue.add(machinery::meta::Key::default());
        }
        drop(caches);
        run(controller.name, queue, Arc::new(planner), controller.workers, clock).await;
    });
}
