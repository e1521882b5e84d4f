//! The server with everything that guards it: who may do what, what admission adds and refuses, over the whole request path.
mod support;

use apiserver::admission::service_allocator::Settings;
use apiserver::auth::{AuthConfig, Stack};
use apiserver::authenticate::Anonymous;
use apiserver::{ApiServer, Config};
use client::{Body, Identity, Service};
use http::{Method, Request};
use pki::{Authority, Key, Signer};
use serde_json::{Value, json};
use std::sync::Arc;

struct Secured {
    server: Arc<ApiServer>,
}

/// A bootstrapped server with namespace `a` and its default account.
async fn secured() -> Secured {
    let config = support::config();
    let (clock, random, store) = (config.clock.clone(), config.random.clone(), config.store.clone());
    let ca = Authority::create("ca", clock.now(), jiff::SignedDuration::from_hours(1)).unwrap();
    let signer = Signer::new(Key::generate().unwrap());
    let auth = AuthConfig {
        client_ca: ca.cert().into(),
        front_proxy_ca: String::new(),
        front_proxy_names: Vec::new(),
        verifier: signer.verifier(),
        signer,
        issuer: "https://kubernetes.default.svc".into(),
        audiences: Vec::new(),
        jwks_uri: "https://127.0.0.1:6443/openid/v1/jwks".into(),
        anonymous: Anonymous::health_and_version(),
        services: Settings::parse(std::slice::from_ref(&config.service_cidr)).unwrap(),
        disabled_admission: Vec::new(),
    };
    let stack = Stack::new(store.clone(), auth, clock.clone(), random.fork());
    Stack::reconcile_defaults(&*store, &clock, &random).await.unwrap();
    let server = ApiServer::new(Config {
        authenticator: stack.authenticator,
        authorizer: stack.authorizer,
        admission: stack.admission,
        reviews: Some(stack.reviews),
        tokens: Some(stack.tokens),
        ..config
    });
    apiserver::bootstrap::bootstrap(&server).await.unwrap();
    let secured = Secured { server };
    secured.made("/api/v1/namespaces", json!({"metadata": {"name": "a"}})).await;
    secured.made("/api/v1/namespaces/a/serviceaccounts", json!({"metadata": {"name": "default"}})).await;
    secured
}

fn root() -> Identity {
    Identity::new("root", &["system:masters"])
}

impl Secured {
    async fn ask(
        &self,
        user: Option<&Identity>,
        headers: &[(&str, &str)],
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.map_or(Body::Empty, |value| Body::json(&value))).unwrap();
        if let Some(user) = user {
            request.extensions_mut().insert(user.clone());
        }
        let response = self.server.call(request).await;
        let code = response.status().as_u16();
        (code, serde_json::from_slice(&support::bytes(response).await).unwrap_or_default())
    }

    async fn made(&self, path: &str, body: Value) -> Value {
        let (code, value) = self.ask(Some(&root()), &[], Method::POST, path, Some(body)).await;
        assert_eq!(code, 201, "{value}");
        value
    }

    async fn as_user(&self, user: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.ask(Some(&Identity::new(user, &[])), &[], method, path, body).await
    }
}

fn message(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn nobody_without_a_name_and_nobody_without_a_right() {
    let secured = secured().await;
    let answer = secured.ask(None, &[], Method::GET, "/api/v1/pods", None).await;
    assert_eq!(message(&answer), (401, "Unauthorized"));
    assert_eq!(secured.ask(None, &[], Method::GET, "/version", None).await.0, 200);
    let answer = secured.as_user("jane", Method::GET, "/api/v1/namespaces/a/pods", None).await;
    let told = "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"a\"";
    assert_eq!(message(&answer), (403, told));
    let binding = json!({"metadata": {"name": "b"}, "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}});
    secured.made("/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings", binding).await;
    assert_eq!(secured.as_user("jane", Method::GET, "/api/v1/namespaces/a/pods", None).await.0, 200);
    assert_eq!(secured.as_user("jane", Method::GET, "/api/v1/namespaces/default/pods", None).await.0, 403);
    let role = json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["delete"]}]});
    let answer = secured.as_user("jane", Method::POST, "/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles", Some(role)).await;
    assert_eq!(answer.0, 403);
}

