use super::*;
use crate::authenticate::issuer::Issuer;
use crate::authorize::node::NodeAuthorizer;
use crate::authorize::rbac::{Rbac, defaults};
use crate::own_writes::put;
use crate::request::{TokenIssuer, Warnings};
use expect_test::expect;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use pki::{Key, Signer};
use stdx::clock::Clock;
use stdx::random::Random;
use store::memory::Memory;
use store::{Durability, Expect, Store};

async fn reviewer() -> (Reviewer, Issuer) {
    let clock = Clock::simulated("2026-03-01T12:00:00Z".parse().unwrap());
    let store = Memory::new(clock.clone());
    defaults::reconcile(&*store, clock.now(), &Random::seeded(1)).await.unwrap();
    let subjects = json!([{"kind": "User", "name": "jane"}]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    let mut binding: ClusterRoleBinding =
        serde_json::from_value(json!({"metadata": {"name": "b"}, "roleRef": role, "subjects": subjects})).unwrap();
    let mut account: ServiceAccount = serde_json::from_value(json!({"metadata": {"namespace": "a", "name": "s", "uid": "u"}})).unwrap();
    let ops = vec![
        put("/registry/clusterrolebindings/b", &mut binding, Expect::Absent),
        put("/registry/serviceaccounts/a/s", &mut account, Expect::Absent),
    ];
    store.txn(ops, Durability::Synced).await.unwrap();
    let signer = Signer::new(Key::generate().unwrap());
    let audiences = vec!["api".to_string()];
    let tokens = Arc::new(Tokens::new(store.clone(), clock, signer.verifier(), audiences.clone(), audiences));
    let authorizers = Authorizers { node: NodeAuthorizer::new(store.clone()), rbac: Arc::new(Rbac::new(store)) };
    let issuer = Issuer { signer, tokens: tokens.clone(), random: Random::seeded(3), jwks_uri: String::new() };
    (Reviewer { authorizers: Arc::new(authorizers), tokens }, issuer)
}

async fn ask(reviewer: &Reviewer, user: &Identity, resource: &str, namespace: &str, body: Value) -> Result<Value, String> {
    let (group, resource) = resource.split_once(':').unwrap();
    let attributes = Attributes {
        user: user.clone(),
        group: format!("{group}.k8s.io"),
        resource: resource.into(),
        namespace: namespace.into(),
        ..Attributes::default()
    };
    reviewer.create(&attributes, body).await.unwrap().map_err(|status| status.message)
}

fn pods(verb: &str) -> Value {
    json!({"verb": verb, "resource": "pods", "namespace": "a"})
}

#[tokio::test(start_paused = true)]
async fn access_is_decided_as_for_requests() {
    let (reviewer, _) = reviewer().await;
    let jane = Identity::new("jane", &["system:authenticated"]);
    let own = async |verb: &str| {
        let answer =
            ask(&reviewer, &jane, "authorization:selfsubjectaccessreviews", "", json!({"spec": {"resourceAttributes": pods(verb)}}));
        answer.await.unwrap()["status"]["allowed"].as_bool().unwrap()
    };
    assert!(own("list").await && !own("create").await);
    let root = Identity::new("root", &["system:masters"]);
    let other = |user: &str| json!({"spec": {"user": user, "resourceAttributes": pods("list")}});
    let answer = ask(&reviewer, &root, "authorization:subjectaccessreviews", "", other("jane")).await.unwrap();
    let reason = "RBAC: allowed by ClusterRoleBinding \"b\" of ClusterRole \"view\" to User \"jane\"";
    assert_eq!(answer["status"], json!({"allowed": true, "reason": reason}));
    let answer = ask(&reviewer, &root, "authorization:subjectaccessreviews", "", other("bob")).await.unwrap();
    assert_eq!(answer["status"], json!({"allowed": false}));
    let answer = ask(&reviewer, &root, "authorization:localsubjectaccessreviews", "a", other("jane")).await.unwrap();
    assert_eq!((&answer["status"]["allowed"], &answer["metadata"]["namespace"]), (&json!(true), &json!("a")));
    let path =
        json!({"spec": {"user": "jane", "groups": ["system:authenticated"], "nonResourceAttributes": {"verb": "get", "path": "/version"}}});
    let answer = ask(&reviewer, &root, "authorization:subjectaccessreviews", "", path).await.unwrap();
    assert_eq!(answer["status"]["allowed"], true);
    assert!(answer["status"]["reason"].as_str().unwrap().ends_with("to Group \"system:authenticated\""));
}

#[tokio::test(start_paused = true)]
async fn bad_questions_are_told() {
    let (reviewer, _) = reviewer().await;
    let root = Identity::new("root", &["system:masters"]);
    let error = async |resource: &str, body: Value| ask(&reviewer, &root, resource, "a", body).await.unwrap_err();
    expect![[r#"SubjectAccessReview.authorization.k8s.io "" is invalid: [spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: "": at least one of user or group must be specified]"#]]
        .assert_eq(&error("authorization:subjectaccessreviews", json!({})).await);
    let named = json!({"metadata": {"name": "x", "creationTimestamp": null}, "spec": {"user": "u", "resourceAttributes": {}}});
    assert!(error("authorization:subjectaccessreviews", named).await.contains("metadata: Invalid value"));
    let elsewhere = json!({"spec": {"user": "u", "resourceAttributes": {"namespace": "b"}}});
    assert!(error("authorization:localsubjectaccessreviews", elsewhere).await.contains("must match metadata.namespace"));
    assert_eq!(error("authorization:selfsubjectrulesreviews", json!({})).await, "no namespace on request");
    assert_eq!(error("authentication:tokenreviews", json!({})).await, "token is required for TokenReview in authentication");
}

#[tokio::test(start_paused = true)]
async fn own_rules_and_own_name() {
    let (reviewer, _) = reviewer().await;
    let jane = Identity { uid: "7".into(), ..Identity::new("jane", &[]) };
    let answer = ask(&reviewer, &jane, "authorization:selfsubjectrulesreviews", "", json!({"spec": {"namespace": "a"}})).await.unwrap();
    let rules = answer["status"]["resourceRules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["resources"].as_array().unwrap().contains(&json!("pods"))));
    assert_eq!(answer["status"]["incomplete"], false);
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = ask(&reviewer, &jane, "authentication:selfsubjectreviews", "", body).await.unwrap();
    expect![[r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview","metadata":{"creationTimestamp":"2026-03-01T12:00:00Z"},"status":{"userInfo":{"uid":"7","username":"jane"}}}"#]]
        .assert_eq(&answer.to_string());
}

#[tokio::test(start_paused = true)]
async fn tokens_are_reviewed_for_their_audience() {
    let (reviewer, issuer) = reviewer().await;
    let attributes = Attributes { namespace: "a".into(), name: "s".into(), ..Attributes::default() };
    let issued = issuer.issue(&attributes, json!({"spec": {"audiences": ["vault"]}}), &Warnings::default()).await.unwrap();
    let root = Identity::new("root", &["system:masters"]);
    let review = async |audiences: Value| {
        let body = json!({"spec": {"token": issued["status"]["token"], "audiences": audiences}});
        ask(&reviewer, &root, "authentication:tokenreviews", "", body).await.unwrap()["status"].clone()
    };
    let status = review(json!(["vault"])).await;
    assert_eq!((&status["authenticated"], &status["user"]["username"]), (&json!(true), &json!("system:serviceaccount:a:s")));
    assert_eq!(status["audiences"], json!(["vault"]));
    let status = review(json!([])).await;
    assert!(status["authenticated"].is_null() && status["error"].as_str().unwrap().contains("audience"));
    let body = json!({"spec": {"token": "nonsense"}});
    let answer = ask(&reviewer, &root, "authentication:tokenreviews", "", body).await.unwrap();
    assert_eq!(answer["status"], json!({"user": {}}));
}
