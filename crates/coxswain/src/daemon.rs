//! The running cluster: one component after the other, a line for each stage, until a signal comes.
use crate::components::health::Health;
use crate::components::{apiserver, containers::Containers, controllers, dns, kubelet, proxy, scheduler};
use crate::config::{Component, Config};
use crate::failure::{Doing, Failure};
use crate::instance::Lock;
use crate::ports;
use crate::progress::{Progress, READY};
use client::{Client, Informers};
use k8s_openapi::api::core::v1::Node;
use machinery::meta::Key;
use pki::Directory;
use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::Clock;
use stdx::random::Random;
use tokio::signal::unix::{SignalKind, signal};

/// A node that is not ready by then is told about, and waited for no longer.
const NODE_PATIENCE: Duration = Duration::from_secs(60);
const NODE_POLL: Duration = Duration::from_millis(10);

/// Runs until SIGTERM or SIGINT. What goes wrong before it is ready is told on the progress pipe as well.
pub async fn run(config: Config) -> Result<(), Failure> {
    let progress = Progress::start();
    match start(&config, &progress).await {
        Ok(Some(daemon)) => {
            progress.say(READY);
            until_stopped().await;
            daemon.stop().await;
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(failure) => {
            progress.say(&format!("error: {}", failure.0));
            Err(failure)
        }
    }
}

/// Waits for a signal that asks to end.
pub async fn until_stopped() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

struct Daemon {
    api: apiserver::Running,
    kubelet: Option<kubelet::Running>,
    parts: Vec<Box<dyn Any + Send>>,
    tasks: tokio::task::JoinSet<()>,
    _lock: Lock,
}

impl Daemon {
    /// Components first, the API server when they have said their last, the store at the end. Containers go on.
    async fn stop(mut self) {
        if let Some(running) = self.kubelet.take() {
            running.kubelet.stop().await;
        }
        self.parts.clear();
        self.api.server.stop();
        self.tasks.shutdown().await;
        self.api.store.close().await;
    }
}

async fn start(config: &Config, progress: &Progress) -> Result<Option<Daemon>, Failure> {
    let listener = ports::listen(SocketAddr::new(config.bind_address, config.port), "the API server")?;
    if config.runs(Component::Kubelet) {
        drop(ports::listen(SocketAddr::new(IpAddr::from([0, 0, 0, 0]), config.kubelet_port), "the kubelet")?);
    }
    let lock = match Lock::take(config)? {
        Ok(lock) => lock,
        Err(running) => {
            progress.say(&format!("coxswain is already running on {} (process {})", config.data_dir.display(), running.pid));
            return Ok(None);
        }
    };
    let (clock, random) = (Clock::system(), Random::system());
    let health = Arc::new(Health::new(config));
    let store = apiserver::open_store(config, &clock)?;
    progress.stage("store open");
    let pki = apiserver::open_pki(config, &clock)?;
    progress.stage("certificates");
    let api = apiserver::start(config, store, &pki, &clock, &random).await?;
    apiserver::write_admin_kubeconfig(config, &pki)?;
    let mut daemon = Daemon { api, kubelet: None, parts: Vec::new(), tasks: tokio::task::JoinSet::new(), _lock: lock };
    let listener = tokio::net::TcpListener::from_std(listener)?;
    daemon.tasks.spawn(daemon.api.server.clone().serve(listener, Some(daemon.api.tls.clone())));
    daemon.tasks.spawn(apiserver::forget_history(daemon.api.store.clone(), clock.clone()));
    health.set("apiserver", Ok(()), clock.now());
    progress.stage("api ready");
    start_deciders(config, &mut daemon, &pki, &clock, &random, &health)?;
    if config.runs(Component::Kubelet) {
        start_node(config, &mut daemon, &pki, &clock, &random, &health, progress).await?;
    }
    keep_certificates(config, &mut daemon, pki, clock);
    Ok(Some(daemon))
}

/// Controllers, scheduler and proxy: they start at once and work when their caches are there.
fn start_deciders(
    config: &Config,
    daemon: &mut Daemon,
    pki: &Directory,
    clock: &Clock,
    random: &Random,
    health: &Health,
) -> Result<(), Failure> {
    if config.runs(Component::ControllerManager) {
        let client = daemon.api.client("system:kube-controller-manager", &[]);
        let server = daemon.api.server.clone();
        let clients =
            Box::new(move |identity: &client::Identity| Client::in_process(server.clone(), identity.clone(), "coxswain-controllers"));
        let handle = controllers::start(config, clients, Informers::new(client), Some(pki), clock, random)?;
        daemon.parts.push(Box::new(handle));
        health.set("controller-manager", Ok(()), clock.now());
    }
    if config.runs(Component::Scheduler) {
        let client = daemon.api.client("system:kube-scheduler", &[]);
        let informers = Informers::new(client.clone());
        daemon.parts.push(Box::new((scheduler::start(client, &informers, clock, random), informers)));
        health.set("scheduler", Ok(()), clock.now());
    }
    if config.runs(Component::Proxy) {
        let informers = Informers::new(daemon.api.client("system:kube-proxy", &[]));
        daemon.parts.push(Box::new((proxy::start(config, &informers), informers)));
        health.set("proxy", Ok(()), clock.now());
    }
    Ok(())
}

async fn start_node(
    config: &Config,
    daemon: &mut Daemon,
    pki: &Directory,
    clock: &Clock,
    random: &Random,
    health: &Health,
    progress: &Progress,
) -> Result<(), Failure> {
    let containers = Containers::open(config).await?;
    progress.stage("runtime ready");
    let sample = containers.import_sample();
    let client = daemon.api.client(&format!("system:node:{}", config.node_name), &["system:nodes"]);
    sample.await?;
    progress.stage("sample packed");
    let running = kubelet::start(config, client, containers, Some(pki), clock, random).await?;
    let ready = wait_for_node(config, &running).await;
    health.set("kubelet", ready.clone(), clock.now());
    match ready {
        Ok(()) => progress.stage("node ready"),
        Err(why) => progress.say(&format!("node not ready    {why}")),
    }
    let listen = dns_address(&running);
    daemon.kubelet = Some(running);
    if let Some(listen) = listen.filter(|_| config.runs(Component::Dns)) {
        start_dns(config, daemon, listen).await?;
        health.set("dns", Ok(()), clock.now());
        progress.stage("dns ready");
    }
    Ok(())
}

/// The bridge's address: the first of the node's podCIDR. Pods and host reach it, nobody else does.
fn dns_address(running: &kubelet::Running) -> Option<SocketAddr> {
    let node = running.node.cache.all().pop()?;
    let cidr: ipnet::Ipv4Net = node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()?;
    Some((cidr.hosts().next()?, 53).into())
}

async fn start_dns(config: &Config, daemon: &mut Daemon, listen: SocketAddr) -> Result<(), Failure> {
    let admin = daemon.api.client("kubernetes-admin", &["system:masters"]);
    dns::publish(config, &admin, listen).await?;
    let user = "system:serviceaccount:kube-system:kube-dns";
    let informers = Informers::new(daemon.api.client(user, &["system:serviceaccounts", "system:serviceaccounts:kube-system"]));
    let server = dns::start(config, listen, &informers).await?;
    server.synced().await;
    daemon.parts.push(Box::new((server, informers)));
    Ok(())
}

/// Waits for the node's Ready condition and for the pod network; `Err` tells what is missing after a while.
async fn wait_for_node(config: &Config, running: &kubelet::Running) -> Result<(), String> {
    let begun = tokio::time::Instant::now();
    loop {
        let node = running.node.cache.get(&Key::new("", &config.node_name));
        let why = match node.as_deref().map(why_not_ready) {
            Some(None) => return Ok(()),
            Some(Some(why)) => why,
            None => "the node has not registered yet".into(),
        };
        if begun.elapsed() > NODE_PATIENCE {
            return Err(why);
        }
        tokio::time::sleep(NODE_POLL).await;
    }
}

fn why_not_ready(node: &Node) -> Option<String> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    match conditions.iter().find(|condition| condition.type_ == "Ready") {
        Some(ready) if ready.status == "True" => None,
        Some(ready) => Some(ready.message.clone().unwrap_or_default()),
        None => Some("the kubelet has not told its state yet".into()),
    }
}

/// Renews certificates long before they end, while everything runs.
fn keep_certificates(config: &Config, daemon: &mut Daemon, mut pki: Directory, clock: Clock) {
    let config = config.clone();
    let parts = (daemon.api.tls.clone(), daemon.api.dialer.clone());
    let api = apiserver::Running { server: daemon.api.server.clone(), store: daemon.api.store.clone(), tls: parts.0, dialer: parts.1 };
    daemon.tasks.spawn(async move {
        loop {
            let wait = Duration::try_from(pki.next_check(clock.now())).unwrap_or(Duration::from_secs(3600));
            clock.sleep(wait).await;
            let renewed = pki.renew(clock.now()).doing("renewing certificates").and_then(|changed| {
                if changed.is_empty() {
                    return Ok(());
                }
                tracing::info!(?changed, "renewed certificates");
                apiserver::write_admin_kubeconfig(&config, &pki)?;
                api.renew(&pki)
            });
            if let Err(failure) = renewed {
                tracing::error!(error = failure.0, "certificates cannot be renewed");
            }
        }
    });
}
