use super::*;
use crate::own_writes::put;
use crate::request::{AdmissionRequest, Operation, Options, Warnings};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use machinery::object::AnyObject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stdx::clock::Clock;
use stdx::random::Random;
use store::memory::Memory;
use store::{Durability, Expect};

fn user(name: &str, groups: &[&str]) -> Identity {
    Identity::new(name, groups)
}

fn ask(user: &Identity, verb: &str, resource: &str, namespace: &str, name: &str) -> Attributes {
    let (group, resource) = resource.split_once(':').unwrap_or(("", resource));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Attributes {
        user: user.clone(),
        verb: verb.into(),
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        is_resource: true,
        ..Attributes::default()
    }
}

async fn cluster() -> (Arc<Memory>, Rbac) {
    let store = Memory::new(Clock::system());
    defaults::reconcile(&*store, jiff::Timestamp::UNIX_EPOCH, &Random::seeded(1)).await.unwrap();
    let rbac = Rbac::new(store.clone());
    (store, rbac)
}

async fn write<T: machinery::object::Resource + DeserializeOwned>(store: &Memory, key: &str, value: Value) {
    let mut object: T = serde_json::from_value(value).unwrap();
    store.txn(vec![put(key, &mut object, Expect::Any)], Durability::Synced).await.unwrap();
}

async fn bind(store: &Memory, name: &str, role: &str, subject: Value) {
    let binding =
        json!({"metadata": {"name": name}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}, "subjects": [subject]});
    write::<ClusterRoleBinding>(store, &format!("/registry/clusterrolebindings/{name}"), binding).await;
}

#[tokio::test]
async fn default_roles_allow_what_the_original_allows() {
    let (_, rbac) = cluster().await;
    let scheduler = user("system:kube-scheduler", &["system:authenticated"]);
    let controller = user("system:serviceaccount:kube-system:deployment-controller", &[]);
    let anyone = user("jane", &["system:authenticated"]);
    let anonymous = user("system:anonymous", &["system:unauthenticated"]);
    let table = [
        (ask(&scheduler, "create", "pods/binding", "x", ""), true),
        (ask(&scheduler, "delete", "nodes", "", "n"), false),
        (ask(&scheduler, "update", "coordination.k8s.io:leases", "kube-system", "kube-scheduler"), true),
        (ask(&scheduler, "update", "coordination.k8s.io:leases", "default", "another"), false),
        (ask(&controller, "update", "apps:replicasets", "x", "r"), true),
        (ask(&controller, "list", "secrets", "x", ""), false),
        (ask(&anyone, "create", "authorization.k8s.io:selfsubjectaccessreviews", "", ""), true),
        (ask(&anyone, "get", "pods", "x", "p"), false),
        (ask(&anonymous, "create", "authorization.k8s.io:selfsubjectaccessreviews", "", ""), false),
    ];
    for (attributes, allowed) in table {
        assert_eq!(rbac.authorize(&attributes).await == Decision::Allow, allowed, "{attributes:?}");
    }
    let path =
        |user: &Identity, path: &str| Attributes { user: user.clone(), verb: "get".into(), path: path.into(), ..Attributes::default() };
    assert_eq!(rbac.authorize(&path(&anonymous, "/version")).await, Decision::Allow);
    assert_eq!(rbac.authorize(&path(&anonymous, "/api")).await, Decision::Deny(String::new()));
    assert_eq!(rbac.authorize(&path(&anyone, "/apis/apps/v1")).await, Decision::Allow);
}

#[tokio::test]
async fn admin_edit_and_view_are_aggregated() {
    let (store, rbac) = cluster().await;
    for role in ["admin", "edit", "view"] {
        bind(&store, role, role, json!({"kind": "User", "apiGroup": GROUP, "name": role})).await;
    }
    let can = async |name: &str, verb: &str, resource: &str| {
        rbac.authorize(&ask(&user(name, &[]), verb, resource, "x", "")).await == Decision::Allow
    };
    assert!(can("view", "list", "pods").await && !can("view", "list", "secrets").await && !can("view", "create", "pods").await);
    assert!(can("edit", "list", "secrets").await && can("edit", "create", "apps:deployments").await);
    assert!(!can("edit", "create", "rbac.authorization.k8s.io:roles").await);
    assert!(can("admin", "create", "rbac.authorization.k8s.io:roles").await && can("admin", "list", "pods").await);
}

