//! What the server is made of: everything that handlers need comes from here, nothing is global.
use crate::kinds::Kinds;
use crate::metrics::Metrics;
use crate::request::{Admission, Authenticator, Authorizer, Reviews, TokenIssuer};
use crate::subresource::KubeletDialer;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use stdx::clock::Clock;
use stdx::random::Random;
use store::Store;

/// Requests that are worked on at the same time, long-running ones not counted.
pub const MAX_READS_IN_FLIGHT: usize = 400;
pub const MAX_WRITES_IN_FLIGHT: usize = 200;
/// Every request but the long-running ones is answered within this time.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// All that a server is built from.
pub struct Config {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub random: Random,
    pub kinds: Arc<Kinds>,
    pub authenticator: Arc<dyn Authenticator>,
    pub authorizer: Arc<dyn Authorizer>,
    pub admission: Arc<dyn Admission>,
    pub reviews: Option<Arc<dyn Reviews>>,
    pub tokens: Option<Arc<dyn TokenIssuer>>,
    pub kubelets: Option<Arc<dyn KubeletDialer>>,
    /// The service network (`10.96.0.0/12`), for what is said about it in the bootstrap objects.
    pub service_cidr: String,
    /// Where clients reach the server, for the `kubernetes` service.
    pub advertise_address: String,
    pub secure_port: u16,
}

/// The parts in use, shared by all requests.
pub struct State {
    pub config: Config,
    pub metrics: Metrics,
    pub reads: AtomicUsize,
    pub writes: AtomicUsize,
    /// True once the server shall end: streams close.
    pub stopping: tokio::sync::watch::Sender<bool>,
    pub checks: Mutex<Vec<Check>>,
}

/// One part of readiness: its name, and what is wrong with it now.
pub type Check = (String, Arc<dyn Fn() -> Result<(), String> + Send + Sync>);

impl State {
    pub fn new(config: Config) -> Arc<State> {
        Arc::new(State {
            config,
            metrics: Metrics::default(),
            reads: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            stopping: tokio::sync::watch::Sender::new(false),
            checks: Mutex::new(Vec::new()),
        })
    }

    pub fn store(&self) -> &dyn Store {
        &*self.config.store
    }
}
