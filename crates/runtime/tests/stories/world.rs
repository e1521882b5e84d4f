//! A runtime in a temporary folder with a small image, and what is needed to tell stories with it.
use cri::Cri;
use cri::v1::*;
use runtime::image::config::Settings;
use runtime::{Config, Runtime};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub const IMAGE: &str = "docker.io/test/busybox:latest";

pub struct World {
    pub folder: Folder,
    pub runtime: Arc<Runtime>,
    before: Machine,
}

/// What a test must leave as it was.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    mounts: usize,
    cgroups: BTreeSet<PathBuf>,
    children: BTreeSet<i32>,
}

fn config(folder: &Path) -> Config {
    Config { cgroup_root: group(folder), ..Config::new(folder.join("data"), folder.join("state")) }
}

fn group(folder: &Path) -> String {
    format!("/coxswain-test{}", folder.file_name().unwrap().to_string_lossy().replace('.', "-"))
}

impl Machine {
    fn look(folder: &Path) -> Machine {
        let group = group(folder);
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        let place = folder.to_string_lossy().into_owned();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap().lines().filter(|line| line.contains(&place)).count();
        let cgroups = hierarchies.map(|path| path.join(&group[1..])).filter(|path| path.exists()).collect();
        let mine = |pid: &i32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&place)
        };
        let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Machine { mounts, cgroups, children: pids.filter(mine).collect() }
    }
}

impl World {
    pub async fn open() -> World {
        World::open_with(|_| {}).await
    }

    pub async fn open_with(change: impl FnOnce(&mut Config)) -> World {
        let world = World::open_bare(change).await;
        load_image(&world.runtime, world.folder.path());
        world
    }

    /// Without an image.
    pub async fn open_bare(change: impl FnOnce(&mut Config)) -> World {
        let folder = Folder::new();
        let before = Machine::look(folder.path());
        let mut config = config(folder.path());
        change(&mut config);
        let runtime = Runtime::open(config).await.unwrap();
        World { folder, runtime, before }
    }

    /// Takes everything down and looks at what is left.
    pub async fn close(self) {
        self.runtime.purge().await.unwrap();
        for _ in 0..200 {
            if Machine::look(self.folder.path()) == self.before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(Machine::look(self.folder.path()), self.before, "left behind");
        assert!(!self.folder.path().join("data").exists() && !self.folder.path().join("state").exists());
    }

    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    pub async fn sandbox(&self) -> String {
        self.sandbox_with(|_| {}).await
    }

    pub async fn sandbox_with(&self, change: impl FnOnce(&mut PodSandboxConfig)) -> String {
        sandbox(&*self.runtime, &self.logs(), change).await
    }

    /// Creates and starts `sh -c script`.
    pub async fn start(&self, sandbox: &str, script: &str) -> String {
        self.start_with(sandbox, script, |_| {}).await.unwrap()
    }

    pub async fn start_with(&self, sandbox: &str, script: &str, change: impl FnOnce(&mut ContainerConfig)) -> cri::Result<String> {
        start(&*self.runtime, sandbox, script, change).await
    }

    pub async fn status(&self, container: &str) -> ContainerStatus {
        status(&*self.runtime, container).await
    }

    pub async fn ended(&self, container: &str) -> ContainerStatus {
        ended(&*self.runtime, container).await
    }

    /// What a container has written by now, once it has written something.
    pub async fn log_of(&self, container: &str) -> Vec<String> {
        let path = PathBuf::from(self.status(container).await.log_path);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for _ in 0..2000 {
            if std::fs::metadata(&path).is_ok_and(|data| data.len() > 0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.log(&name)
    }

    /// The texts of a log file, with stream and tag.
    pub fn log(&self, name: &str) -> Vec<String> {
        log(&self.logs(), name)
    }

    /// Runs a script to its end in a fresh container: what it said and its status.
    pub async fn say(&self, sandbox: &str, script: &str, change: impl FnOnce(&mut ContainerConfig)) -> (Vec<String>, ContainerStatus) {
        let id = self.start_with(sandbox, script, change).await.unwrap();
        let status = self.ended(&id).await;
        let name = Path::new(&status.log_path).file_name().unwrap().to_string_lossy().into_owned();
        (self.log(&name), status)
    }

    pub async fn exec(&self, container: &str, script: &str) -> ExecSyncResponse {
        let cmd = ["sh", "-c", script].map(String::from).to_vec();
        cri::Runtime::exec_sync(&*self.runtime, ExecSyncRequest { container_id: container.into(), cmd, timeout: 10 }).await.unwrap()
    }
}

/// One layer: busybox under the names of its applets.
fn load_image(runtime: &Runtime, folder: &Path) {
    let tree = folder.join("tree");
    for name in ["bin", "etc", "tmp", "root", "proc"] {
        std::fs::create_dir_all(tree.join(name)).unwrap();
    }
    std::fs::copy("/bin/busybox", tree.join("bin/busybox")).expect("these tests need Debian's busybox-static");
    let applets = [
        "sh", "cat", "echo", "id", "sleep", "ls", "mount", "hostname", "kill", "dd", "head", "tr", "grep", "touch", "stty", "env", "ps",
        "ip", "nc", "mknod", "readlink", "stat", "ipcs", "wc", "unshare", "seq", "mkdir", "chmod", "true", "tail",
    ];
    for applet in applets {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet)).unwrap();
    }
    std::fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n").unwrap();
    std::fs::write(tree.join("etc/group"), "root:x:0:\nstaff:x:50:ann\nann:x:1001:\n").unwrap();
    let settings = Settings { cmd: vec!["sh".into()], env: vec!["PATH=/bin".into()], ..Default::default() };
    runtime::image::build::from_folder(runtime.images(), &tree, IMAGE, settings).unwrap();
    std::fs::remove_dir_all(&tree).unwrap();
}

pub async fn sandbox(runtime: &dyn Cri, logs: &Path, change: impl FnOnce(&mut PodSandboxConfig)) -> String {
    let metadata = PodSandboxMetadata { name: "pod".into(), uid: "uid".into(), namespace: "default".into(), attempt: 0 };
    let security = LinuxSandboxSecurityContext {
        namespace_options: Some(NamespaceOption { pid: NamespaceMode::Container as i32, ..Default::default() }),
        ..Default::default()
    };
    let mut config = PodSandboxConfig {
        metadata: Some(metadata),
        hostname: "pod".into(),
        log_directory: logs.display().to_string(),
        linux: Some(LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() }),
        ..Default::default()
    };
    change(&mut config);
    let request = RunPodSandboxRequest { config: Some(config), ..Default::default() };
    runtime.run_pod_sandbox(request).await.unwrap().pod_sandbox_id
}

