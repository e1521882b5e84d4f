use super::*;
use crate::own_writes::put;
use client::Identity;
use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use serde_json::{Value, json};
use stdx::clock::Clock;
use store::memory::Memory;
use store::{Durability, Expect, Op};

fn ask(verb: &str, resource: &str, namespace: &str, name: &str) -> Attributes {
    let (group, resource) = resource.split_once(':').unwrap_or(("", resource));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Attributes {
        user: Identity::new("system:node:n1", &["system:nodes"]),
        verb: verb.into(),
        group: group.into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        is_resource: true,
        ..Attributes::default()
    }
}

async fn write_pod(store: &Memory, name: &str, spec: Value) {
    let mut pod: Pod = serde_json::from_value(json!({"metadata": {"namespace": "a", "name": name}, "spec": spec})).unwrap();
    let key = format!("/registry/pods/a/{name}");
    store.txn(vec![put(&key, &mut pod, Expect::Any)], Durability::Synced).await.unwrap();
}

fn spec(node: &str) -> Value {
    json!({"nodeName": node, "serviceAccountName": "sa", "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "env"}}]}],
        "volumes": [{"name": "v", "secret": {"secretName": "s"}}, {"name": "d", "persistentVolumeClaim": {"claimName": "pvc"}}]})
}

#[tokio::test]
async fn a_node_reads_what_its_pods_use_while_they_are_there() {
    let store = Memory::new(Clock::system());
    let nodes = NodeAuthorizer::new(store.clone());
    let secret = ask("get", "secrets", "a", "s");
    let refused = deny("no relationship found between node 'n1' and this object".into());
    assert_eq!(nodes.authorize(&secret).await, refused);
    write_pod(&store, "p", spec("n2")).await;
    assert_eq!(nodes.authorize(&secret).await, refused);
    write_pod(&store, "q", spec("n1")).await;
    write_pod(&store, "r", spec("n1")).await;
    let volume = json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"namespace": "a", "name": "pvc"},
        "csi": {"driver": "d", "volumeHandle": "h", "nodeStageSecretRef": {"namespace": "z", "name": "vs"}}}});
    let mut volume: PersistentVolume = serde_json::from_value(volume).unwrap();
    store.txn(vec![put("/registry/persistentvolumes/pv", &mut volume, Expect::Any)], Durability::Synced).await.unwrap();
    for allowed in [
        secret.clone(),
        ask("watch", "secrets", "a", "s"),
        ask("get", "configmaps", "a", "env"),
        ask("get", "persistentvolumeclaims", "a", "pvc"),
        ask("get", "persistentvolumes", "", "pv"),
        ask("get", "secrets", "z", "vs"),
        ask("create", "serviceaccounts/token", "a", "sa"),
        ask("get", "pods", "a", "q"),
    ] {
        assert_eq!(nodes.authorize(&allowed).await, Decision::Allow, "{allowed:?}");
    }
    for refused in [ask("get", "pods", "a", "p"), ask("get", "secrets", "b", "s"), ask("list", "secrets", "a", "")] {
        assert_ne!(nodes.authorize(&refused).await, Decision::Allow, "{refused:?}");
    }
    for pod in ["q", "r"] {
        assert_eq!(nodes.authorize(&secret).await, Decision::Allow);
        let delete = Op::Delete { key: format!("/registry/pods/a/{pod}").into(), expect: Expect::Present };
        store.txn(vec![delete], Durability::Synced).await.unwrap();
    }
    assert_eq!(nodes.authorize(&secret).await, refused);
}

#[tokio::test]
async fn a_mirror_pod_gives_access_to_nothing() {
    let store = Memory::new(Clock::system());
    let nodes = NodeAuthorizer::new(store.clone());
    let mirror =
        json!({"metadata": {"namespace": "a", "name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": spec("n1")});
    let mut mirror: Pod = serde_json::from_value(mirror).unwrap();
    store.txn(vec![put("/registry/pods/a/m", &mut mirror, Expect::Any)], Durability::Synced).await.unwrap();
    assert_eq!(nodes.authorize(&ask("get", "pods", "a", "m")).await, Decision::Allow);
    assert_ne!(nodes.authorize(&ask("get", "secrets", "a", "s")).await, Decision::Allow);
}

#[test]
fn the_request_alone_decides_much() {
    let selecting = |verb: &str, selector: &str| Attributes { field_selector: selector.into(), ..ask(verb, "pods", "", "") };
    let table = [
        (ask("get", "nodes", "", "n1"), Opinion::Allow),
        (ask("get", "nodes", "", "n2"), because("node 'n1' cannot read 'n2', only its own Node object")),
        (ask("list", "nodes", "", ""), because("node 'n1' cannot read all nodes, only its own Node object")),
        (ask("patch", "nodes/status", "", "n2"), Opinion::Allow),
        (ask("delete", "nodes", "", "n1"), because("")),
        (ask("update", "secrets", "a", "s"), because("can only read resources of this type")),
        (ask("update", "coordination.k8s.io:leases", "kube-node-lease", "n1"), Opinion::Allow),
        (
            ask("update", "coordination.k8s.io:leases", "kube-node-lease", "n2"),
            because("can only access node lease with the same name as the requesting node"),
        ),
        (
            ask("get", "coordination.k8s.io:leases", "default", "n1"),
            because("can only access leases in the \"kube-node-lease\" system namespace"),
        ),
        (selecting("list", "spec.nodeName=n1"), Opinion::Allow),
        (selecting("watch", "status.phase=Running,spec.nodeName==n1"), Opinion::Allow),
        (selecting("list", "spec.nodeName=n2"), because("can only list/watch pods with spec.nodeName field selector")),
        (selecting("list", "spec.nodeName!=n1"), because("can only list/watch pods with spec.nodeName field selector")),
        (ask("create", "events", "a", ""), Opinion::Rules),
        (ask("create", "pods/eviction", "a", "p"), Opinion::Allow),
        (ask("get", "serviceaccounts/token", "a", "sa"), because("can only create tokens for individual service accounts")),
    ];
    for (attributes, opinion) in table {
        assert_eq!(decide("n1", &attributes), opinion, "{attributes:?}");
    }
}

#[tokio::test]
async fn only_nodes_with_a_name_count() {
    let nodes = NodeAuthorizer::new(Memory::new(Clock::system()));
    let as_user = |name: &str, groups: &[&str]| Attributes { user: Identity::new(name, groups), ..ask("get", "nodes", "", "n1") };
    assert_eq!(nodes.authorize(&as_user("system:node:n1", &[])).await, no_opinion());
    assert_eq!(nodes.authorize(&as_user("jane", &["system:nodes"])).await, deny("unknown node for user \"jane\"".into()));
    assert_eq!(nodes.authorize(&ask("create", "events", "a", "")).await, Decision::Allow);
    assert_eq!(nodes.authorize(&ask("list", "services", "", "")).await, Decision::Allow);
    assert_ne!(nodes.authorize(&ask("delete", "services", "a", "s")).await, Decision::Allow);
}
