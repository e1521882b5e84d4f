//! The chain as a whole, over a memory store. `Cluster::create` and its sisters answer with the admitted object or the refusal.
mod nodes;
mod quota;

use super::*;
use crate::authorize::node::NodeAuthorizer;
use crate::authorize::rbac::Rbac;
use crate::own_writes::put;
use crate::request::{Attributes, Options, Warnings};
use client::Identity;
use expect_test::expect;
use machinery::kind::Names;
use machinery::object::Dynamic;
use serde_json::{Value, json};
use store::memory::Memory;
use store::{Durability, Expect, Op};

pub(super) struct Cluster {
    pub store: Arc<Memory>,
    pub chain: Chain,
    pub user: Identity,
    pub warnings: Warnings,
    pub dry_run: bool,
}

impl Cluster {
    /// With namespace `a` and its default account.
    pub async fn new() -> Cluster {
        let clock = Clock::simulated("2026-03-01T12:00:00Z".parse().unwrap());
        let store = Memory::new(clock.clone());
        let authorizers = Authorizers { node: NodeAuthorizer::new(store.clone()), rbac: Arc::new(Rbac::new(store.clone())) };
        let context = Context { store: store.clone(), clock, random: Random::seeded(1), authorizers: Arc::new(authorizers) };
        let settings = service_allocator::Settings::parse(&["10.96.0.0/24".into()]).unwrap();
        let chain = Chain::new(&context, settings, &[]);
        let user = Identity::new("root", &["system:masters"]);
        let cluster = Cluster { store, chain, user, warnings: Warnings::default(), dry_run: false };
        cluster.store("namespaces/a", json!({"metadata": {"name": "a"}})).await;
        cluster.store("serviceaccounts/a/default", json!({"metadata": {"name": "default", "namespace": "a"}})).await;
        cluster
    }

    pub async fn store(&self, key: &str, value: Value) {
        let stored = |names: &Names| !names.storage.is_empty() && key.starts_with(&format!("{}/", names.storage));
        let kinds = api::registry().all().iter().map(|entry| entry.kind.names()).filter(|names| stored(names));
        let names = kinds.max_by_key(|names| (names.storage.len(), names.version == "v1")).unwrap();
        let mut object = Dynamic::from_value(complete(value, names)).unwrap();
        let put = put(&format!("/registry/{key}"), &mut object, Expect::Any);
        self.store.txn(vec![put], Durability::Synced).await.unwrap();
    }

    pub async fn remove(&self, key: &str) {
        let delete = Op::Delete { key: format!("/registry/{key}").into(), expect: Expect::Present };
        self.store.txn(vec![delete], Durability::Synced).await.unwrap();
    }

    pub async fn create(&self, resource: &str, value: Value) -> Result<Value, String> {
        self.run(Operation::Create, resource, Some(value), None).await
    }

    pub async fn update(&self, resource: &str, old: Value, new: Value) -> Result<Value, String> {
        self.run(Operation::Update, resource, Some(new), Some(old)).await
    }

    pub async fn delete(&self, resource: &str, old: Value) -> Result<Value, String> {
        self.run(Operation::Delete, resource, None, Some(old)).await
    }