pub async fn start(runtime: &dyn Cri, sandbox: &str, script: &str, change: impl FnOnce(&mut ContainerConfig)) -> cri::Result<String> {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let pid = runtime.pod_sandbox_status(PodSandboxStatusRequest { pod_sandbox_id: sandbox.into(), verbose: false }).await?;
    let options = pid.status.and_then(|status| status.linux).and_then(|linux| linux.namespaces).and_then(|all| all.options);
    let security = LinuxContainerSecurityContext { namespace_options: options, ..Default::default() };
    let mut config = ContainerConfig {
        metadata: Some(ContainerMetadata { name: format!("c{number}"), attempt: 0 }),
        image: Some(ImageSpec { image: IMAGE.into(), ..Default::default() }),
        command: ["sh", "-c", script].map(String::from).to_vec(),
        log_path: format!("c{number}.log"),
        linux: Some(LinuxContainerConfig { security_context: Some(security), ..Default::default() }),
        ..Default::default()
    };
    change(&mut config);
    let request = CreateContainerRequest { pod_sandbox_id: sandbox.into(), config: Some(config), sandbox_config: None };
    let id = runtime.create_container(request).await?.container_id;
    runtime.start_container(StartContainerRequest { container_id: id.clone() }).await?;
    Ok(id)
}

pub async fn status(runtime: &dyn Cri, container: &str) -> ContainerStatus {
    runtime.container_status(ContainerStatusRequest { container_id: container.into(), verbose: false }).await.unwrap().status.unwrap()
}

pub async fn ended(runtime: &dyn Cri, container: &str) -> ContainerStatus {
    for _ in 0..2000 {
        let status = status(runtime, container).await;
        if status.state == ContainerState::ContainerExited as i32 {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the container does not end");
}

pub fn log(logs: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(logs.join(name)).unwrap();
    text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

/// Serves CRI at `<folder>/cri.sock` until it is killed.
pub fn daemon(folder: &str) -> ExitCode {
    let folder = Path::new(folder);
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(async {
        let runtime = Runtime::open(config(folder)).await.unwrap();
        if runtime.images().list().is_empty() {
            load_image(&runtime, folder);
        }
        let socket = folder.join("cri.sock");
        std::fs::remove_file(&socket).ok();
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        cri::grpc::serve(listener, runtime).await.unwrap();
    });
    ExitCode::SUCCESS
}

/// A daemon as a process of its own; killed when dropped.
pub struct Daemon(std::process::Child);

impl Daemon {
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a daemon and connects to it.
pub async fn daemon_process(folder: &Path) -> (Daemon, Arc<dyn Cri>) {
    let daemon = Daemon(std::process::Command::new(std::env::current_exe().unwrap()).arg("daemon").arg(folder).spawn().unwrap());
    let socket = folder.join("cri.sock");
    for _ in 0..2000 {
        if let Ok(runtime) = cri::grpc::connect(&socket.display().to_string()).await {
            return (daemon, runtime);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the daemon does not come up");
}

/// A temporary folder; whatever still runs in it when it is dropped (a story that failed) is ended first.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Ends and removes everything.
    pub async fn take_down(&self) {
        Runtime::open(config(self.path())).await.unwrap().purge().await.unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let folder = self.path();
        if folder.join("state").exists() {
            let purge = async { Runtime::open(config(folder)).await.ok()?.purge().await.ok() };
            let work = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(purge);
            std::thread::scope(|scope| scope.spawn(work).join().ok());
        }
    }
}
