use super::*;
use crate::authorize::Authorizers;
use crate::authorize::node::NodeAuthorizer;
use crate::authorize::rbac::{Rbac, defaults};
use crate::own_writes::put;
use crate::request::{TokenIssuer, Warnings};
use issuer::Issuer;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use machinery::object::Resource;
use pki::{Authority, Key, Profile, Signer, Subject};
use serde_json::{Value, json};
use stdx::clock::Clock;
use stdx::random::Random;
use store::memory::Memory;
use store::{Durability, Expect, Op, Store as _};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

struct Server {
    store: Arc<Memory>,
    authenticators: Authenticators,
    issuer: Issuer,
    ca: Authority,
    proxy_ca: Authority,
    clock: Clock,
}

/// A cluster with default roles at noon of some day, on virtual time.
async fn server() -> Server {
    let clock = Clock::simulated("2026-03-01T12:00:00Z".parse().unwrap());
    let now = clock.now();
    let store = Memory::new(clock.clone());
    defaults::reconcile(&*store, now, &Random::seeded(1)).await.unwrap();
    let (ca, proxy_ca) = (Authority::create("ca", now, HOUR * 100).unwrap(), Authority::create("proxy", now, HOUR * 100).unwrap());
    let signer = Signer::new(Key::generate().unwrap());
    let issuers = vec!["https://kubernetes.default.svc".to_string()];
    let tokens = Arc::new(Tokens::new(store.clone(), clock.clone(), signer.verifier(), issuers.clone(), issuers));
    let authorizer = Authorizers { node: NodeAuthorizer::new(store.clone()), rbac: Arc::new(Rbac::new(store.clone())) };
    let authenticators = Authenticators {
        client_ca: ClientCa::from_pem(ca.cert()),
        front_proxy: Some(FrontProxy { ca: ClientCa::from_pem(proxy_ca.cert()), names: vec!["front".into()] }),
        tokens: tokens.clone(),
        anonymous: Anonymous::health_and_version(),
        authorizer: Arc::new(authorizer),
    };
    let issuer = Issuer { signer, tokens, random: Random::seeded(2), jwks_uri: "https://h/openid/v1/jwks".into() };
    Server { store, authenticators, issuer, ca, proxy_ca, clock }
}

