//! What holds containers in.
use super::world::World;
use cri::v1::*;

fn security(config: &mut ContainerConfig) -> &mut LinuxContainerSecurityContext {
    config.linux.as_mut().unwrap().security_context.as_mut().unwrap()
}

fn said(log: &[String]) -> Vec<&str> {
    log.iter().filter_map(|line| line.strip_prefix("stdout F ")).collect()
}

pub async fn users_and_groups() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let (log, status) = world
        .say(&sandbox, "id -u; id -g; id -G; grep CapEff /proc/self/status; echo $HOME", |config| {
            security(config).run_as_user = Some(Int64Value { value: 1000 });
            security(config).supplemental_groups = vec![77];
        })
        .await;
    assert_eq!(said(&log), ["1000", "1001", "1001 50 77", "CapEff:\t0000000000000000", "/home/ann"]);
    let user = status.user.unwrap().linux.unwrap();
    assert_eq!((user.uid, user.gid, user.supplemental_groups), (1000, 1001, vec![50, 77, 1001]));
    let (log, _) = world
        .say(&sandbox, "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status", |config| {
            security(config).capabilities = Some(Capability {
                add_capabilities: vec!["NET_ADMIN".into()],
                drop_capabilities: vec!["ALL".into()],
                ..Default::default()
            });
            security(config).no_new_privs = true;
        })
        .await;
    assert_eq!(said(&log), ["CapEff:\t0000000000001000", "CapBnd:\t0000000000001000", "NoNewPrivs:\t1"]);
    world.close().await;
}

pub async fn limits_are_kept() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let resources = LinuxContainerResources {
        cpu_shares: 512,
        cpu_period: 100_000,
        cpu_quota: 50_000,
        memory_limit_in_bytes: 64 << 20,
        ..Default::default()
    };
    let id = world.start_with(&sandbox, "sleep 1000", |config| config.linux.as_mut().unwrap().resources = Some(resources)).await.unwrap();
    let limit = async || {
        let text = world.exec(&id, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null").await.stdout;
        String::from_utf8(text).unwrap().trim().to_owned()
    };
    assert_eq!(limit().await, (64 << 20).to_string());
    let linux = Some(LinuxContainerResources { memory_limit_in_bytes: 96 << 20, ..Default::default() });
    let request = UpdateContainerResourcesRequest { container_id: id.clone(), linux, ..Default::default() };
    cri::Runtime::update_container_resources(&*world.runtime, request).await.unwrap();
    assert_eq!(limit().await, (96 << 20).to_string());
    let known = world.status(&id).await.resources.unwrap().linux.unwrap();
    assert_eq!((known.memory_limit_in_bytes, known.cpu_shares), (96 << 20, 512));
    world.close().await;
}

pub async fn memory_is_limited() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let resources = LinuxContainerResources { memory_limit_in_bytes: 16 << 20, ..Default::default() };
    let (_, status) = world.say(&sandbox, "exec tail /dev/zero", |config| config.linux.as_mut().unwrap().resources = Some(resources)).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
    world.close().await;
}

pub async fn the_file_system_is_its_own() {
    let world = World::open().await;
    let sandbox = world
        .sandbox_with(|config| {
            config.dns_config =
                Some(DnsConfig { servers: vec!["10.0.0.10".into()], searches: vec!["a.b".into()], options: vec!["ndots:5".into()] });
        })
        .await;
    let script = "touch /x 2>/dev/null || echo read-only; cat /etc/hostname /etc/resolv.conf; ls /proc/1/root/; cat /proc/kcore | wc -c; \
        touch /proc/sys/kernel/x 2>/dev/null || echo protected; stat -c %a /dev/shm; touch /sys/x 2>/dev/null || echo sys; ls /secret | wc -l";
    let (log, _) = world
        .say(&sandbox, script, |config| {
            security(config).readonly_rootfs = true;
            security(config).masked_paths = vec!["/proc/kcore".into(), "/secret".into(), "/proc/acpi".into()];
            security(config).readonly_paths = vec!["/proc/sys".into()];
        })
        .await;
    let expected = ["read-only", "pod", "search a.b", "nameserver 10.0.0.10", "options ndots:5"];
    assert_eq!(said(&log)[..5], expected);
    assert_eq!(said(&log)[said(&log).len() - 5..], ["0", "protected", "1777", "sys", "0"]);
    // Devices: the basic ones work, others do not open, whoever makes them.
    let script = "echo x > /dev/null && head -c 3 /dev/zero | wc -c; mknod /tmp/vda b 254 0; cat /tmp/vda >/dev/null 2>&1 || echo refused; \
        mknod /dev/vda b 254 0; cat /dev/vda >/dev/null 2>&1 || echo refused";
    let (log, _) = world.say(&sandbox, script, |_| {}).await;
    assert_eq!(said(&log), ["3", "refused", "refused"]);
    world.close().await;
}

