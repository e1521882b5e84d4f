//! Nodes and certificates: who may write what.
use super::*;

#[tokio::test(start_paused = true)]
async fn nodes_write_only_what_is_theirs() {
    let mut cluster = Cluster::new().await;
    cluster.user = Identity::new("system:node:n1", &["system:nodes"]);
    let node = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
    assert!(cluster.create("nodes", node("n1", json!({"kubernetes.io/hostname": "n1", "x": "y"}))).await.is_ok());
    let refused = cluster.create("nodes", node("n2", json!({}))).await.unwrap_err();
    assert_eq!(refused, "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"");
    let refused = cluster.create("nodes", node("n1", json!({"node-role.kubernetes.io/master": ""}))).await.unwrap_err();
    assert!(refused.ends_with("node \"n1\" is not allowed to set the following labels: node-role.kubernetes.io/master"), "{refused}");
    let tainted = json!({"metadata": {"name": "n1"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let refused = cluster.update("nodes", tainted, node("n1", json!({}))).await.unwrap_err();
    assert_eq!(refused, "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints");
    let refused = cluster.create("pods", pod("p", json!({}))).await.unwrap_err();
    assert_eq!(
        refused,
        "pods \"p\" is forbidden: pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods"
    );
    let bound = |name: &str| pod("p", json!({"nodeName": name}));
    let refused = cluster.update("pods/status", bound("n2"), bound("n2")).await.unwrap_err();
    assert!(refused.ends_with("node \"n1\" can only update pod status for pods with spec.nodeName set to itself"), "{refused}");
    assert!(cluster.update("pods/status", bound("n1"), bound("n1")).await.is_ok());
    cluster.store("pods/a/p", bound("n2")).await;
    let refused = cluster.delete("pods", bound("n2")).await.unwrap_err();
    assert!(refused.ends_with("node \"n1\" can only delete pods with spec.nodeName set to itself"), "{refused}");
    let lease = |name: &str| json!({"metadata": {"name": name, "namespace": "kube-node-lease"}});
    cluster.store("namespaces/kube-node-lease", json!({"metadata": {"name": "kube-node-lease"}})).await;
    assert!(cluster.create("coordination.k8s.io:leases", lease("n1")).await.is_ok());
    assert!(cluster.create("coordination.k8s.io:leases", lease("n2")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn nodes_get_tokens_for_their_pods_only() {
    let mut cluster = Cluster::new().await;
    cluster.user = Identity::new("system:node:n1", &["system:nodes"]);
    let mut stored = pod(
        "p",
        json!({"nodeName": "n1", "volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}}]}),
    );
    stored["metadata"]["uid"] = "u".into();
    cluster.store("pods/a/p", stored).await;
    let ask = async |reference: Value, audiences: Value| {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {"name": "default", "namespace": "a"},
            "spec": {"boundObjectRef": reference, "audiences": audiences}});
        cluster.create("serviceaccounts/token", body).await
    };
    let reference = |uid: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid});
    assert!(ask(reference("u"), json!(["vault"])).await.is_ok());
    assert!(
        ask(reference("u"), json!(["other"])).await.unwrap_err().contains("is not authorized to request tokens for audience \"other\"")
    );
    assert!(ask(reference("v"), json!(["vault"])).await.unwrap_err().contains("does not match the UID in record"));
    assert!(ask(Value::Null, json!([])).await.unwrap_err().ends_with("node requested token not bound to a pod"));
}

#[tokio::test(start_paused = true)]
async fn certificates_are_approved_and_signed_by_those_who_may() {
    let mut cluster = Cluster::new().await;
    let key = pki::Key::generate().unwrap();
    let csr = |signer: &str, groups: &[&str]| {
        let request = pki::csr::create(&key, &pki::Subject::new("jane", groups), &[], &[]).unwrap();
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, request);
        json!({"metadata": {"name": "c"}, "spec": {"request": encoded, "signerName": signer, "usages": ["client auth"]}})
    };
    let client = "kubernetes.io/kube-apiserver-client";
    assert!(cluster.create("certificates.k8s.io:certificatesigningrequests", csr(client, &["dev"])).await.is_ok());
    let refused = cluster.create("certificates.k8s.io:certificatesigningrequests", csr(client, &["system:masters"])).await.unwrap_err();
    assert!(refused.ends_with("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"), "{refused}");
    let object = csr(client, &[]);
    assert!(cluster.update("certificates.k8s.io:certificatesigningrequests/approval", object.clone(), object.clone()).await.is_ok());
    cluster.user = Identity::new("jane", &[]);
    let refused =
        cluster.update("certificates.k8s.io:certificatesigningrequests/approval", object.clone(), object.clone()).await.unwrap_err();
    assert!(
        refused.ends_with("user not permitted to approve requests with signerName \"kubernetes.io/kube-apiserver-client\""),
        "{refused}"
    );
    let mut signed = object.clone();
    signed["status"] = json!({"certificate": "eA=="});
    assert!(cluster.update("certificates.k8s.io:certificatesigningrequests/status", object.clone(), signed).await.is_err());
    assert!(cluster.update("certificates.k8s.io:certificatesigningrequests/status", object.clone(), object).await.is_ok());
}