impl Server {
    async fn ask(&self, path: &str, headers: &[(&'static str, &str)], peer: Option<&PeerCertificates>) -> Result<Identity, Status> {
        let mut request = http::Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        if let Some(peer) = peer {
            parts.extensions.insert(peer.clone());
        }
        self.authenticators.authenticate(&parts, &Attributes::default()).await
    }

    async fn bearer(&self, token: &str) -> Result<Identity, Status> {
        self.ask("/api/v1/pods", &[("authorization", &format!("Bearer {token}"))], None).await
    }

    fn peer(&self, ca: &Authority, user: &str, groups: &[&str]) -> PeerCertificates {
        let pair = ca.issue(&Profile::client(Subject::new(user, groups), HOUR), self.clock.now()).unwrap();
        PeerCertificates::new(pki::pem::certificates(&pair.cert).into_iter().map(Into::into).collect())
    }

    async fn write<T: Resource>(&self, key: &str, value: Value) {
        let mut object: T = serde_json::from_value(value).unwrap();
        self.store.txn(vec![put(key, &mut object, Expect::Any)], Durability::Synced).await.unwrap();
    }

    async fn account(&self, uid: &str) {
        let value = json!({"metadata": {"namespace": "a", "name": "s", "uid": uid}});
        self.write::<ServiceAccount>("/registry/serviceaccounts/a/s", value).await;
    }

    async fn token(&self, spec: Value) -> Result<Value, Status> {
        let attributes = Attributes { namespace: "a".into(), name: "s".into(), ..Attributes::default() };
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        self.issuer.issue(&attributes, request, &Warnings::default()).await
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string()
}

#[tokio::test(start_paused = true)]
async fn anonymous_sees_health_and_version_only() {
    let server = server().await;
    for path in ["/healthz", "/livez/ping", "/readyz", "/version"] {
        assert_eq!(server.ask(path, &[], None).await.unwrap(), Identity::new(ANONYMOUS, &[UNAUTHENTICATED]));
    }
    for path in ["/api", "/healthzz", "/metrics"] {
        let status = server.ask(path, &[], None).await.unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (401, "Unauthorized"));
    }
}

#[tokio::test(start_paused = true)]
async fn certificates_name_users_and_groups() {
    let server = server().await;
    let peer = server.peer(&server.ca, "jane", &["dev", "ops"]);
    let user = server.ask("/api", &[], Some(&peer)).await.unwrap();
    assert_eq!((user.user.as_str(), user.groups), ("jane", ["dev", "ops", AUTHENTICATED].map(String::from).to_vec()));
    assert!(user.extra["authentication.kubernetes.io/credential-id"][0].starts_with("X509SHA256="));
    let stranger = Authority::create("ca", server.clock.now(), HOUR).unwrap();
    let peer = server.peer(&stranger, "jane", &["system:masters"]);
    assert_eq!(server.ask("/api", &[], Some(&peer)).await.unwrap_err().code, 401);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_speaks_for_others_and_is_nobody_itself() {
    let server = server().await;
    let headers = [("x-remote-user", "jane"), ("x-remote-group", "dev"), ("x-remote-extra-scopes", "s"), ("x-remote-uid", "u")];
    let peer = server.peer(&server.proxy_ca, "front", &[]);
    let user = server.ask("/api", &headers, Some(&peer)).await.unwrap();
    assert_eq!((user.user.as_str(), user.uid.as_str(), &user.extra["scopes"]), ("jane", "u", &vec!["s".to_string()]));
    assert_eq!(server.ask("/api", &[], Some(&peer)).await.unwrap_err().code, 401);
    let other = server.peer(&server.proxy_ca, "other", &[]);
    assert_eq!(server.ask("/api", &headers, Some(&other)).await.unwrap_err().code, 401);
    let user = server.peer(&server.ca, "front", &[]);
    assert_eq!(server.ask("/api", &headers, Some(&user)).await.unwrap().user, "front");
}

#[tokio::test(start_paused = true)]
async fn a_bound_token_ends_with_its_pod() {
    let server = server().await;
    server.account("u1").await;
    let pod = json!({"metadata": {"namespace": "a", "name": "p", "uid": "pu"}, "spec": {"serviceAccountName": "s", "nodeName": "n", "containers": []}});
    server.write::<Pod>("/registry/pods/a/p", pod).await;
    let answer = server.token(json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "pu"}})).await.unwrap();
    assert_eq!(text(&answer, "/status/expirationTimestamp"), "2026-03-01T13:00:00Z");
    assert_eq!((text(&answer, "/metadata/uid"), answer["spec"]["expirationSeconds"].as_i64()), ("u1".into(), Some(3600)));
    let token = text(&answer, "/status/token");
    let user = server.bearer(&token).await.unwrap();
    assert_eq!((user.user.as_str(), user.uid.as_str()), ("system:serviceaccount:a:s", "u1"));
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED]);
    assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
    assert_eq!(user.extra["authentication.kubernetes.io/node-name"], ["n"]);
    server.store.txn(vec![Op::Delete { key: "/registry/pods/a/p".into(), expect: Expect::Any }], Durability::Synced).await.unwrap();
    assert_eq!(server.bearer(&token).await.unwrap_err().code, 401);
}

