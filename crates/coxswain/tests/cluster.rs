//! The whole cluster as a user has it: the real binary, real containers, the unmodified kubectl, in a network namespace of the test's
//! own. One story, because a cluster is what takes long.
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const NODE_IP: &str = "192.168.77.2";
const SAMPLE: &str = include_str!("sample.yaml");

/// The machine of the test; what it made goes with it.
struct Machine {
    namespace: String,
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        let namespace = format!("coxtest-cluster-{}", std::process::id());
        let machine = Machine { namespace, dir: tempfile::tempdir().unwrap() };
        run(Command::new("ip").args(["netns", "add", &machine.namespace]));
        for line in ["link set lo up", "link add up0 type bridge", &format!("addr add {NODE_IP}/24 dev up0"), "link set up0 up"] {
            run(Command::new("ip").args(["-n", &machine.namespace]).args(line.split(' ')));
        }
        machine
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A program in the test's network namespace.
    fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg("--").arg(program);
        command
    }

    fn coxswain(&self, verb: &str, more: &[&str]) -> Output {
        let mut command = self.inside(env!("CARGO_BIN_EXE_coxswain"));
        command.arg(verb).args(["--node-ip", NODE_IP, "--node-name", "test", "--data-dir"]).arg(self.data()).args(more);
        command.output().unwrap()
    }

    fn kubectl(&self, arguments: &str) -> Output {
        let mut command = self.inside(kubectl());
        command.arg("--kubeconfig").arg(self.data().join("admin.kubeconfig")).args(arguments.split(' ')).output().unwrap()
    }

    /// What kubectl says; it has to succeed.
    fn ask(&self, arguments: &str) -> String {
        let output = self.kubectl(arguments);
        assert!(output.status.success(), "kubectl {arguments}: {}\n{}", text(&output.stderr), self.state());
        text(&output.stdout)
    }

    fn get(&self, url: &str) -> Result<Value, String> {
        let output = self.inside("curl").args(["-fsS", "--max-time", "5", url]).output().unwrap();
        serde_json::from_slice(&output.stdout).map_err(|_| text(&output.stderr))
    }

    /// The answer, asked for until it comes.
    fn wait_for(&self, url: &str) -> Value {
        let begun = Instant::now();
        loop {
            match self.get(url) {
                Ok(answer) => return answer,
                Err(error) if begun.elapsed() > Duration::from_secs(60) => panic!("{url}: {error}\n{}", self.state()),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// For the message of a failure.
    fn state(&self) -> String {
        let said = |arguments: &str| text(&self.kubectl(arguments).stdout);
        let log = std::fs::read_to_string(self.data().join("coxswain.log")).unwrap_or_default();
        let tail = log.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
        format!("{}\n{}\n{tail}", said("get pods,nodes -A -o wide"), said("get events -A"))
    }

    /// What of this machine's cluster is in the kernel: mounts, links, cgroups, processes.
    fn traces(&self) -> BTreeSet<String> {
        let here = self.dir.path().to_string_lossy().into_owned();
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(&here)).map(|line| format!("mount {line}"));
        let links = run(Command::new("ip").args(["-n", &self.namespace, "-o", "link"]));
        let links = links.lines().filter_map(|line| line.split(": ").nth(1)).map(|name| format!("link {name}")).collect::<Vec<_>>();
        let processes = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let arguments = std::fs::read_to_string(entry.path().join("cmdline")).ok()?.replace('\0', " ");
            arguments.contains(&here).then(|| format!("process {arguments}"))
        });
        mounts.chain(links).chain(processes).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.coxswain("down", &["--purge"]);
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
    }
}

fn kubectl() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    let cache = std::env::var("COXSWAIN_TOOLS").unwrap_or_else(|_| format!("{home}/.cache/coxswain/tools"));
    let path = Path::new(&cache).join("kubectl");
    assert!(path.exists(), "{} is missing: run scripts/tools.sh", path.display());
    path
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().into()
}

