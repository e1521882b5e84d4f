use super::*;
use expect_test::expect;
use serde_json::{Value, json};

fn told(level: Level, version: Option<u32>, pod: Value) -> String {
    let meta: ObjectMeta = serde_json::from_value(pod["metadata"].clone()).unwrap_or_default();
    let spec: PodSpec = serde_json::from_value(pod["spec"].clone()).unwrap();
    evaluate(LevelVersion { level, version }, &meta, &spec).detail()
}

fn container(security: Value) -> Value {
    json!({"name": "c", "image": "i", "securityContext": security})
}

#[test]
fn a_bare_pod_is_baseline_and_far_from_restricted() {
    let pod = json!({"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}});
    assert_eq!(told(Level::Privileged, None, pod.clone()), "");
    assert_eq!(told(Level::Baseline, None, pod.clone()), "");
    expect![[r#"allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "a", "b" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#]]
        .assert_eq(&told(Level::Restricted, None, pod.clone()));
    expect![[r#"allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true)"#]]
        .assert_eq(&told(Level::Restricted, Some(18), pod));
}

#[test]
fn a_hardened_pod_is_restricted() {
    let security = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}});
    let pod = json!({"spec": {"containers": [container(security)], "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}}});
    assert_eq!(told(Level::Restricted, None, pod), "");
}

#[test]
fn every_baseline_check_tells_its_finding() {
    let pod = json!({
        "metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}},
        "spec": {
            "hostNetwork": true, "hostIPC": true,
            "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
            "securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}], "seccompProfile": {"type": "Unconfined"},
                "appArmorProfile": {"type": "Unconfined"}, "windowsOptions": {"hostProcess": true}},
            "initContainers": [{"name": "i", "image": "i", "ports": [{"containerPort": 1, "hostPort": 80}]}],
            "containers": [{"name": "c", "image": "i", "livenessProbe": {"httpGet": {"port": 1, "host": "h"}}, "securityContext": {
                "privileged": true, "procMount": "Unmasked", "capabilities": {"add": ["SYS_ADMIN", "CHOWN"]},
                "seLinuxOptions": {"type": "x", "user": "u", "role": "r"}}}],
        },
    });
    expect![[r#"
        forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to "Unconfined", "container.apparmor.security.beta.kubernetes.io/c="unconfined"")
        non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add)
        host namespaces (hostNetwork=true, hostIPC=true)
        hostPath volumes (volume "v")
        hostPort (container "i" uses hostPort 80)
        probe or lifecycle host (container "c" uses probe or lifecycle host "h")
        privileged (container "c" must not set securityContext.privileged=true)
        procMount (container "c" must not set securityContext.procMount to "Unmasked")
        seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "x"; user may not be set; role may not be set)
        seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")
        forbidden sysctls (kernel.msgmax)
        hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"#]]
    .assert_eq(&told(Level::Baseline, None, pod).replace("), ", ")\n"));
}

#[test]
fn restricted_checks_take_the_place_of_their_baseline_ones() {
    let security = json!({"allowPrivilegeEscalation": true, "runAsUser": 0, "runAsNonRoot": false, "capabilities": {"add": ["SYS_ADMIN"]},
        "seccompProfile": {"type": "Unconfined"}});
    let pod = json!({"spec": {"containers": [container(security)], "volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "n", "nfs": {"path": "/", "server": "s"}}]}});
    expect![[r#"
        allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)
        unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add)
        restricted volume types (volumes "v", "n" use restricted volume types "hostPath", "nfs")
        runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)
        runAsUser=0 (container "c" must not set runAsUser=0)
        seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")"#]]
    .assert_eq(&told(Level::Restricted, None, pod).replace("), ", ")\n"));
}

#[test]
fn versions_and_user_namespaces_matter() {
    let sysctl = |name: &str| json!({"spec": {"containers": [], "securityContext": {"sysctls": [{"name": name, "value": "1"}]}}});
    assert_eq!(told(Level::Baseline, Some(28), sysctl("net.ipv4.tcp_fin_timeout")), "forbidden sysctls (net.ipv4.tcp_fin_timeout)");
    assert_eq!(told(Level::Baseline, Some(29), sysctl("net.ipv4.tcp_fin_timeout")), "");
    assert_eq!(told(Level::Baseline, Some(99), sysctl("net.ipv4.tcp_notsent_lowat")), "");
    let unmasked = json!({"spec": {"hostUsers": false, "containers": [container(json!({"procMount": "Unmasked"}))]}});
    assert_eq!(told(Level::Baseline, None, unmasked.clone()), "");
    assert!(told(Level::Baseline, Some(34), unmasked.clone()).starts_with("procMount"));
    assert!(told(Level::Restricted, None, unmasked).contains("procMount"));
}