#[tokio::test(start_paused = true)]
async fn tokens_end_in_time_and_with_their_account() {
    let server = server().await;
    server.account("u1").await;
    let token = text(&server.token(json!({"expirationSeconds": 600})).await.unwrap(), "/status/token");
    assert!(server.bearer(&token).await.is_ok());
    server.account("u2").await;
    assert!(server.bearer(&token).await.is_err());
    server.account("u1").await;
    server.clock.sleep(std::time::Duration::from_secs(700)).await;
    assert!(server.bearer(&token).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_token_for_another_audience_is_refused_here() {
    let server = server().await;
    server.account("u1").await;
    let token = text(&server.token(json!({"audiences": ["vault"]})).await.unwrap(), "/status/token");
    assert!(server.bearer(&token).await.is_err());
    let found = server.authenticators.tokens.authenticate(&token, Some(&["vault".into(), "x".into()])).await.unwrap().unwrap();
    assert_eq!(found.audiences, ["vault"]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_token_request_says_why() {
    let server = server().await;
    let refused = async |spec| server.token(spec).await.unwrap_err().message;
    assert_eq!(refused(json!({})).await, "serviceaccounts \"s\" not found");
    server.account("u1").await;
    assert_eq!(
        refused(json!({"expirationSeconds": 10})).await,
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes"
    );
    assert_eq!(refused(json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}})).await, "pods \"p\" not found");
    assert_eq!(
        refused(json!({"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "p"}})).await,
        "cannot bind token to object of type apps/v1, Kind=Deployment"
    );
}

#[tokio::test(start_paused = true)]
async fn legacy_tokens_are_good_while_their_secret_holds_them() {
    let server = server().await;
    server.account("u1").await;
    let claims = json!({"iss": service_account::LEGACY_ISSUER, "sub": "system:serviceaccount:a:s", "kubernetes.io/serviceaccount/namespace": "a",
        "kubernetes.io/serviceaccount/secret.name": "t", "kubernetes.io/serviceaccount/service-account.name": "s", "kubernetes.io/serviceaccount/service-account.uid": "u1"});
    let token = server.issuer.signer.sign(&claims).unwrap();
    assert!(server.bearer(&token).await.is_err());
    let encoded = base64::engine::general_purpose::STANDARD.encode(&token);
    server.write::<Secret>("/registry/secrets/a/t", json!({"metadata": {"namespace": "a", "name": "t"}, "data": {"token": encoded}})).await;
    assert_eq!(server.bearer(&token).await.unwrap().user, "system:serviceaccount:a:s");
}

#[tokio::test(start_paused = true)]
async fn bootstrap_tokens_come_from_their_secrets() {
    let server = server().await;
    let secret = |usage: &str, end: &str| {
        let pairs = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", usage),
            ("expiration", end),
            ("auth-extra-groups", "system:bootstrappers:x"),
        ];
        let encoded = pairs.map(|(key, value)| (key, base64::engine::general_purpose::STANDARD.encode(value)));
        let data: std::collections::BTreeMap<_, _> = encoded.into_iter().collect();
        let metadata = json!({"namespace": "kube-system", "name": "bootstrap-token-abcdef"});
        json!({"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "data": data})
    };
    let key = "/registry/secrets/kube-system/bootstrap-token-abcdef";
    assert!(server.bearer("abcdef.0123456789abcdef").await.is_err());
    server.write::<Secret>(key, secret("true", "2026-03-01T13:00:00Z")).await;
    let user = server.bearer("abcdef.0123456789abcdef").await.unwrap();
    assert_eq!(user.user, "system:bootstrap:abcdef");
    assert_eq!(user.groups, ["system:bootstrappers", "system:bootstrappers:x", AUTHENTICATED]);
    assert!(server.bearer("abcdef.0123456789abcdee").await.is_err());
    server.write::<Secret>(key, secret("false", "")).await;
    assert!(server.bearer("abcdef.0123456789abcdef").await.is_err());
    server.write::<Secret>(key, secret("true", "2026-03-01T11:00:00Z")).await;
    assert!(server.bearer("abcdef.0123456789abcdef").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn impersonation_is_asked_for_and_allowed() {
    let server = server().await;
    let jane = server.peer(&server.ca, "jane", &[]);
    let status = server.ask("/api", &[("impersonate-user", "bob")], Some(&jane)).await.unwrap_err();
    let told = "users \"bob\" is forbidden: User \"jane\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope";
    assert_eq!((status.code, status.message.as_str()), (403, told));
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "jane"}]});
    server.write::<ClusterRoleBinding>("/registry/clusterrolebindings/b", binding).await;
    let headers = [("impersonate-user", "bob"), ("impersonate-group", "dev"), ("impersonate-extra-a%2fb", "v"), ("impersonate-uid", "7")];
    let user = server.ask("/api", &headers, Some(&jane)).await.unwrap();
    assert_eq!((user.user.as_str(), user.uid.as_str(), &user.extra["a/b"]), ("bob", "7", &vec!["v".to_string()]));
    assert_eq!(user.groups, ["dev", AUTHENTICATED]);
    let user = server.ask("/api", &[("impersonate-user", "system:serviceaccount:a:s")], Some(&jane)).await.unwrap();
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED]);
    let user = server.ask("/api", &[("impersonate-user", ANONYMOUS)], Some(&jane)).await.unwrap();
    assert_eq!(user.groups, [UNAUTHENTICATED]);
    let status = server.ask("/api", &[("impersonate-group", "dev")], Some(&jane)).await.unwrap_err();
    assert_eq!((status.code, status.message.contains("without impersonating a user")), (400, true));
}

#[tokio::test(start_paused = true)]
async fn the_key_set_is_published() {
    let server = server().await;
    assert_eq!(server.issuer.openid_configuration()["jwks_uri"], "https://h/openid/v1/jwks");
    assert_eq!(server.issuer.jwks()["keys"][0]["kty"], "EC");
}
