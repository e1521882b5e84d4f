//! Quotas over the whole chain.
use super::*;

impl Cluster {
    async fn quota(&self, name: &str, spec: Value, used: Value) {
        let hard = spec["hard"].clone();
        let quota = json!({"metadata": {"name": name, "namespace": "a"}, "spec": spec, "status": {"hard": hard, "used": used}});
        self.store(&format!("resourcequotas/a/{name}"), quota).await;
    }

    async fn used(&self, name: &str) -> Value {
        let stored = self.store.get(&format!("/registry/resourcequotas/a/{name}")).await.unwrap().unwrap();
        serde_json::from_slice::<Value>(&stored.json).unwrap()["status"]["used"].clone()
    }
}

fn sized(name: &str, requests: Value) -> Value {
    pod(name, json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": requests}}]}))
}

#[tokio::test(start_paused = true)]
async fn quotas_count_pods_and_refuse_what_does_not_fit() {
    let cluster = Cluster::new().await;
    cluster.quota("q", json!({"hard": {"pods": "2", "requests.cpu": "1"}}), json!({"pods": "0", "requests.cpu": "0"})).await;
    assert!(cluster.create("pods", sized("p", json!({"cpu": "600m"}))).await.is_ok());
    assert_eq!(cluster.used("q").await, json!({"pods": "1", "requests.cpu": "600m"}));
    let refused = cluster.create("pods", sized("p", json!({"cpu": "600m"}))).await.unwrap_err();
    assert_eq!(
        refused,
        "pods \"p\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
    );
    let refused = cluster.create("pods", pod("p", json!({}))).await.unwrap_err();
    assert_eq!(refused, "pods \"p\" is forbidden: failed quota: q: must specify requests.cpu for: c");
    let dry = Cluster { dry_run: true, ..cluster };
    assert!(dry.create("pods", sized("p", json!({"cpu": "100m"}))).await.is_ok());
    assert_eq!(dry.used("q").await["pods"], "1");
}

#[tokio::test(start_paused = true)]
async fn quotas_count_objects_services_and_storage() {
    let cluster = Cluster::new().await;
    let hard = json!({"configmaps": "1", "count/deployments.apps": "1", "services.nodeports": "1", "requests.storage": "1Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1"});
    let used = json!({"configmaps": "0", "count/deployments.apps": "1", "services.nodeports": "0", "requests.storage": "0",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "0"});
    cluster.quota("q", json!({"hard": hard}), used).await;
    let map = json!({"metadata": {"name": "m", "namespace": "a"}});
    assert!(cluster.create("configmaps", map.clone()).await.is_ok());
    let refused = cluster.create("configmaps", map.clone()).await.unwrap_err();
    assert_eq!(
        refused,
        "configmaps \"m\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"
    );
    assert!(cluster.update("configmaps", map.clone(), map).await.is_ok());
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = object("d", json!({"selector": {"matchLabels": {"a": "b"}}, "template": template}));
    assert!(cluster.create("apps:deployments", deployment).await.unwrap_err().contains("count/deployments.apps=1"));
    let two = service("s", json!({"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}));
    assert!(cluster.create("services", two).await.unwrap_err().contains("requested: services.nodeports=2, used: services.nodeports=0"));
    let claim = |size: &str| object("c", json!({"storageClassName": "gold", "resources": {"requests": {"storage": size}}}));
    assert!(cluster.create("persistentvolumeclaims", claim("2Gi")).await.unwrap_err().contains("limited: requests.storage=1Gi"));
    assert!(cluster.create("persistentvolumeclaims", claim("512Mi")).await.is_ok());
    assert_eq!(cluster.used("q").await["requests.storage"], "512Mi");
    let refused = cluster.create("persistentvolumeclaims", claim("1Mi")).await.unwrap_err();
    assert!(refused.contains("gold.storageclass.storage.k8s.io/persistentvolumeclaims=1"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn scopes_choose_the_pods_of_a_quota() {
    let cluster = Cluster::new().await;
    cluster.store("priorityclasses/high", json!({"metadata": {"name": "high"}, "value": 1})).await;
    cluster.quota("effort", json!({"hard": {"pods": "0"}, "scopes": ["BestEffort"]}), json!({"pods": "0"})).await;
    let selector = json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]});
    cluster.quota("high", json!({"hard": {"pods": "0"}, "scopeSelector": selector}), json!({"pods": "0"})).await;
    assert!(cluster.create("pods", pod("p", json!({}))).await.unwrap_err().contains("exceeded quota: effort"));
    assert!(cluster.create("pods", sized("p", json!({"cpu": "1"}))).await.is_ok());
    let mut high = sized("p", json!({"cpu": "1"}));
    high["spec"]["priorityClassName"] = "high".into();
    assert!(cluster.create("pods", high).await.unwrap_err().contains("exceeded quota: high"));
    assert!(cluster.create("configmaps", json!({"metadata": {"name": "m", "namespace": "a"}})).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn many_at_once_never_pass_a_quota() {
    let cluster = Cluster::new().await;
    cluster.quota("q", json!({"hard": {"pods": "5"}}), json!({"pods": "0"})).await;
    let all = (0..20).map(|number| cluster.create("pods", pod(&format!("p{number}"), json!({}))));
    let answers = futures::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
    assert_eq!(cluster.used("q").await["pods"], "5");
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_was_not_counted_yet_says_so() {
    let cluster = Cluster::new().await;
    cluster.quota("q", json!({"hard": {"pods": "5"}}), json!({})).await;
    let refused = cluster.create("pods", pod("p", json!({}))).await.unwrap_err();
    assert_eq!(refused, "pods \"p\" is forbidden: status unknown for quota: q, resources: pods");
}
