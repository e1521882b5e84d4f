//! The server as a service: in process it is called directly, `listen` puts TLS and HTTP in front of it. One way for both.
pub mod flow;
pub mod listen;
pub mod state;
pub mod tls;

pub use state::{Config, State};
pub use tls::{Tls, TlsError, TlsFiles};

use client::{Body, Service};
use futures::future::{BoxFuture, FutureExt};
use http::{Request, Response};
use std::sync::Arc;

#[derive(Clone)]
pub struct ApiServer {
    pub state: Arc<State>,
}

impl ApiServer {
    pub fn new(config: Config) -> Arc<ApiServer> {
        Arc::new(ApiServer { state: State::new(config) })
    }

    /// Adds a part to `/readyz`.
    pub fn add_check(&self, name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.state.checks.lock().push((name.to_string(), Arc::new(check)));
    }

    /// Ends all watches and refuses what is new.
    pub fn stop(&self) {
        self.state.stopping.send_replace(true);
    }
}

impl Service for ApiServer {
    fn call(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        flow::answer(self.state.clone(), request).boxed()
    }
}
