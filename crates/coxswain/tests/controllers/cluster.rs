//! A real API server over the memory store, with everything that guards it, all controllers, and hands that do what a kubelet
//! would.
use apiserver::admission::service_allocator;
use apiserver::auth::{AuthConfig, Stack};
use apiserver::authenticate::Anonymous;
use apiserver::{ApiServer, Config, Kinds};
use client::{Body, Client, Identity, Informers};
use controllers::{Handle, Settings, Signer};
use http::Method;
use jiff::SignedDuration;
use pki::authority::Authority;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stdx::clock::Clock;
use stdx::random::Random;
use store::Store;
use store::memory::Memory;

/// What has not come to pass after so long never will.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_ANSWER_BYTES: usize = 64 << 20;

pub struct Cluster {
    pub admin: Client,
    handle: Handle,
}

impl Cluster {
    /// With a namespace `x` and a node `n` that is ready.
    pub async fn start() -> Cluster {
        let clock = Clock::system();
        let ca = Authority::create("ca", clock.now(), SignedDuration::from_hours(1)).unwrap();
        let server = server(&clock, &ca).await;
        let admin = Client::in_process(server.clone(), Identity::new("admin", &["system:masters", "system:authenticated"]), "test");
        let handle = controllers::start(controllers::Config {
            clients: Box::new(move |identity| Client::in_process(server.clone(), identity.clone(), "controllers")),
            informers: Informers::new(admin.clone()),
            clock: clock.clone(),
            settings: Settings { root_ca: "PEM".into(), cluster_cidrs: vec!["10.42.0.0/16".into()], ..Settings::default() },
            signer: Signer::of(&ca, SignedDuration::from_hours(1)).ok(),
            which: Vec::new(),
        });
        let cluster = Cluster { admin, handle };
        cluster.make("/api/v1/namespaces", json!({"metadata": {"name": "x"}})).await;
        let ready = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": clock.now().to_string()});
        cluster.make("/api/v1/nodes", json!({"metadata": {"name": "n"}, "status": {"conditions": [ready]}})).await;
        cluster.until("a default account", async |c| c.get(&x("v1/serviceaccounts/default")).await.is_some()).await;
        cluster.until("a node without taints", async |c| c.at("/api/v1/nodes/n", "/spec/taints").await.is_null()).await;
        cluster
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value, client::Error> {
        let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = (!body.is_null()).then(|| (media, Body::json(&body)));
        let bytes = self.admin.raw(method, path, body).await?.bytes(MAX_ANSWER_BYTES).await.unwrap().unwrap();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn must(&self, method: Method, path: &str, body: Value) -> Value {
        let told = format!("{method} {path}");
        self.send(method, path, body).await.unwrap_or_else(|error| panic!("{told}: {error}"))
    }

    pub async fn make(&self, path: &str, body: Value) -> Value {
        self.must(Method::POST, path, body).await
    }

    pub async fn merge(&self, path: &str, change: Value) -> Value {
        self.must(Method::PATCH, path, change).await
    }

    pub async fn delete(&self, path: &str, policy: &str) {
        self.must(Method::DELETE, path, json!({"propagationPolicy": policy})).await;
    }

    pub async fn get(&self, path: &str) -> Option<Value> {
        match self.send(Method::GET, path, Value::Null).await {
            Ok(value) => Some(value),
            Err(error) if error.is_not_found() => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// A field of an object, by its JSON pointer.
    pub async fn at(&self, path: &str, pointer: &str) -> Value {
        self.get(path).await.and_then(|object| object.pointer(pointer).cloned()).unwrap_or_default()
    }

    pub async fn list(&self, path: &str) -> Vec<Value> {
        match self.admin.raw(Method::GET, path, None).await.unwrap() {
            Body::List { objects, .. } => objects.iter().map(|object| serde_json::from_slice(&object.json).unwrap()).collect(),
            _ => panic!("{path} is no list"),
        }
    }

    pub async fn revision(&self) -> u64 {
        match self.admin.raw(Method::GET, "/api/v1/configmaps", None).await.unwrap() {
            Body::List { revision, .. } => revision,
            _ => 0,
        }
    }

    pub async fn until(&self, what: &str, mut done: impl AsyncFnMut(&Cluster) -> bool) {
        let start = Instant::now();
        while !done(self).await {
            assert!(start.elapsed() < PATIENCE, "never saw {what}\n{}", self.handle.metrics());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until nobody writes any more: controllers come to rest.
    pub async fn rest(&self) {
        let mut last = 0;
        self.until("the controllers at rest", async |c| {
            let before = std::mem::replace(&mut last, c.revision().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
            before == last
        })
        .await;
    }

    /// What a kubelet and a scheduler would do once: pods get a node and run, those of Jobs (label `end`) end, deleted ones go.
    pub async fn kubelet(&self) {
        for (number, pod) in self.list(&x("v1/pods")).await.iter().enumerate() {
            let path = x(&format!("v1/pods/{}", pod["metadata"]["name"].as_str().unwrap()));
            // any of these may come too late for the pod
            let _ = if pod["metadata"]["deletionTimestamp"].is_string() {
                self.send(Method::DELETE, &path, json!({"gracePeriodSeconds": 0})).await
            } else if pod["spec"]["nodeName"].is_null() {
                let name = &pod["metadata"]["name"];
                let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}});
                self.send(Method::POST, &format!("{path}/binding"), binding).await
            } else if pod["status"]["phase"] == "Pending" || pod["status"]["phase"].is_null() {
                self.send(Method::PATCH, &format!("{path}/status"), status(pod, number)).await
            } else {
                Ok(Value::Null)
            };
        }
    }
}

fn status(pod: &Value, number: usize) -> Value {
    if pod["metadata"]["labels"]["end"] == "yes" {
        return json!({"status": {"phase": "Succeeded"}});
    }
    let ip = format!("10.42.0.{}", number + 1);
    let ready = json!([{"type": "Ready", "status": "True"}]);
    json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": ready}})
}

async fn server(clock: &Clock, ca: &Authority) -> Arc<ApiServer> {
    let random = Random::seeded(1);
    let store: Arc<dyn Store> = Memory::new(clock.clone());
    let stack = Stack::new(store.clone(), auth(ca), clock.clone(), random.fork());
    Stack::reconcile_defaults(&*store, clock, &random).await.unwrap();
    let server = ApiServer::new(Config {
        store,
        clock: clock.clone(),
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
        secure_port: 6443,
    });
    apiserver::bootstrap::bootstrap(&server).await.unwrap();
    server
}

fn auth(ca: &Authority) -> AuthConfig {
    let signer = pki::Signer::new(pki::Key::generate().unwrap());
    AuthConfig {
        client_ca: ca.cert().into(),
        front_proxy_ca: String::new(),
        front_proxy_names: Vec::new(),
        verifier: signer.verifier(),
        signer,
        issuer: "https://kubernetes.default.svc".into(),
        audiences: Vec::new(),
        jwks_uri: "https://127.0.0.1:6443/openid/v1/jwks".into(),
        anonymous: Anonymous::health_and_version(),
        services: service_allocator::Settings::parse(&["10.96.0.0/12".to_string()]).unwrap(),
        disabled_admission: Vec::new(),
    }
}

/// A path in namespace `x`: `apps/v1/deployments/web`, `v1/pods`.
pub fn x(path: &str) -> String {
    match path.strip_prefix("v1/") {
        Some(rest) => format!("/api/v1/namespaces/x/{rest}"),
        None => {
            let mut parts = path.splitn(3, '/');
            let (group, version, rest) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            format!("/apis/{group}/{version}/namespaces/x/{rest}")
        }
    }
}

pub fn template(app: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

pub fn deployment(name: &str, replicas: i32) -> Value {
    let selector = json!({"matchLabels": {"app": name}});
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": selector, "template": template(name)}})
}