#[tokio::test]
async fn an_admin_of_a_namespace_hands_out_only_what_he_has() {
    let secured = secured().await;
    let role = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
    let subject = |name: &str| json!([{"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}]);
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings";
    secured.made(path, json!({"metadata": {"name": "b"}, "subjects": subject("jane"), "roleRef": role("admin")})).await;
    let hand_out = async |name: &str| {
        let binding = json!({"metadata": {"name": name}, "subjects": subject("bob"), "roleRef": role(name)});
        secured.as_user("jane", Method::POST, path, Some(binding)).await
    };
    assert_eq!(hand_out("view").await.0, 201);
    let answer = hand_out("cluster-admin").await;
    assert_eq!(answer.0, 403);
    assert!(message(&answer).1.contains("is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"*\"]"), "{answer:?}");
}

#[tokio::test]
async fn a_pod_is_completed_and_its_token_opens_the_door() {
    let secured = secured().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = secured.made("/api/v1/namespaces/a/pods", pod).await;
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(made["spec"]["priority"], 0);
    assert_eq!(made["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(made["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]});
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": reference, "expirationSeconds": 3607}});
    let issued = secured.made("/api/v1/namespaces/a/serviceaccounts/default/token", body).await;
    let bearer = format!("Bearer {}", issued["status"]["token"].as_str().unwrap());
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, answer) = secured.ask(None, &[("authorization", &bearer)], Method::POST, path, Some(review)).await;
    assert_eq!((code, &answer["status"]["userInfo"]["username"]), (201, &json!("system:serviceaccount:a:default")));
    let answer = secured.ask(None, &[("authorization", &bearer)], Method::GET, "/api/v1/namespaces/a/secrets", None).await;
    assert_eq!(answer.0, 403);
    let answer = secured.ask(None, &[("authorization", "Bearer x.y.z")], Method::GET, "/version", None).await;
    assert_eq!(message(&answer), (401, "Unauthorized"));
    let (code, keys) = secured.ask(Some(&root()), &[], Method::GET, "/openid/v1/jwks", None).await;
    assert_eq!((code, &keys["keys"][0]["alg"]), (200, &json!("ES256")));
}

#[tokio::test]
async fn services_get_addresses_that_come_back_with_their_end() {
    let secured = secured().await;
    let (_, kubernetes) = secured.ask(Some(&root()), &[], Method::GET, "/api/v1/namespaces/default/services/kubernetes", None).await;
    assert_eq!(kubernetes["spec"]["clusterIP"], "10.96.0.1");
    let path = "/api/v1/namespaces/a/services";
    let service = |name: &str, ip: Option<&str>| json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "clusterIP": ip, "selector": {"a": "b"}, "ports": [{"port": 80}]}});
    let made = secured.made(path, service("s", None)).await;
    let ip = made["spec"]["clusterIP"].as_str().unwrap().to_string();
    assert!(ip.starts_with("10.") && made["spec"]["ports"][0]["nodePort"].as_i64().unwrap() >= 30000);
    let taken = secured.ask(Some(&root()), &[], Method::POST, path, Some(service("t", Some(&ip)))).await;
    assert_eq!(taken.0, 422);
    assert!(message(&taken).1.ends_with("provided IP is already allocated"), "{taken:?}");
    let mut changed = made.clone();
    changed["spec"] = json!({"type": "ClusterIP", "selector": {"a": "b"}, "ports": [{"port": 81}]});
    let (code, updated) = secured.ask(Some(&root()), &[], Method::PUT, &format!("{path}/s"), Some(changed)).await;
    assert_eq!(
        (code, &updated["spec"]["clusterIP"], &updated["spec"]["ports"][0]["nodePort"]),
        (200, &json!(ip), &Value::Null),
        "{updated}"
    );
    assert_eq!(secured.ask(Some(&root()), &[], Method::DELETE, &format!("{path}/s"), None).await.0, 200);
    assert_eq!(secured.made(path, service("t", Some(&ip))).await["spec"]["clusterIP"], json!(ip));
}

