//! All controllers against the real API server, each with its own identity and rights.
mod cluster;

use cluster::{Cluster, deployment, template, x};
use http::Method;
use serde_json::{Value, json};

const DEPLOYMENTS: &str = "apps/v1/deployments";

async fn available(c: &Cluster, name: &str) -> Value {
    c.kubelet().await;
    c.at(&x(&format!("{DEPLOYMENTS}/{name}")), "/status/availableReplicas").await
}

fn has_condition(object: &Value, key: &str, value: &str) -> bool {
    object["status"]["conditions"].as_array().into_iter().flatten().any(|one| one[key] == value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_reaches_its_pods_and_rolls() {
    let c = Cluster::start().await;
    c.until("the root CA", async |c| c.get(&x("v1/configmaps/kube-root-ca.crt")).await.is_some()).await;
    c.until("pod addresses", async |c| c.at("/api/v1/nodes/n", "/spec/podCIDR").await == "10.42.0.0/24").await;
    c.make(&x(DEPLOYMENTS), deployment("web", 5)).await;
    let ports = json!([{"port": 80}]);
    c.make(&x("v1/services"), json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports}})).await;
    c.until("5 pods", async |c| available(c, "web").await == 5).await;
    c.until("5 endpoints", async |c| {
        let slices = c.list(&x("discovery.k8s.io/v1/endpointslices")).await;
        let endpoints = slices.iter().map(|slice| slice["endpoints"].as_array().map_or(0, Vec::len));
        let older = c.at(&x("v1/endpoints/web"), "/subsets/0/addresses").await;
        endpoints.sum::<usize>() == 5 && older.as_array().is_some_and(|addresses| addresses.len() == 5)
    })
    .await;
    let path = x("apps/v1/deployments/web");
    c.merge(&path, json!({"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}})).await;
    c.until("the new version", async |c| {
        c.kubelet().await;
        let object = c.get(&path).await.unwrap();
        let done = has_condition(&object, "reason", "NewReplicaSetAvailable") && object["status"]["updatedReplicas"] == 5;
        done && object["status"]["replicas"] == 5 && object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    })
    .await;
    c.until("events", async |c| {
        let told = |event: &Value| event["message"].as_str().unwrap_or_default().starts_with("Created pod: web-");
        c.list(&x("v1/events")).await.iter().any(told)
    })
    .await;
    c.rest().await;
    c.delete(&path, "Background").await;
    c.until("everything collected", async |c| {
        c.kubelet().await;
        c.list(&x("v1/pods")).await.is_empty() && c.list(&x("apps/v1/replicasets")).await.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_in_the_foreground_and_of_orphans() {
    let c = Cluster::start().await;
    for name in ["fore", "orphan"] {
        c.make(&x(DEPLOYMENTS), deployment(name, 2)).await;
        c.until("2 pods", async |c| available(c, name).await == 2).await;
    }
    c.delete(&x("apps/v1/deployments/fore"), "Foreground").await;
    c.delete(&x("apps/v1/deployments/orphan"), "Orphan").await;
    c.until("both gone", async |c| {
        c.kubelet().await;
        c.list(&x(DEPLOYMENTS)).await.is_empty()
    })
    .await;
    let sets = c.list(&x("apps/v1/replicasets")).await;
    assert_eq!(sets.len(), 1);
    assert!(sets[0]["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(c.list(&x("v1/pods")).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_ends_and_says_what_holds_it() {
    let c = Cluster::start().await;
    c.make(&x(DEPLOYMENTS), deployment("web", 2)).await;
    c.until("2 pods", async |c| available(c, "web").await == 2).await;
    c.make(&x("v1/configmaps"), json!({"metadata": {"name": "held", "finalizers": ["a/b"]}})).await;
    c.delete("/api/v1/namespaces/x", "Background").await;
    c.until("what holds it", async |c| {
        c.kubelet().await;
        let object = c.get("/api/v1/namespaces/x").await.unwrap();
        has_condition(&object, "message", "Some content in the namespace has finalizers remaining: a/b in 1 resource instances")
    })
    .await;
    c.merge(&x("v1/configmaps/held"), json!({"metadata": {"finalizers": null}})).await;
    c.until("the end", async |c| c.get("/api/v1/namespaces/x").await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_and_sets_do_their_work() {
    let c = Cluster::start().await;
    let ends = json!({"metadata": {"labels": {"end": "yes"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"completions": 5, "parallelism": 2, "completionMode": "Indexed", "template": ends});
    c.make(&x("batch/v1/jobs"), json!({"metadata": {"name": "j"}, "spec": spec})).await;
    c.until("the job's end", async |c| {
        c.kubelet().await;
        let job = c.get(&x("batch/v1/jobs/j")).await.unwrap();
        has_condition(&job, "type", "Complete") && job["status"]["succeeded"] == 5 && job["status"]["completedIndexes"] == "0-4"
    })
    .await;
    c.until("pods without finalizers", async |c| c.list(&x("v1/pods")).await.iter().all(|pod| pod["metadata"]["finalizers"].is_null()))
        .await;
    let selector = |app: &str| json!({"matchLabels": {"app": app}});
    let spec = json!({"replicas": 3, "serviceName": "db", "selector": selector("db"), "template": template("db")});
    c.make(&x("apps/v1/statefulsets"), json!({"metadata": {"name": "db"}, "spec": spec})).await;
    let spec = json!({"selector": selector("ds"), "template": template("ds")});
    c.make(&x("apps/v1/daemonsets"), json!({"metadata": {"name": "ds"}, "spec": spec})).await;
    let (stateful, daemons) = (x("apps/v1/statefulsets/db"), x("apps/v1/daemonsets/ds"));
    c.until("both sets", async |c| {
        c.kubelet().await;
        c.at(&stateful, "/status/availableReplicas").await == 3 && c.at(&daemons, "/status/numberAvailable").await == 1
    })
    .await;
    c.merge(&stateful, json!({"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}})).await;
    c.until("the new revision", async |c| {
        c.kubelet().await;
        let status = c.at(&stateful, "/status").await;
        let current = status["currentRevision"] == status["updateRevision"] && status["readyReplicas"] == 3;
        current && status["observedGeneration"] == 2 && status["updatedReplicas"] == 3
    })
    .await;
    c.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_refuse_and_budgets_count() {
    let c = Cluster::start().await;
    let quota = x("v1/resourcequotas/q");
    c.make(&x("v1/resourcequotas"), json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}})).await;
    c.until("the quota's use", async |c| c.at(&quota, "/status/used/pods").await == "0").await;
    c.make(&x(DEPLOYMENTS), deployment("web", 3)).await;
    c.until("the refusal", async |c| {
        let object = c.get(&x("apps/v1/deployments/web")).await.unwrap();
        has_condition(&object, "reason", "FailedCreate") && c.at(&quota, "/status/used/pods").await == "2"
    })
    .await;
    c.merge(&quota, json!({"spec": {"hard": {"pods": "5"}}})).await;
    c.until("3 pods", async |c| available(c, "web").await == 3).await;
    let spec = json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}});
    c.make(&x("policy/v1/poddisruptionbudgets"), json!({"metadata": {"name": "b"}, "spec": spec})).await;
    let budget = x("policy/v1/poddisruptionbudgets/b");
    c.until("one may go", async |c| c.at(&budget, "/status/disruptionsAllowed").await == 1).await;
    let names: Vec<String> = c.list(&x("v1/pods")).await.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_string()).collect();
    let evict = async |name: &str| {
        let path = x(&format!("v1/pods/{name}/eviction"));
        c.send(Method::POST, &path, json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})).await
    };
    assert!(evict(&names[0]).await.is_ok());
    assert!(evict(&names[1]).await.is_err(), "the budget is used up");
    c.until("3 pods again", async |c| {
        c.kubelet().await;
        c.at(&budget, "/status/currentHealthy").await == 3 && c.at(&budget, "/status/disruptionsAllowed").await == 1
    })
    .await;
    c.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_nodes_and_volumes() {
    let c = Cluster::start().await;
    let key = pki::Key::generate().unwrap();
    let subject = pki::authority::Subject::new("system:node:n", &["system:nodes"]);
    let request = k8s_openapi::ByteString(pki::csr::create(&key, &subject, &[], &[]).unwrap().into_bytes());
    let spec = json!({"request": request, "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["digital signature", "client auth"]});
    c.make("/apis/certificates.k8s.io/v1/certificatesigningrequests", json!({"metadata": {"name": "r"}, "spec": spec})).await;
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests/r";
    c.until("a certificate", async |c| c.at(path, "/status/certificate").await.is_string()).await;

    let spec = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
        "hostPath": {"path": "/tmp/x"}});
    c.make("/api/v1/persistentvolumes", json!({"metadata": {"name": "v"}, "spec": spec})).await;
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "manual", "resources": {"requests": {"storage": "1Gi"}}});
    c.make(&x("v1/persistentvolumeclaims"), json!({"metadata": {"name": "c"}, "spec": spec})).await;
    let (volume, claim) = ("/api/v1/persistentvolumes/v", x("v1/persistentvolumeclaims/c"));
    c.until("a binding", async |c| c.at(volume, "/status/phase").await == "Bound" && c.at(&claim, "/status/phase").await == "Bound").await;
    c.rest().await;
    c.delete(&claim, "Background").await;
    c.until("a free volume", async |c| c.at(volume, "/status/phase").await == "Released").await;

    let unready = json!([{"type": "Ready", "status": "False", "reason": "Test"}]);
    c.merge("/api/v1/nodes/n/status", json!({"status": {"conditions": unready}})).await;
    c.until("taints", async |c| c.at("/api/v1/nodes/n", "/spec/taints").await.as_array().is_some_and(|taints| taints.len() == 2)).await;
}
