//! What holds for every controller.
use crate::driver::caches::Caches;
use crate::world::World;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Files that may know about tokio, the network and the clock: the driver, and those that look beyond the caches.
const IMPURE: [&str; 6] =
    ["driver", "start.rs", "cleanup/garbage/mod.rs", "cleanup/namespace/mod.rs", "accounts/certificates.rs", "tests.rs"];

#[test]
fn deciding_modules_are_pure() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![root.clone()];
    while let Some(path) = files.pop() {
        let short = path.strip_prefix(&root).unwrap().to_string_lossy().to_string();
        if IMPURE.contains(&short.as_str()) {
            continue;
        }
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in code.enumerate() {
            for word in
                ["tokio", "async ", "std::fs", "std::net::Tcp", "Timestamp::now", "SystemTime", "Instant::now", "fastrand", "Client,"]
            {
                assert!(!line.contains(word), "{short}:{number} uses {word}: {line}");
            }
        }
    }
}

#[test]
fn names_are_unique_and_every_controller_reads_something() {
    let mut names = BTreeSet::new();
    for controller in crate::all() {
        assert!(names.insert(controller.name), "{} is there twice", controller.name);
        let mut caches = Caches::default();
        let sources = (controller.reads)();
        assert!(!sources.is_empty() && controller.workers > 0, "{}", controller.name);
        sources.iter().for_each(|source| source.open(&mut caches, None));
    }
}

/// A small cluster with something for everybody.
fn cluster(world: &mut World) {
    world.settings.root_ca = "PEM".into();
    world.settings.cluster_cidrs = vec!["10.42.0.0/16".into()];
    let container = json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}]);
    let template = |app: &str| json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": container}});
    let meta = |name: &str| json!({"name": name, "namespace": "x", "generation": 1});
    let selector = |app: &str| json!({"matchLabels": {"app": app}});
    let objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}},
               "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta("q"), "spec": {"hard": {"pods": "100"}}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("d"),
               "spec": {"replicas": 3, "selector": selector("d"), "template": template("d"),
                        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}}),
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta("ds"),
               "spec": {"selector": selector("ds"), "template": template("ds"), "updateStrategy": {"type": "RollingUpdate"}}}),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta("s"),
               "spec": {"replicas": 2, "serviceName": "s", "selector": selector("s"), "template": template("s"),
                        "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {}}]}}),
        json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": meta("rc"),
               "spec": {"replicas": 2, "selector": {"app": "rc"}, "template": template("rc")}}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("j"),
               "spec": {"parallelism": 2, "completions": 2, "selector": selector("j"), "template": template("j")}}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta("c"),
               "spec": {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": template("c")}}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("svc"),
               "spec": {"selector": {"app": "d"}, "clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}]}}),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta("b"),
               "spec": {"maxUnavailable": 1, "selector": selector("d")}}),
    ];
    objects.into_iter().for_each(|object| world.put(object));
}

/// Pods start, and those of the Job end.
fn kubelet(world: &mut World) {
    for (number, pod) in world.all("v1", "Pod").into_iter().enumerate() {
        let name = pod["metadata"]["name"].as_str().unwrap().to_string();
        let status = if name.starts_with("j-") {
            json!({"phase": "Succeeded"})
        } else {
            let ip = format!("10.42.0.{number}");
            json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": "True"}]})
        };
        world.change("v1", "Pod", "x", &name, |pod| {
            pod["spec"]["nodeName"] = "n".into();
            pod["status"] = status;
        });
    }
}

fn state(world: &World) -> Value {
    let counts = |version: &str, kind: &str| world.all(version, kind).len();
    let status = |version: &str, kind: &str, name: &str, key: &str| world.get(version, kind, "x", name)["status"][key].clone();
    json!({
        "pods": counts("v1", "Pod"), "sets": counts("apps/v1", "ReplicaSet"), "slices": counts("discovery.k8s.io/v1", "EndpointSlice"),
        "claims": counts("v1", "PersistentVolumeClaim"), "accounts": counts("v1", "ServiceAccount"),
        "deployment": status("apps/v1", "Deployment", "d", "availableReplicas"),
        "daemon": status("apps/v1", "DaemonSet", "ds", "numberAvailable"),
        "stateful": status("apps/v1", "StatefulSet", "s", "readyReplicas"),
        "job": status("batch/v1", "Job", "j", "succeeded"),
        "used": status("v1", "ResourceQuota", "q", "used"),
        "allowed": status("policy/v1", "PodDisruptionBudget", "b", "disruptionsAllowed"),
    })
}

const WHERE_IT_ENDS: &str = r#"{"accounts":1,"allowed":1,"claims":2,"daemon":1,"deployment":3,"job":2,"pods":10,"sets":1,"slices":1,"stateful":2,"used":{"pods":"8"}}"#;

#[test]
fn all_controllers_together_come_to_rest() {
    let mut world = World::new(&crate::all());
    cluster(&mut world);
    for _ in 0..5 {
        world.settle();
        kubelet(&mut world);
    }
    world.fixpoint();
    assert_eq!(state(&world).to_string(), WHERE_IT_ENDS);
}

/// Each write may be the last one before a crash: whoever starts again from what is stored ends in the same place.
#[test]
fn a_crash_after_any_write_changes_nothing_in_the_end() {
    for crash_after in (0..60).step_by(7) {
        let mut world = World::new(&crate::all());
        cluster(&mut world);
        world.crash_after(crash_after);
        for _ in 0..6 {
            world.settle();
            world.restart();
            world.settle();
            kubelet(&mut world);
        }
        world.fixpoint();
        assert_eq!(state(&world).to_string(), WHERE_IT_ENDS, "after a crash at write {crash_after}");
    }
}
