//! The API server with its store, certificates and listener.
use crate::config::Config;
use crate::failure::{Doing, Failure};
use ::apiserver::auth::{AuthConfig, Stack};
use ::apiserver::authenticate::Anonymous;
use ::apiserver::server::{Tls, TlsFiles};
use ::apiserver::subresource::kubelet::TlsDialer;
use ::apiserver::{ApiServer, Config as ApiConfig, Kinds};
use client::{Client, Identity};
use machinery::status::Status;
use pki::directory::{ADMIN, Directory, KUBELET_CLIENT, SERVER, Wanted};
use pki::kubeconfig::Kubeconfig;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::Clock;
use stdx::random::Random;
use store::Store;
use store::embedded::{Embedded, Options};

/// History older than this is forgotten, as in the original.
const HISTORY: Duration = Duration::from_secs(300);

pub struct Running {
    pub server: Arc<ApiServer>,
    pub store: Arc<Embedded>,
    pub tls: Arc<Tls>,
    pub dialer: Arc<TlsDialer>,
}

pub fn open_pki(config: &Config, clock: &Clock) -> Result<Directory, Failure> {
    let wanted = Wanted {
        node_name: config.node_name.clone(),
        node_ips: vec![IpAddr::V4(config.node_ip())],
        service_ip: Some(IpAddr::V4(config.api_service_ip())),
        cluster_domain: config.cluster_domain.clone(),
        server_names: Vec::new(),
        server_ips: Some(config.bind_address).filter(|ip| !ip.is_unspecified()).into_iter().collect(),
    };
    let (directory, changed) = Directory::open(&config.data_dir.join("pki"), wanted, clock.now()).doing("certificates")?;
    if !changed.is_empty() {
        tracing::info!(?changed, "made certificates");
    }
    Ok(directory)
}

pub fn open_store(config: &Config, clock: &Clock) -> Result<Arc<Embedded>, Failure> {
    Embedded::open(&config.data_dir.join("store"), clock.clone(), Options::default()).doing("the store")
}

/// The server with the objects of every cluster in it, not listening yet.
pub async fn start(config: &Config, store: Arc<Embedded>, pki: &Directory, clock: &Clock, random: &Random) -> Result<Running, Failure> {
    let shared: Arc<dyn Store> = store.clone();
    let stack = Stack::new(shared.clone(), auth(config, pki)?, clock.clone(), random.fork());
    let told = |status: Status| Failure(format!("the API server: {status}"));
    Stack::reconcile_defaults(&*shared, clock, random).await.map_err(told)?;
    let pair = pki.pair(SERVER).ok_or_else(|| Failure("the API server has no certificate".into()))?;
    let key = pair.key.to_pem();
    let clients = client_authorities(pki);
    let tls = Tls::new(&TlsFiles { cert: &pair.cert, key: &key, client_ca: &clients }).doing("the API server's certificates")?;
    let dialer = Arc::new(dialer(pki)?);
    let server = ApiServer::new(ApiConfig {
        store: shared,
        clock: clock.clone(),
        random: random.fork(),
        kinds: Arc::new(Kinds::builtin()),
        authenticator: stack.authenticator,
        authorizer: stack.authorizer,
        admission: stack.admission,
        reviews: Some(stack.reviews),
        tokens: Some(stack.tokens),
        kubelets: Some(dialer.clone()),
        service_cidr: config.service_cidr.to_string(),
        advertise_address: config.node_ip().to_string(),
        secure_port: config.port,
    });
    ::apiserver::bootstrap::bootstrap(&server).await.map_err(told)?;
    Ok(Running { server, store, tls, dialer })
}

fn auth(config: &Config, pki: &Directory) -> Result<AuthConfig, Failure> {
    let services = ::apiserver::admission::service_allocator::Settings::parse(&[config.service_cidr.to_string()]);
    Ok(AuthConfig {
        client_ca: pki.ca().cert().into(),
        front_proxy_ca: pki.front_proxy_ca().cert().into(),
        front_proxy_names: vec!["front-proxy-client".into()],
        signer: pki.token_signer().doing("the token key")?,
        verifier: pki.token_verifier().doing("the token key")?,
        issuer: format!("https://kubernetes.default.svc.{}", config.cluster_domain),
        audiences: Vec::new(),
        jwks_uri: format!("https://{}:{}/openid/v1/jwks", config.node_ip(), config.port),
        anonymous: Anonymous::health_and_version(),
        services: services.map_err(Failure)?,
        disabled_admission: Vec::new(),
    })
}

/// Clients of the cluster's own authority, and proxies that speak for others.
fn client_authorities(pki: &Directory) -> String {
    [pki.ca().cert(), pki.front_proxy_ca().cert()].concat()
}

fn dialer(pki: &Directory) -> Result<TlsDialer, Failure> {
    let pair = pki.pair(KUBELET_CLIENT).ok_or_else(|| Failure("the API server has no certificate for kubelets".into()))?;
    TlsDialer::new(Some(pki.ca().cert()), &pair.cert, &pair.key.to_pem()).map_err(Failure)
}

impl Running {
    /// A client in the same process that acts as `user` in `groups`.
    pub fn client(&self, user: &str, groups: &[&str]) -> Client {
        let groups = [groups, &["system:authenticated"]].concat();
        self.client_as(&Identity::new(user, &groups))
    }

    pub fn client_as(&self, identity: &Identity) -> Client {
        Client::in_process(self.server.clone(), identity.clone(), "coxswain")
    }

    /// Hands renewed certificates to the listener and the connections to kubelets.
    pub fn renew(&self, pki: &Directory) -> Result<(), Failure> {
        if let Some(pair) = pki.pair(SERVER) {
            let key = pair.key.to_pem();
            let clients = client_authorities(pki);
            self.tls.replace(&TlsFiles { cert: &pair.cert, key: &key, client_ca: &clients }).doing("renewed certificates")?;
        }
        if let Some(pair) = pki.pair(KUBELET_CLIENT) {
            self.dialer.replace(Some(pki.ca().cert()), &pair.cert, &pair.key.to_pem()).map_err(Failure)?;
        }
        Ok(())
    }
}

/// The administrator's kubeconfig in the data directory.
pub fn write_admin_kubeconfig(config: &Config, pki: &Directory) -> Result<(), Failure> {
    let pair = pki.pair(ADMIN).ok_or_else(|| Failure("there is no administrator's certificate".into()))?;
    let host = if config.bind_address.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { config.bind_address };
    let url = format!("https://{}", crate::ports::address(host, config.port));
    let kubeconfig = Kubeconfig::for_pair(&url, pki.ca().cert(), &pair.cert, &pair.key.to_pem());
    kubeconfig.write(&config.admin_kubeconfig(), "coxswain", "admin").map(drop).doing("the administrator's kubeconfig")
}

/// Forgets history as it grows old; two marks, so that nothing younger than `HISTORY` goes.
pub async fn forget_history(store: Arc<Embedded>, clock: Clock) {
    let mut mark = store.revision();
    loop {
        clock.sleep(HISTORY).await;
        if let Err(error) = store.compact(mark).await {
            tracing::warn!(%error, "history cannot be forgotten");
        }
        mark = store.revision();
    }
}