#[test]
fn a_cluster_from_nothing_to_nothing() {
    let linked = text(&Command::new("ldd").arg(env!("CARGO_BIN_EXE_coxswain")).output().unwrap().stdout);
    assert!(!linked.contains("libc.so"), "the binary has to be static to be its own sample image: run `make test`");
    let machine = Machine::new();
    let before = machine.traces();
    let up = machine.coxswain("up", &[]);
    assert!(up.status.success(), "{}\n{}", text(&up.stderr), text(&up.stdout));
    let stages = text(&up.stdout);
    for stage in ["store open", "api ready", "node ready", "dns ready"] {
        assert!(stages.contains(stage), "{stage} is missing:\n{stages}");
    }
    a_second_start_changes_nothing(&machine);
    a_workload_answers(&machine);
    kubectl_works(&machine);
    nothing_restarts_after_a_kill(&machine);
    let down = machine.coxswain("down", &["--purge"]);
    assert!(down.status.success(), "{}", text(&down.stderr));
    assert!(!machine.data().exists(), "the data directory is gone");
    assert_eq!(machine.traces(), before, "the machine is as it was");
}

fn a_second_start_changes_nothing(machine: &Machine) {
    let again = machine.coxswain("up", &[]);
    assert!(again.status.success());
    assert!(text(&again.stdout).contains("already running"), "{}", text(&again.stdout));
    let other = machine.dir.path().join("other");
    let refused =
        machine.inside(env!("CARGO_BIN_EXE_coxswain")).args(["up", "--node-ip", NODE_IP, "--data-dir"]).arg(&other).output().unwrap();
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("port 6443"), "{}", text(&refused.stderr));
    assert!(!other.exists(), "a refused start leaves nothing");
}

fn a_workload_answers(machine: &Machine) {
    let path = machine.dir.path().join("sample.yaml");
    std::fs::write(&path, SAMPLE).unwrap();
    machine.ask(&format!("apply -f {}", path.display()));
    machine.ask("rollout status deployment/hello --timeout=120s");
    let ip = machine.ask("get service hello -o jsonpath={.spec.clusterIP}");
    let answer = machine.wait_for(&format!("http://{ip}/"));
    assert_eq!(answer["node"], "test");
    let names: BTreeSet<String> =
        (0..30).filter_map(|_| machine.get(&format!("http://{ip}/")).ok()?["pod"].as_str().map(String::from)).collect();
    assert_eq!(names.len(), 3, "the service spreads over its pods: {names:?}");
    machine.wait_for(&format!("http://{NODE_IP}:30080/"));
    let named = machine.wait_for(&format!("http://{NODE_IP}:30080/fetch?url=http://hello.default.svc.cluster.local"));
    assert_eq!(named["status"], 200, "{named}");
}

fn kubectl_works(machine: &Machine) {
    let pod = machine.ask("get pods -l app=hello -o jsonpath={.items[0].metadata.name}");
    assert!(machine.ask(&format!("logs {pod}")).contains("listening on"));
    assert!(machine.ask(&format!("exec {pod} -- /coxswain version")).contains("Kubernetes v1.37.0"));
    assert!(machine.ask("get deployments -o wide").contains("3/3"));
    assert!(machine.ask(&format!("describe pod {pod}")).contains("Started"));
    assert!(machine.ask("explain deployment.spec.replicas").contains("<integer>"));
    machine.ask("create configmap a --from-literal=x=y");
    machine.ask("label configmap a q=r");
    assert_eq!(machine.ask("get configmaps -l q=r -o name"), "configmap/a");
    machine.ask("create namespace gone");
    machine.ask("delete namespace gone --timeout=60s");
    machine.ask("scale deployment hello --replicas=1");
    machine.ask("wait --for=jsonpath={.status.replicas}=1 deployment/hello --timeout=60s");
}

fn nothing_restarts_after_a_kill(machine: &Machine) {
    let begun = Instant::now();
    while machine.ask("get pods -l app=hello -o name").lines().count() != 1 {
        assert!(begun.elapsed() < Duration::from_secs(90), "the pods that are too many stay\n{}", machine.state());
        std::thread::sleep(Duration::from_millis(200));
    }
    let containers = "get pods -l app=hello -o jsonpath={.items[*].status.containerStatuses[0].containerID}";
    let before = machine.ask(containers);
    let status: Value = serde_json::from_slice(&machine.coxswain("status", &["-o", "json"]).stdout).unwrap();
    assert_eq!(status["components"]["apiserver"]["ready"], true, "{status:#}");
    run(Command::new("kill").args(["-9", &status["pid"].to_string()]));
    let up = machine.coxswain("up", &[]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    assert_eq!(machine.ask(containers), before, "no container was restarted");
    let ip = machine.ask("get service hello -o jsonpath={.spec.clusterIP}");
    machine.wait_for(&format!("http://{ip}/"));
}
