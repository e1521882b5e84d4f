use super::container::{Inputs, config};
use super::dns::{self, Resolver};
use super::env::{self, Objects};
use super::fields::Facts;
use super::resources::{self, Qos};
use super::{labels, sandbox, security};
use crate::testing::pod;
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

fn facts() -> Facts {
    let allocatable = serde_json::from_value(json!({"cpu": "4", "memory": "8Gi"})).unwrap();
    Facts { host_ips: vec!["10.0.0.1".into()], pod_ips: vec!["10.1.0.2".into()], allocatable }
}

fn check_env(container: Value, expected: Expect) {
    let pod = pod(json!({"nodeName": "n", "enableServiceLinks": true, "containers": [container]}));
    let object = |value: Value| Arc::new(serde_json::from_value(value).unwrap());
    let mut objects = Objects::default();
    objects.config_maps.insert("cm".into(), Arc::new(serde_json::from_value(json!({"data": {"k": "v"}})).unwrap()));
    objects.secrets.insert("sec".into(), Arc::new(serde_json::from_value(json!({"data": {"p": "cHc="}})).unwrap()));
    objects.services.push(object(json!({
        "metadata": {"name": "my-db", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.5", "ports": [{"name": "sql", "port": 5432}]},
    })));
    objects.services.push(object(json!({"metadata": {"name": "no", "namespace": "default"}, "spec": {"clusterIP": "None"}})));
    let mut text = String::new();
    match env::env(&pod, &pod.spec.as_ref().unwrap().containers[0], &facts(), &objects) {
        Ok(list) => list
            .iter()
            .filter(|(name, _)| !name.starts_with("MY_DB_PORT_"))
            .for_each(|(name, value)| writeln!(text, "{name}={value}").unwrap()),
        Err(error) => text = error,
    }
    expected.assert_eq(&text);
}

#[test]
fn an_environment_comes_from_everywhere() {
    let env = json!([
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)-$(k)-$(MY_DB_SERVICE_HOST)-$(NONE)"},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "none", "optional": true}}},
        {"name": "D", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "p"}}},
        {"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "F", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "G", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
    ]);
    let from = json!([{"configMapRef": {"name": "cm"}}, {"prefix": "S_", "secretRef": {"name": "sec"}}]);
    let resources = json!({"requests": {"memory": "1500Ki"}});
    check_env(
        json!({"name": "a", "env": env, "envFrom": from, "resources": resources}),
        expect![[r#"
            MY_DB_SERVICE_HOST=10.96.0.5
            MY_DB_SERVICE_PORT=5432
            MY_DB_SERVICE_PORT_SQL=5432
            MY_DB_PORT=tcp://10.96.0.5:5432
            k=v
            S_p=pw
            A=1
            B=1-v-10.96.0.5-$(NONE)
            D=pw
            E=10.1.0.2
            F=4
            G=2
        "#]],
    );
}

#[test]
fn what_is_missing_is_named() {
    let one = |source: Value| json!({"name": "a", "env": [{"name": "X", "valueFrom": source}]});
    check_env(one(json!({"configMapKeyRef": {"name": "cm", "key": "none"}})), expect!["couldn't find key none in ConfigMap default/cm"]);
    check_env(one(json!({"configMapKeyRef": {"name": "gone", "key": "k"}})), expect![[r#"configmap "gone" not found"#]]);
    check_env(one(json!({"secretKeyRef": {"name": "gone", "key": "k"}})), expect![[r#"secret "gone" not found"#]]);
    check_env(json!({"name": "a", "envFrom": [{"secretRef": {"name": "gone"}}]}), expect![[r#"secret "gone" not found"#]]);
}

fn check_dns(spec: Value, expected: Expect) {
    let host = Resolver::parse("nameserver 9.9.9.9\nsearch corp.example\noptions timeout:1 ndots:2\n");
    let dns = dns::config(&pod(spec), &host, &["10.96.0.10".into()], "cluster.local");
    expected.assert_eq(&format!("{} | {} | {}", dns.servers.join(" "), dns.searches.join(" "), dns.options.join(" ")));
}

#[test]
fn resolv_conf_follows_the_policy() {
    check_dns(
        json!({}),
        expect!["10.96.0.10 | default.svc.cluster.local svc.cluster.local cluster.local corp.example | ndots:5 timeout:1"],
    );
    check_dns(json!({"hostNetwork": true}), expect!["9.9.9.9 | corp.example | timeout:1 ndots:2"]);
    check_dns(
        json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
        expect!["10.96.0.10 | default.svc.cluster.local svc.cluster.local cluster.local corp.example | ndots:5 timeout:1"],
    );
    let own = json!({"nameservers": ["1.1.1.1"], "searches": ["x.y"], "options": [{"name": "ndots", "value": "1"}, {"name": "edns0"}]});
    check_dns(json!({"dnsPolicy": "None", "dnsConfig": own}), expect!["1.1.1.1 | x.y | ndots:1 edns0"]);
    check_dns(json!({"dnsPolicy": "Default", "dnsConfig": own}), expect!["9.9.9.9 1.1.1.1 | corp.example x.y | timeout:1 ndots:1 edns0"]);
}

#[test]
fn hosts_and_names() {
    let pod = pod(
        json!({"hostname": "web", "subdomain": "sub", "setHostnameAsFQDN": true, "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}),
    );
    assert_eq!(dns::node_name(&pod, "cluster.local").unwrap(), "web.sub.default.svc.cluster.local");
    let (hostname, domain) = dns::names(&pod, "cluster.local").unwrap();
    expect![[r#"
        # Kubernetes-managed hosts file.
        127.0.0.1	localhost
        ::1	localhost ip6-localhost ip6-loopback
        fe00::	ip6-localnet
        fe00::	ip6-mcastprefix
        fe00::1	ip6-allnodes
        fe00::2	ip6-allrouters
        10.1.0.2	web.sub.default.svc.cluster.local	web

        # Entries added by HostAliases.
        1.2.3.4	a	b
    "#]]
    .assert_eq(&dns::hosts(&pod, &["10.1.0.2".into()], &hostname, &domain, None));
}

fn check_security(spec: Value, container: Value, uid: Option<i64>, expected: Expect) {
    let mut spec = spec;
    spec["containers"] = json!([container]);
    let pod = pod(spec);
    let image = security::ImageUser { uid, name: if uid.is_none() { "www".into() } else { String::new() } };
    let text = match security::context(&pod, &pod.spec.as_ref().unwrap().containers[0], &image, None, "/seccomp") {
        Err(error) => error,
        Ok(context) => {
            let seccomp = context.seccomp.unwrap_or_default();
            let namespaces = context.namespace_options.unwrap_or_default();
            format!(
                "user {:?} {:?} group {:?} groups {:?} nnp {} ro {} masked {} seccomp {} {} ns {}/{}/{}",
                context.run_as_user.map(|user| user.value),
                context.run_as_username,
                context.run_as_group.map(|group| group.value),
                context.supplemental_groups,
                context.no_new_privs,
                context.readonly_rootfs,
                context.masked_paths.len(),
                seccomp.profile_type,
                seccomp.localhost_ref,
                namespaces.network,
                namespaces.pid,
                namespaces.ipc,
            )
        }
    };
    expected.assert_eq(&text);
}

#[test]
fn security_comes_from_pod_and_container() {
    check_security(
        json!({}),
        json!({"name": "a"}),
        Some(0),
        expect![[r#"user Some(0) "" group None groups [] nnp false ro false masked 12 seccomp 1  ns 0/1/0"#]],
    );
    let shared = json!({"runAsUser": 1000, "fsGroup": 2000, "supplementalGroups": [3000], "seccompProfile": {"type": "RuntimeDefault"}});
    let own = json!({"runAsUser": 1001, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "procMount": "Unmasked", "seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"}});
    let spec = json!({"securityContext": shared, "shareProcessNamespace": true, "hostNetwork": true});
    check_security(
        spec.clone(),
        json!({"name": "a"}),
        Some(0),
        expect![[r#"user Some(1000) "" group None groups [2000, 3000] nnp false ro false masked 12 seccomp 0  ns 2/0/0"#]],
    );
    check_security(
        spec,
        json!({"name": "a", "securityContext": own}),
        Some(0),
        expect![[r#"user Some(1001) "" group None groups [2000, 3000] nnp true ro true masked 0 seccomp 2 /seccomp/p.json ns 2/0/0"#]],
    );
    let strict = json!({"securityContext": {"runAsNonRoot": true}});
    check_security(
        strict.clone(),
        json!({"name": "a"}),
        Some(0),
        expect![[r#"container has runAsNonRoot and image will run as root (pod: "p_default(u)", container: a)"#]],
    );
    check_security(
        strict.clone(),
        json!({"name": "a"}),
        None,
        expect![[
            r#"container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root (pod: "p_default(u)", container: a)"#
        ]],
    );
    check_security(
        strict,
        json!({"name": "a", "securityContext": {"runAsUser": 0}}),
        Some(5),
        expect![[r#"container's runAsUser breaks non-root policy (pod: "p_default(u)", container: a)"#]],
    );
}

#[test]
fn resources_become_cgroup_settings() {
    let check = |containers: Value| {
        let pod = pod(json!({"containers": containers}));
        let first = &pod.spec.as_ref().unwrap().containers[0];
        let (own, whole) = (resources::of_container(first), resources::of_pod(&pod));
        let score = resources::oom_score(&pod, first, 8 << 30);
        let show = |set: crate::pod::observed::Resources| format!("{} {} {}", set.cpu_shares, set.cpu_quota, set.memory_limit_bytes);
        format!("{} | {} | {} | {score}", resources::qos(&pod).shown(), show(own), show(whole))
    };
    let with = |requests: Value, limits: Value| json!({"name": "a", "resources": {"requests": requests, "limits": limits}});
    let (none, some) = (json!({}), json!({"cpu": "500m", "memory": "1Gi"}));
    assert_eq!(check(json!([with(none.clone(), none.clone())])), "BestEffort | 2 0 0 | 2 0 0 | 1000");
    assert_eq!(check(json!([with(some.clone(), some.clone())])), "Guaranteed | 512 50000 1073741824 | 512 50000 1073741824 | -997");
    assert_eq!(check(json!([with(some.clone(), none.clone()), with(none.clone(), some.clone())])), "Burstable | 512 0 0 | 512 0 0 | 875");
    assert_eq!(resources::qos(&pod(json!({}))), Qos::BestEffort);
    assert_eq!((resources::weight(2), resources::weight(1024), resources::weight(262_144)), (1, 39, 10000));
}

#[test]
fn a_container_in_the_runtimes_words() {
    let container = json!({"name": "a", "image": "busybox", "command": ["sh", "-c", "echo $(X)"], "stdin": true, "lifecycle": {"stopSignal": "SIGUSR1"}});
    let pod = pod(json!({"containers": [container]}));
    let inputs = Inputs {
        restart_count: 2,
        image_ref: "sha256:1".into(),
        image_user: security::ImageUser { uid: Some(0), name: String::new() },
        env: vec![("X".into(), "y".into())],
        mounts: Vec::new(),
        target: None,
        seccomp_root: "/s".into(),
        memory_capacity: 1,
        cgroup_v2: false,
    };
    let made = config(&pod, &pod.spec.as_ref().unwrap().containers[0], inputs).unwrap();
    assert_eq!((made.command.join(" ").as_str(), made.log_path.as_str(), made.stdin), ("sh -c echo y", "a/2.log", true));
    assert_eq!(made.annotations[labels::RESTART_COUNT], "2");
    assert_eq!(super::container::signal_name(made.stop_signal).as_deref(), Some("SIGUSR1"));
    let sandbox = sandbox::config(&pod, 1, "p", Default::default(), "/logs", "/kubepods/besteffort/podu");
    assert_eq!((sandbox.log_directory.as_str(), sandbox.hostname.as_str()), ("/logs/default_p_u", "p"));
}

#[test]
fn a_pod_is_remembered_by_its_containers() {
    let hook = json!({"preStop": {"sleep": {"seconds": 3}}});
    let pod = pod(json!({"terminationGracePeriodSeconds": 7, "containers": [{"name": "a", "image": "x", "lifecycle": hook}]}));
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let labels = labels::container_labels(&pod, container).into_iter().collect();
    let annotations = labels::container_annotations(&pod, container, 0).into_iter().collect();
    let again = labels::remembered_pod(&labels, [("a", &annotations)].into_iter());
    assert_eq!(again.metadata.uid.as_deref(), Some("u"));
    assert_eq!(again.spec.as_ref().unwrap().termination_grace_period_seconds, Some(7));
    assert_eq!(again.spec.unwrap().containers[0].lifecycle, container.lifecycle);
}
