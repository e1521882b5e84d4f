//! Puts authentication, authorization, admission, reviews and token issuing together: what a server is given.
use crate::admission::service_allocator::Settings;
use crate::admission::{Chain, Context};
use crate::authenticate::front_proxy::FrontProxy;
use crate::authenticate::issuer::Issuer;
use crate::authenticate::tokens::Tokens;
use crate::authenticate::x509::ClientCa;
use crate::authenticate::{Anonymous, Authenticators};
use crate::authorize::Authorizers;
use crate::authorize::node::NodeAuthorizer;
use crate::authorize::rbac::{Rbac, defaults};
use crate::reviews::Reviewer;
use machinery::status::Status;
use pki::{Signer, Verifier};
use std::sync::Arc;
use stdx::clock::Clock;
use stdx::random::Random;
use store::Store;

/// What cannot be guessed. `Settings` of services come from `Settings::parse`.
pub struct AuthConfig {
    /// PEM of the authorities of client certificates.
    pub client_ca: String,
    /// PEM of the front-proxy authority; empty: nobody speaks for others.
    pub front_proxy_ca: String,
    /// The CNs that may; empty: all that this authority vouches for.
    pub front_proxy_names: Vec<String>,
    pub signer: Signer,
    pub verifier: Verifier,
    /// `https://kubernetes.default.svc.cluster.local`; also the server's audience unless `audiences` says otherwise.
    pub issuer: String,
    pub audiences: Vec<String>,
    /// `https://<address>:<port>/openid/v1/jwks`.
    pub jwks_uri: String,
    pub anonymous: Anonymous,
    pub services: Settings,
    pub disabled_admission: Vec<String>,
}

pub struct Stack {
    pub authenticator: Arc<Authenticators>,
    pub authorizer: Arc<Authorizers>,
    pub admission: Arc<Chain>,
    pub reviews: Arc<Reviewer>,
    pub tokens: Arc<Issuer>,
}

impl Stack {
    pub fn new(store: Arc<dyn Store>, config: AuthConfig, clock: Clock, random: Random) -> Stack {
        let audiences = if config.audiences.is_empty() { vec![config.issuer.clone()] } else { config.audiences };
        let issuers = vec![config.issuer];
        let tokens = Arc::new(Tokens::new(store.clone(), clock.clone(), config.verifier, issuers, audiences));
        let rbac = Arc::new(Rbac::new(store.clone()));
        let authorizer = Arc::new(Authorizers { node: NodeAuthorizer::new(store.clone()), rbac });
        let proxy_ca = Some(config.front_proxy_ca).filter(|pem| !pem.is_empty());
        let authenticator = Authenticators {
            client_ca: ClientCa::from_pem(&config.client_ca),
            front_proxy: proxy_ca.map(|pem| FrontProxy { ca: ClientCa::from_pem(&pem), names: config.front_proxy_names }),
            tokens: tokens.clone(),
            anonymous: config.anonymous,
            authorizer: authorizer.clone(),
        };
        let context = Context { store, clock, random: random.fork(), authorizers: authorizer.clone() };
        let admission = Chain::new(&context, config.services, &config.disabled_admission);
        let issuer = Issuer { signer: config.signer, tokens: tokens.clone(), random: random.fork(), jwks_uri: config.jwks_uri };
        Stack {
            authenticator: Arc::new(authenticator),
            reviews: Arc::new(Reviewer { authorizers: authorizer.clone(), tokens }),
            authorizer,
            admission: Arc::new(admission),
            tokens: Arc::new(issuer),
        }
    }

    /// Makes or mends the default roles and bindings; before the server answers its first request.
    pub async fn reconcile_defaults(store: &dyn Store, clock: &Clock, random: &Random) -> Result<usize, Status> {
        defaults::reconcile(store, clock.now(), random).await
    }
}