#[tokio::test]
async fn a_binding_counts_for_the_next_request_and_its_end_too() {
    let (store, rbac) = cluster().await;
    let jane = user("jane", &["dev"]);
    let question = ask(&jane, "list", "pods", "a", "");
    assert_eq!(rbac.authorize(&question).await, Decision::Deny(String::new()));
    let binding = json!({"metadata": {"name": "b", "namespace": "a"}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "Group", "apiGroup": GROUP, "name": "dev"}]});
    write::<RoleBinding>(&store, "/registry/rolebindings/a/b", binding).await;
    assert_eq!(rbac.authorize(&question).await, Decision::Allow);
    assert_ne!(rbac.authorize(&ask(&jane, "list", "pods", "b", "")).await, Decision::Allow);
    assert_ne!(rbac.authorize(&ask(&jane, "list", "pods", "", "")).await, Decision::Allow);
    let delete = store::Op::Delete { key: "/registry/rolebindings/a/b".into(), expect: Expect::Present };
    store.txn(vec![delete], Durability::Synced).await.unwrap();
    assert_ne!(rbac.authorize(&question).await, Decision::Allow);
}

#[tokio::test]
async fn a_missing_role_is_told() {
    let (store, rbac) = cluster().await;
    bind(&store, "b", "nobody", json!({"kind": "ServiceAccount", "namespace": "a", "name": "s"})).await;
    let question = ask(&user("system:serviceaccount:a:s", &[]), "list", "pods", "a", "");
    let told = Decision::Deny("RBAC: clusterrole.rbac.authorization.k8s.io \"nobody\" not found".into());
    assert_eq!(rbac.authorize(&question).await, told);
}

#[test]
fn rules_match_subresources_names_and_paths() {
    let rule = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let list = |word: &str| word.split(',').map(String::from).collect::<Vec<_>>();
        let names = words.get(3).map(|word| list(word)).unwrap_or_default();
        Rule { verbs: list(words[0]), groups: vec![words[1].replace("core", "")], resources: list(words[2]), names, urls: Vec::new() }
    };
    let jane = user("jane", &[]);
    let table = [
        ("get core pods", ask(&jane, "get", "pods/log", "a", "p"), false),
        ("get core pods/log", ask(&jane, "get", "pods/log", "a", "p"), true),
        ("get core pods/log", ask(&jane, "get", "pods", "a", "p"), false),
        ("get * */scale", ask(&jane, "get", "apps:deployments/scale", "a", "p"), true),
        ("* * *", ask(&jane, "get", "pods/log", "a", "p"), true),
        ("get core pods p,q", ask(&jane, "get", "pods", "a", "q"), true),
        ("list core pods p", ask(&jane, "list", "pods", "a", ""), false),
        ("get apps pods", ask(&jane, "get", "pods", "a", "q"), false),
    ];
    for (text, attributes, allowed) in table {
        assert_eq!(rule(text).allows(&attributes), allowed, "{text}");
    }
    let paths = Rule { verbs: vec!["get".into()], urls: vec!["/healthz/*".into(), "/version".into()], ..Rule::default() };
    for (path, allowed) in [("/healthz/etcd", true), ("/healthz", false), ("/version", true), ("/version/x", false)] {
        let attributes = Attributes { verb: "get".into(), path: path.into(), ..Attributes::default() };
        assert_eq!(paths.allows(&attributes), allowed, "{path}");
    }
}