pub async fn system_calls_are_filtered() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let with = |kind: security_profile::ProfileType, path: String| Some(SecurityProfile { profile_type: kind as i32, localhost_ref: path });
    let script = "grep Seccomp: /proc/self/status; unshare -U true 2>/dev/null || echo refused";
    let (log, _) = world
        .say(&sandbox, script, |config| security(config).seccomp = with(security_profile::ProfileType::RuntimeDefault, String::new()))
        .await;
    assert_eq!(said(&log), ["Seccomp:\t2", "refused"]);
    let profile = world.folder.path().join("profile.json");
    std::fs::write(
        &profile,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#,
    )
    .unwrap();
    let local = with(security_profile::ProfileType::Localhost, profile.display().to_string());
    let (log, _) =
        world.say(&sandbox, "mkdir /tmp/x 2>&1", |config| (security(config).seccomp, security(config).no_new_privs) = (local, true)).await;
    assert_eq!(said(&log), ["mkdir: can't create directory '/tmp/x': No space left on device"]);
    let absent = with(security_profile::ProfileType::Localhost, "/nowhere.json".into());
    let error = world.start_with(&sandbox, "true", |config| security(config).seccomp = absent).await.unwrap_err();
    assert!(error.message().contains("cannot load seccomp profile"), "{error}");
    let (log, _) = world
        .say(&sandbox, "grep -E '^CapEff|Seccomp:' /proc/self/status; [ -b /dev/vda ] && echo disk", |config| {
            security(config).privileged = true
        })
        .await;
    assert_eq!(said(&log)[1], "Seccomp:\t0");
    world.close().await;
}

pub async fn namespaces_are_shared_as_asked() {
    let world = World::open().await;
    let pod = world.sandbox().await;
    let links = "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts; readlink /proc/self/ns/pid";
    let (first, _) = world.say(&pod, links, |_| {}).await;
    let (second, _) = world.say(&pod, links, |_| {}).await;
    assert_eq!(first[..3], second[..3]);
    let host = |kind: &str| format!("stdout F {}", std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display());
    assert!(["net", "ipc", "uts", "pid"].iter().zip(&first).all(|(kind, seen)| *seen != host(kind)), "{first:?}");
    let of_host = world
        .sandbox_with(|config| {
            let node = NamespaceMode::Node as i32;
            let options = NamespaceOption { network: node, pid: node, ipc: node, ..Default::default() };
            config.linux.as_mut().unwrap().security_context.as_mut().unwrap().namespace_options = Some(options);
        })
        .await;
    let (third, _) = world.say(&of_host, links, |_| {}).await;
    assert_eq!(third, ["net", "ipc", "uts", "pid"].map(host));
    world.close().await;
}

pub async fn a_shared_process_namespace() {
    let world = World::open().await;
    let shared = world
        .sandbox_with(|config| {
            let options = NamespaceOption { pid: NamespaceMode::Pod as i32, ..Default::default() };
            config.linux.as_mut().unwrap().security_context.as_mut().unwrap().namespace_options = Some(options);
        })
        .await;
    let id = world.start(&shared, "sleep 1234 & sleep 1235").await;
    let (log, _) = world
        .say(&shared, "ps | grep '[s]leep 1235' | wc -l; ls /proc/1/root 2>&1 | wc -l; readlink /proc/1/exe || echo hidden", |_| {})
        .await;
    assert_eq!(said(&log)[..2], ["1", "1"]);
    let stop = StopContainerRequest { container_id: id.clone(), timeout: 0 };
    cri::Runtime::stop_container(&*world.runtime, stop).await.unwrap();
    // What the container left in the namespace went with it.
    let (log, _) = world.say(&shared, "ps | grep '[s]leep 123' | wc -l", |_| {}).await;
    assert_eq!(said(&log), ["0"]);
    let plain = world.sandbox().await;
    let target = world.start(&plain, "sleep 4321").await;
    let (log, _) = world
        .say(&plain, "ps | grep '[s]leep 4321' | wc -l", |config| {
            let options = NamespaceOption { pid: NamespaceMode::Target as i32, target_id: target, ..Default::default() };
            security(config).namespace_options = Some(options);
        })
        .await;
    assert_eq!(said(&log), ["1"]);
    world.close().await;
}

pub async fn volumes_are_mounted_as_asked() {
    let world = World::open().await;
    let sandbox = world.sandbox().await;
    let host = world.folder.path().join("volume");
    std::fs::create_dir_all(host.join("sub")).unwrap();
    std::fs::write(host.join("f"), "from host\n").unwrap();
    let mount = |path: &str, source: &std::path::Path, readonly: bool| Mount {
        container_path: path.into(),
        host_path: source.display().to_string(),
        readonly,
        ..Default::default()
    };
    let mounts = vec![
        mount("/v", &host, false),
        mount("/r", &host, true),
        mount("/one/file", &host.join("f"), true),
        mount("/etc/hosts", &host.join("f"), false),
    ];
    let script = "cat /v/f; echo back > /v/sub/g; touch /r/x 2>/dev/null || echo read-only; cat /one/file; cat /etc/hosts";
    let (log, _) = world.say(&sandbox, script, |config| config.mounts = mounts).await;
    assert_eq!(said(&log), ["from host", "read-only", "from host", "from host"]);
    assert_eq!(std::fs::read_to_string(host.join("sub/g")).unwrap(), "back\n");
    // A link of a volume leads nowhere but into the container.
    std::os::unix::fs::symlink("/etc", host.join("way")).unwrap();
    let mounts = vec![mount("/v", &host, false), mount("/v/way/deep", &host.join("sub"), false)];
    let (log, _) = world.say(&sandbox, "cat /etc/deep/g", |config| config.mounts = mounts).await;
    assert_eq!(said(&log), ["back"]);
    assert!(!std::path::Path::new("/etc/deep").exists());
    world.close().await;
}