    /// `resource` as `group:plural/subresource`.
    pub async fn run(&self, operation: Operation, resource: &str, new: Option<Value>, old: Option<Value>) -> Result<Value, String> {
        let (group, resource) = resource.split_once(':').unwrap_or(("", resource));
        let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let entry = api::registry().all().iter().find(|entry| entry.kind.names().group == group && entry.kind.names().plural == plural);
        let kind = entry.unwrap().kind;
        let meta = new.as_ref().or(old.as_ref()).map(|value| value["metadata"].clone()).unwrap_or_default();
        let text = |key: &str| meta[key].as_str().unwrap_or_default().to_string();
        let attributes = Attributes {
            user: self.user.clone(),
            verb: operation.name().to_lowercase(),
            group: group.into(),
            version: kind.names().version.into(),
            resource: plural.into(),
            subresource: subresource.into(),
            namespace: text("namespace"),
            name: if operation == Operation::Create && subresource.is_empty() { String::new() } else { text("name") },
            is_resource: true,
            ..Attributes::default()
        };
        let options = Options { dry_run: self.dry_run, ..Options::default() };
        let decode = |value: Value| match subresource {
            "" | "status" | "ephemeralcontainers" | "resize" | "approval" => kind.decode(complete(value, kind.names())).unwrap(),
            _ => Box::new(Dynamic::from_value(value).unwrap()),
        };
        let old = old.map(|value| kind.decode(complete(value, kind.names())).unwrap());
        let request =
            AdmissionRequest { attributes: &attributes, operation, kind, old: old.as_deref(), options: &options, warnings: &self.warnings };
        let told = |status: Status| status.message;
        let Some(mut object) = new.map(decode) else {
            return self.chain.validate(&request, None).await.map(|()| Value::Null).map_err(told);
        };
        self.chain.mutate(&request, &mut object).await.map_err(told)?;
        self.chain.validate(&request, Some(&*object)).await.map_err(told)?;
        Ok(object.to_value())
    }
}

fn complete(mut value: Value, names: &Names) -> Value {
    value["apiVersion"] = names.api_version().into();
    value["kind"] = names.kind.into();
    value
}

pub(super) fn pod(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"name": "c", "image": "i"}]);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "a"}, "spec": spec})
}