#[tokio::test]
async fn nobody_hands_out_more_than_he_has() {
    let (store, rbac) = cluster().await;
    bind(&store, "b", "view", json!({"kind": "User", "apiGroup": GROUP, "name": "jane"})).await;
    let authorizer = crate::authorize::Authorizers { node: crate::authorize::node::NodeAuthorizer::new(store.clone()), rbac: rbac.into() };
    let check = async |attributes: Attributes, object: Box<dyn AnyObject>| {
        let kind = api::registry().by_resource(GROUP, "v1", &attributes.resource).unwrap().kind;
        let (options, warnings) = (Options::default(), Warnings::default());
        let request = AdmissionRequest {
            attributes: &attributes,
            operation: Operation::Create,
            kind,
            old: None,
            options: &options,
            warnings: &warnings,
        };
        escalation::check(&request, &*object, &authorizer.rbac, &authorizer).await.map_err(|status| status.message)
    };
    let role = |rules: Value| -> Box<dyn AnyObject> {
        Box::new(serde_json::from_value::<ClusterRole>(json!({"metadata": {"name": "r"}, "rules": rules})).unwrap())
    };
    let create = |name: &str, groups: &[&str]| ask(&user(name, groups), "create", "rbac.authorization.k8s.io:clusterroles", "", "");
    let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
    let secrets =
        json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "delete"]}, {"nonResourceURLs": ["/x"], "verbs": ["get"]}]);
    assert_eq!(check(create("jane", &["a"]), role(pods)).await, Ok(()));
    expect_test::expect![[r#"
        clusterroles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["a" "b"]) is attempting to grant RBAC permissions not currently held:
        {APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}
        {NonResourceURLs:["/x"], Verbs:["get"]}"#]]
    .assert_eq(&check(create("jane", &["a", "b"]), role(secrets.clone())).await.unwrap_err());
    assert_eq!(check(create("root", &["system:masters"]), role(secrets)).await, Ok(()));
    let binding = |role: &str| -> Box<dyn AnyObject> {
        let value = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}});
        Box::new(serde_json::from_value::<ClusterRoleBinding>(value).unwrap())
    };
    let create = || ask(&user("jane", &["a"]), "create", "rbac.authorization.k8s.io:clusterrolebindings", "", "");
    assert_eq!(check(create(), binding("view")).await, Ok(()));
    assert!(check(create(), binding("edit")).await.unwrap_err().contains("not currently held"));
    assert_eq!(check(create(), binding("nobody")).await, Err("clusterrole.rbac.authorization.k8s.io \"nobody\" not found".into()));
}

#[tokio::test]
async fn reconciling_again_changes_nothing_and_mends_what_is_missing() {
    let (store, _) = cluster().await;
    let again = async || defaults::reconcile(&*store, jiff::Timestamp::UNIX_EPOCH, &Random::seeded(2)).await.unwrap();
    assert_eq!(again().await, 0);
    let key = "/registry/clusterroles/system:basic-user";
    let mut role = (*crate::own_writes::find::<ClusterRole>(&*store, key).await.unwrap().unwrap()).clone();
    let full = role.rules.clone();
    role.rules.as_mut().unwrap().pop();
    role.metadata.labels = None;
    store.txn(vec![put(key, &mut role, Expect::Any)], Durability::Synced).await.unwrap();
    assert_eq!(again().await, 1);
    let mended = crate::own_writes::find::<ClusterRole>(&*store, key).await.unwrap().unwrap();
    assert_eq!(mended.rules, full);
    role.metadata.annotations.as_mut().unwrap().insert("rbac.authorization.kubernetes.io/autoupdate".into(), "false".into());
    store.txn(vec![put(key, &mut role, Expect::Any)], Durability::Synced).await.unwrap();
    assert_eq!(again().await, 0);
}

#[test]
fn the_table_has_every_default() {
    let all = defaults::defaults();
    let counts = [all.cluster_roles.len(), all.cluster_role_bindings.len(), all.roles.len(), all.role_bindings.len()];
    expect_test::expect!["[73, 54, 7, 7]"].assert_eq(&format!("{counts:?}"));
}
