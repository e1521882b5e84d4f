//! A server over the memory store with its own authority and everything that belongs to a server: to be tried with kubectl.
//! `cargo run -p apiserver --example serve -- <folder> <port>` writes `<folder>/kubeconfig`.
use apiserver::admission::service_allocator::Settings;
use apiserver::auth::{AuthConfig, Stack};
use apiserver::authenticate::Anonymous;
use apiserver::server::{Tls, TlsFiles};
use apiserver::{ApiServer, Config, Kinds};
use pki::directory::{ADMIN, Directory, SERVER, Wanted};
use pki::kubeconfig::Kubeconfig;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use stdx::clock::Clock;
use stdx::random::Random;
use store::memory::Memory;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("the first argument is a folder")?);
    let port: u16 = arguments.next().ok_or("the second argument is a port")?.parse()?;
    let clock = Clock::system();
    let wanted = Wanted { server_ips: vec![[127, 0, 0, 1].into()], cluster_domain: "cluster.local".into(), ..Wanted::default() };
    let (directory, _) = Directory::open(&folder.join("pki"), wanted, clock.now())?;
    let (store, random) = (Memory::new(clock.clone()), Random::system());
    let auth = AuthConfig {
        client_ca: directory.ca().cert().into(),
        front_proxy_ca: directory.front_proxy_ca().cert().into(),
        front_proxy_names: Vec::new(),
        signer: directory.token_signer()?,
        verifier: directory.token_verifier()?,
        issuer: "https://kubernetes.default.svc.cluster.local".into(),
        audiences: Vec::new(),
        jwks_uri: format!("https://127.0.0.1:{port}/openid/v1/jwks"),
        anonymous: Anonymous::health_and_version(),
        services: Settings::parse(&["10.96.0.0/12".to_string()])?,
        disabled_admission: Vec::new(),
    };
    let stack = Stack::new(store.clone(), auth, clock.clone(), random.fork());
    Stack::reconcile_defaults(&*store, &clock, &random).await?;
    let server = ApiServer::new(Config {
        store,
        clock,
        random,
        kinds: Arc::new(Kinds::builtin()),
        authenticator: stack.authenticator,
        authorizer: stack.authorizer,
        admission: stack.admission,
        reviews: Some(stack.reviews),
        tokens: Some(stack.tokens),
        kubelets: None,
        service_cidr: "10.96.0.0/12".into(),
        advertise_address: "127.0.0.1".into(),
        secure_port: port,
    });
    let pair = directory.pair(SERVER).ok_or("no server certificate")?;
    let tls = Tls::new(&TlsFiles { cert: &pair.cert, key: &pair.key.to_pem(), client_ca: directory.ca().cert() })?;
    let admin = directory.pair(ADMIN).ok_or("no admin certificate")?;
    let url = format!("https://127.0.0.1:{port}");
    let kubeconfig = Kubeconfig::for_pair(&url, directory.ca().cert(), &admin.cert, &admin.key.to_pem());
    kubeconfig.write(&folder.join("kubeconfig"), "example", "admin")?;
    apiserver::bootstrap::bootstrap(&server).await?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    server.serve(listener, Some(tls)).await;
    Ok(())
}