#[tokio::test]
async fn quota_pod_security_and_namespaces_refuse_in_the_originals_words() {
    let secured = secured().await;
    let pods = "/api/v1/namespaces/a/pods";
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "i"}]}});
    secured.made("/api/v1/namespaces/a/resourcequotas", json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})).await;
    let status = json!({"status": {"hard": {"pods": "1"}, "used": {"pods": "0"}}});
    let merge = [("content-type", "application/merge-patch+json")];
    let path = "/api/v1/namespaces/a/resourcequotas/q/status";
    let mut request = Request::builder().method(Method::PATCH).uri(path).header(merge[0].0, merge[0].1).body(Body::json(&status)).unwrap();
    request.extensions_mut().insert(root());
    assert_eq!(secured.server.call(request).await.status(), 200);
    secured.made(pods, pod("p")).await;
    let answer = secured.ask(Some(&root()), &[], Method::POST, pods, Some(pod("q"))).await;
    assert_eq!(message(&answer), (403, "pods \"q\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"));
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    secured.made("/api/v1/namespaces", json!({"metadata": {"name": "b", "labels": labels}})).await;
    secured.made("/api/v1/namespaces/b/serviceaccounts", json!({"metadata": {"name": "default"}})).await;
    let answer = secured.ask(Some(&root()), &[], Method::POST, "/api/v1/namespaces/b/pods", Some(pod("p"))).await;
    let told = "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    assert_eq!(message(&answer), (403, told));
    let answer =
        secured.ask(Some(&root()), &[], Method::POST, "/api/v1/namespaces/c/configmaps", Some(json!({"metadata": {"name": "m"}}))).await;
    assert_eq!(message(&answer), (404, "namespaces \"c\" not found"));
    let answer = secured.ask(Some(&root()), &[], Method::DELETE, "/api/v1/namespaces/kube-system", None).await;
    assert_eq!(message(&answer), (403, "namespaces \"kube-system\" is forbidden: this namespace may not be deleted"));
}

#[tokio::test]
async fn a_kubelet_acts_for_its_node_alone() {
    let secured = secured().await;
    let kubelet = Identity::new("system:node:n1", &["system:nodes", "system:authenticated"]);
    let ask = async |method: Method, path: &str, body: Option<Value>| secured.ask(Some(&kubelet), &[], method, path, body).await;
    assert_eq!(ask(Method::POST, "/api/v1/nodes", Some(json!({"metadata": {"name": "n1"}}))).await.0, 201);
    assert_eq!(ask(Method::POST, "/api/v1/nodes", Some(json!({"metadata": {"name": "n2"}}))).await.0, 403);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "s"}}]}]}});
    secured.made("/api/v1/namespaces/a/secrets", json!({"metadata": {"name": "s"}})).await;
    assert_eq!(ask(Method::GET, "/api/v1/namespaces/a/secrets/s", None).await.0, 403);
    secured.made("/api/v1/namespaces/a/pods", pod).await;
    assert_eq!(ask(Method::GET, "/api/v1/namespaces/a/secrets/s", None).await.0, 200);
    assert_eq!(ask(Method::GET, "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", None).await.0, 200);
    assert_eq!(ask(Method::GET, "/api/v1/pods", None).await.0, 403);
    let lease = |name: &str| json!({"metadata": {"name": name}, "spec": {"holderIdentity": name}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_eq!(ask(Method::POST, leases, Some(lease("n1"))).await.0, 201);
    assert_eq!(ask(Method::POST, leases, Some(lease("n2"))).await.0, 403);
}