pub(super) fn object(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "a"}, "spec": spec})
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_in_namespaces_that_are_not_there_or_end() {
    let cluster = Cluster::new().await;
    let map = |namespace: &str| json!({"metadata": {"name": "m", "namespace": namespace}});
    assert!(cluster.create("configmaps", map("a")).await.is_ok());
    assert_eq!(cluster.create("configmaps", map("b")).await.unwrap_err(), "namespaces \"b\" not found");
    cluster.store("namespaces/b", json!({"metadata": {"name": "b"}, "status": {"phase": "Terminating"}})).await;
    assert_eq!(
        cluster.create("configmaps", map("b")).await.unwrap_err(),
        "configmaps \"m\" is forbidden: unable to create new content in namespace b because it is being terminated"
    );
    assert!(cluster.update("configmaps", map("b"), map("b")).await.is_ok());
    let refused = cluster.delete("namespaces", json!({"metadata": {"name": "kube-system"}})).await.unwrap_err();
    assert_eq!(refused, "namespaces \"kube-system\" is forbidden: this namespace may not be deleted");
    assert!(cluster.delete("namespaces", json!({"metadata": {"name": "a"}})).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_plain_pod_gets_account_token_tolerations_and_priority() {
    let cluster = Cluster::new().await;
    let admitted = cluster.create("pods", pod("p", json!({}))).await.unwrap();
    expect![[r#"
        {
          "containers": [
            {
              "image": "i",
              "name": "c",
              "volumeMounts": [
                {
                  "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                  "name": "kube-api-access-sj4b4",
                  "readOnly": true
                }
              ]
            }
          ],
          "preemptionPolicy": "PreemptLowerPriority",
          "priority": 0,
          "serviceAccount": "default",
          "serviceAccountName": "default",
          "tolerations": [
            {
              "effect": "NoExecute",
              "key": "node.kubernetes.io/not-ready",
              "operator": "Exists",
              "tolerationSeconds": 300
            },
            {
              "effect": "NoExecute",
              "key": "node.kubernetes.io/unreachable",
              "operator": "Exists",
              "tolerationSeconds": 300
            }
          ],
          "volumes": [
            {
              "name": "kube-api-access-sj4b4",
              "projected": {
                "defaultMode": 420,
                "sources": [
                  {
                    "serviceAccountToken": {
                      "expirationSeconds": 3607,
                      "path": "token"
                    }
                  },
                  {
                    "configMap": {
                      "items": [
                        {
                          "key": "ca.crt",
                          "path": "ca.crt"
                        }
                      ],
                      "name": "kube-root-ca.crt"
                    }
                  },
                  {
                    "downwardAPI": {
                      "items": [
                        {
                          "fieldRef": {
                            "apiVersion": "v1",
                            "fieldPath": "metadata.namespace"
                          },
                          "path": "namespace"
                        }
                      ]
                    }
                  }
                ]
              }
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&admitted["spec"]).unwrap());
}

#[tokio::test(start_paused = true)]
async fn accounts_decide_about_tokens_and_pull_secrets() {
    let cluster = Cluster::new().await;
    let missing = cluster.create("pods", pod("p", json!({"serviceAccountName": "x"}))).await.unwrap_err();
    assert_eq!(missing, "pods \"p\" is forbidden: error looking up service account a/x: serviceaccount \"x\" not found");
    let account =
        json!({"metadata": {"name": "x", "namespace": "a"}, "automountServiceAccountToken": false, "imagePullSecrets": [{"name": "s"}]});
    cluster.store("serviceaccounts/a/x", account).await;
    let spec = cluster.create("pods", pod("p", json!({"serviceAccountName": "x"}))).await.unwrap()["spec"].clone();
    assert_eq!((&spec["imagePullSecrets"], &spec["volumes"]), (&json!([{"name": "s"}]), &Value::Null));
    let asked = pod("p", json!({"serviceAccountName": "x", "automountServiceAccountToken": true}));
    assert!(cluster.create("pods", asked).await.unwrap()["spec"]["volumes"].is_array());
    let mut mirror = pod("m", json!({"serviceAccountName": "x"}));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "h"});
    let refused = cluster.create("pods", mirror.clone()).await.unwrap_err();
    assert_eq!(refused, "pods \"m\" is forbidden: a mirror pod may not reference service accounts");
    mirror["spec"]["serviceAccountName"] = Value::Null;
    assert_eq!(cluster.create("pods", mirror).await.unwrap()["spec"]["serviceAccountName"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn priorities_come_from_classes() {
    let cluster = Cluster::new().await;
    let refused = cluster.create("pods", pod("p", json!({"priorityClassName": "high"}))).await.unwrap_err();
    assert_eq!(refused, "pods \"p\" is forbidden: no PriorityClass with name high was found");
    cluster.store("priorityclasses/high", json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"})).await;
    let spec = cluster.create("pods", pod("p", json!({"priorityClassName": "high"}))).await.unwrap()["spec"].clone();
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(1000), &json!("Never")));
    let wrong = cluster.create("pods", pod("p", json!({"priorityClassName": "high", "priority": 5}))).await.unwrap_err();
    assert!(wrong.contains("the integer value of priority (5) must not be provided in pod spec"));
    cluster.store("priorityclasses/low", json!({"metadata": {"name": "low"}, "value": -1, "globalDefault": true})).await;
    let spec = cluster.create("pods", pod("p", json!({}))).await.unwrap()["spec"].clone();
    assert_eq!((&spec["priority"], &spec["priorityClassName"]), (&json!(-1), &json!("low")));
    let second = json!({"metadata": {"name": "other"}, "value": 1, "globalDefault": true});
    let refused = cluster.create("scheduling.k8s.io:priorityclasses", second).await.unwrap_err();
    assert!(refused.ends_with("PriorityClass low is already marked as default. Only one default can exist"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn claims_and_ingresses_get_the_newest_default_class() {
    let cluster = Cluster::new().await;
    for (name, time) in [("old", "2026-01-01T00:00:00Z"), ("new", "2026-02-01T00:00:00Z")] {
        let class =
            |mark: &str| json!({"metadata": {"name": name, "creationTimestamp": time, "annotations": {mark: "true"}}, "provisioner": "p"});
        cluster.store(&format!("storageclasses/{name}"), class("storageclass.kubernetes.io/is-default-class")).await;
        cluster.store(&format!("ingressclasses/{name}"), class("ingressclass.kubernetes.io/is-default-class")).await;
    }
    let claim = cluster.create("persistentvolumeclaims", object("c", json!({}))).await.unwrap();
    assert_eq!(claim["spec"]["storageClassName"], "new");
    assert_eq!(claim["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let none = cluster.create("persistentvolumeclaims", object("c", json!({"storageClassName": ""}))).await.unwrap();
    assert_eq!(none["spec"]["storageClassName"], "");
    let ingress = cluster.create("networking.k8s.io:ingresses", object("i", json!({}))).await.unwrap();
    assert_eq!(ingress["spec"]["ingressClassName"], "new");
}

#[tokio::test(start_paused = true)]
async fn a_new_node_is_tainted() {
    let cluster = Cluster::new().await;
    let node = cluster.create("nodes", json!({"metadata": {"name": "n"}})).await.unwrap();
    assert_eq!(node["spec"]["taints"], json!([{"effect": "NoSchedule", "key": "node.kubernetes.io/not-ready"}]));
}

pub(super) fn service(name: &str, spec: Value) -> Value {
    object(name, spec)
}

#[tokio::test(start_paused = true)]
async fn services_get_addresses_and_ports() {
    let cluster = Cluster::new().await;
    let admitted = cluster.create("services", service("s", json!({"ports": [{"port": 80}], "type": "NodePort"}))).await.unwrap();
    let spec = &admitted["spec"];
    let ip = spec["clusterIP"].as_str().unwrap();
    assert!(ip.starts_with("10.96.0."), "{ip}");
    assert_eq!(
        (&spec["clusterIPs"], &spec["ipFamilies"], &spec["ipFamilyPolicy"]),
        (&json!([ip]), &json!(["IPv4"]), &json!("SingleStack"))
    );
    let port = spec["ports"][0]["nodePort"].as_i64().unwrap();
    assert!((30000..=32767).contains(&port));
    let taken = |spec: Value| cluster.create("services", service("t", spec));
    let refused = taken(json!({"clusterIP": ip, "ports": [{"port": 80}]})).await.unwrap_err();
    assert_eq!(
        refused,
        format!(
            "Service \"t\" is invalid: spec.clusterIPs: Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: provided IP is already allocated"
        )
    );
    let refused = taken(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]})).await.unwrap_err();
    assert_eq!(
        refused,
        format!("Service \"t\" is invalid: spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated")
    );
    cluster.store("services/specs/a/s", admitted.clone()).await;
    assert!(taken(json!({"clusterIP": ip, "ports": [{"port": 80}]})).await.is_err());
    cluster.remove("services/specs/a/s").await;
    assert_eq!(taken(json!({"clusterIP": ip, "ports": [{"port": 80}]})).await.unwrap()["spec"]["clusterIP"], ip);
}

#[tokio::test(start_paused = true)]
async fn wrong_addresses_and_ports_are_told() {
    let cluster = Cluster::new().await;
    let refused = async |spec: Value| cluster.create("services", service("s", spec)).await.unwrap_err();
    expect![[r#"Service "s" is invalid: spec.clusterIPs: Invalid value: ["10.0.0.1"]: failed to allocate IP 10.0.0.1: the provided IP (10.0.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/24"#]]
        .assert_eq(&refused(json!({"clusterIP": "10.0.0.1"})).await);
    expect![[r#"Service "s" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"#]]
        .assert_eq(&refused(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]})).await);
    expect![[r#"Service "s" is invalid: spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#]]
        .assert_eq(&refused(json!({"ipFamilyPolicy": "RequireDualStack"})).await);
    expect![[r#"Service "s" is invalid: spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster"#]]
        .assert_eq(&refused(json!({"ipFamilies": ["IPv6"]})).await);
}

#[tokio::test(start_paused = true)]
async fn headless_external_and_dry_run_take_nothing() {
    let cluster = Cluster::new().await;
    let spec =
        cluster.create("services", service("h", json!({"clusterIP": "None", "selector": {"a": "b"}}))).await.unwrap()["spec"].clone();
    assert_eq!((&spec["clusterIPs"], &spec["ipFamilies"]), (&json!(["None"]), &json!(["IPv4"])));
    let spec = cluster.create("services", service("h", json!({"clusterIP": "None"}))).await.unwrap()["spec"].clone();
    assert_eq!((&spec["ipFamilies"], &spec["ipFamilyPolicy"]), (&json!(["IPv4", "IPv6"]), &json!("RequireDualStack")));
    let spec =
        cluster.create("services", service("e", json!({"type": "ExternalName", "externalName": "x"}))).await.unwrap()["spec"].clone();
    assert_eq!((&spec["clusterIP"], &spec["ipFamilies"]), (&Value::Null, &Value::Null));
    let dry = Cluster { dry_run: true, ..cluster };
    let spec = dry.create("services", service("d", json!({"clusterIP": "10.96.0.7"}))).await.unwrap()["spec"].clone();
    assert_eq!(spec["clusterIP"], "10.96.0.7");
    let real = Cluster { dry_run: false, ..dry };
    assert!(real.create("services", service("r", json!({"clusterIP": "10.96.0.7"}))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn updates_keep_what_a_service_has() {
    let cluster = Cluster::new().await;
    let old = cluster.create("services", service("s", json!({"ports": [{"port": 80, "name": "x"}], "type": "NodePort"}))).await.unwrap();
    cluster.store("services/specs/a/s", old.clone()).await;
    let (ip, port) = (old["spec"]["clusterIP"].clone(), old["spec"]["ports"][0]["nodePort"].clone());
    let new = service("s", json!({"ports": [{"port": 81, "name": "x"}, {"port": 82, "name": "y"}], "type": "NodePort"}));
    let spec = cluster.update("services", old.clone(), new).await.unwrap()["spec"].clone();
    assert_eq!((&spec["clusterIP"], &spec["ports"][0]["nodePort"]), (&ip, &port));
    assert_ne!(spec["ports"][1]["nodePort"], port);
    let plain = service("s", json!({"ports": [{"port": 80, "name": "x"}], "type": "ClusterIP"}));
    let spec = cluster.update("services", old, plain).await.unwrap()["spec"].clone();
    assert_eq!((&spec["clusterIP"], &spec["ports"][0]["nodePort"]), (&ip, &Value::Null));
    let external = service("s", json!({"type": "ExternalName", "externalName": "x"}));
    let grown = service("s", json!({"type": "ClusterIP", "ports": [{"port": 80}]}));
    assert!(cluster.update("services", external, grown).await.unwrap()["spec"]["clusterIP"].is_string());
}

#[tokio::test(start_paused = true)]
async fn pod_security_refuses_warns_and_tells_about_what_is_there() {
    let cluster = Cluster::new().await;
    let namespace = |level: &str| json!({"metadata": {"name": "a", "labels": {"pod-security.kubernetes.io/enforce": level, "pod-security.kubernetes.io/warn": "restricted"}}});
    cluster.store("namespaces/a", namespace("baseline")).await;
    let refused = cluster.create("pods", pod("p", json!({"hostNetwork": true}))).await.unwrap_err();
    assert_eq!(refused, "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)");
    assert!(cluster.create("pods", pod("p", json!({}))).await.is_ok());
    assert!(
        cluster.warnings.take()[0]
            .starts_with("would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"c\"")
    );
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = object("d", json!({"selector": {"matchLabels": {"a": "b"}}, "template": template}));
    assert!(cluster.create("apps:deployments", deployment).await.is_ok());
    assert_eq!(cluster.warnings.take().len(), 1);
    cluster.store("pods/a/q", pod("q", json!({"hostPID": true}))).await;
    let privileged = namespace("privileged");
    cluster.update("namespaces", privileged.clone(), namespace("baseline")).await.unwrap();
    expect![[r#"
        [
            "existing pods in namespace \"a\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "q: host namespaces",
        ]
    "#]]
    .assert_debug_eq(&cluster.warnings.take());
    let wrong = cluster.update("namespaces", privileged, namespace("strict")).await.unwrap_err();
    assert_eq!(
        wrong,
        "Namespace \"a\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted"
    );
}

#[tokio::test(start_paused = true)]
async fn limit_ranges_fill_in_and_bound() {
    let cluster = Cluster::new().await;
    let limits = json!([{"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}, "min": {"cpu": "50m"},
        "maxLimitRequestRatio": {"cpu": "5"}}, {"type": "Pod", "max": {"cpu": "1"}}, {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]);
    cluster.store("limitranges/a/l", json!({"metadata": {"name": "l", "namespace": "a"}, "spec": {"limits": limits}})).await;
    let admitted = cluster.create("pods", pod("p", json!({}))).await.unwrap();
    assert_eq!(admitted["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}));
    assert_eq!(
        admitted["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    let asking = |requests: Value, limits: Value| {
        pod("p", json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": requests, "limits": limits}}]}))
    };
    let refused = async |requests: Value, limits: Value| cluster.create("pods", asking(requests, limits)).await.unwrap_err();
    assert_eq!(
        refused(json!({"cpu": "600m"}), json!({"cpu": "2"})).await,
        "pods \"p\" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is 1, but limit is 2]"
    );
    assert_eq!(
        refused(json!({"cpu": "10m"}), json!({"cpu": "20m"})).await,
        "pods \"p\" is forbidden: minimum cpu usage per Container is 50m, but request is 10m"
    );
    assert_eq!(
        refused(json!({"cpu": "100m"}), json!({"cpu": "1"})).await,
        "pods \"p\" is forbidden: cpu max limit to request ratio per Container is 5, but provided ratio is 10.000000"
    );
    let claim = object("c", json!({"resources": {"requests": {"storage": "2Gi"}}}));
    let refused = cluster.create("persistentvolumeclaims", claim).await.unwrap_err();
    assert_eq!(
        refused,
        "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    );
}

#[tokio::test(start_paused = true)]
async fn runtime_classes_give_overhead_and_selection() {
    let cluster = Cluster::new().await;
    let refused = cluster.create("pods", pod("p", json!({"runtimeClassName": "kata"}))).await.unwrap_err();
    assert_eq!(refused, "pods \"p\" is forbidden: pod rejected: RuntimeClass \"kata\" not found");
    let class = json!({"metadata": {"name": "kata"}, "handler": "kata", "overhead": {"podFixed": {"cpu": "100m"}},
        "scheduling": {"nodeSelector": {"kata": "yes"}, "tolerations": [{"key": "kata", "operator": "Exists"}]}});
    cluster.store("runtimeclasses/kata", class).await;
    let spec = cluster.create("pods", pod("p", json!({"runtimeClassName": "kata"}))).await.unwrap()["spec"].clone();
    assert_eq!((&spec["overhead"], &spec["nodeSelector"]), (&json!({"cpu": "100m"}), &json!({"kata": "yes"})));
    assert!(spec["tolerations"].as_array().unwrap().contains(&json!({"key": "kata", "operator": "Exists"})));
    let conflict = pod("p", json!({"runtimeClassName": "kata", "nodeSelector": {"kata": "no"}}));
    let refused = cluster.create("pods", conflict).await.unwrap_err();
    assert!(refused.ends_with("conflict: runtimeClass.scheduling.nodeSelector[kata] = yes; pod.spec.nodeSelector[kata] = no"), "{refused}");
    let refused = cluster.create("pods", pod("p", json!({"overhead": {"cpu": "1"}}))).await.unwrap_err();
    assert!(refused.ends_with("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn claims_grow_only_where_their_class_allows_it() {
    let cluster = Cluster::new().await;
    let claim = |size: &str, phase: &str| {
        let mut claim = object("c", json!({"storageClassName": "s", "resources": {"requests": {"storage": size}}}));
        claim["status"] = json!({"phase": phase});
        claim
    };
    let grow = async |phase: &str| cluster.update("persistentvolumeclaims", claim("1Gi", phase), claim("2Gi", phase)).await;
    assert!(grow("Pending").await.unwrap_err().ends_with("Only bound persistent volume claims can be expanded"));
    assert!(grow("Bound").await.unwrap_err().contains("the storageclass that provisions the pvc must support resize"));
    cluster.store("storageclasses/s", json!({"metadata": {"name": "s"}, "provisioner": "p", "allowVolumeExpansion": true})).await;
    assert!(grow("Bound").await.is_ok());
}
