//! Against the kernel: the node is a network namespace of the test's own (`unshare`), its pods are others.
use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

/// A network namespace with a name; gone with the test.
struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Namespace {
        let name = format!("coxtest-{name}-{}", std::process::id());
        assert!(Command::new("ip").args(["netns", "add", &name]).status().unwrap().success());
        Namespace(name)
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn inside<R: Send>(namespace: &Namespace, work: impl FnOnce() -> R + Send) -> R {
    netlink::in_namespace(&namespace.path(), work).unwrap()
}

fn ask(address: &str) -> String {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), std::time::Duration::from_secs(5))
        .unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.write_all(b"?").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Answers every connection with the caller's address.
fn serve(namespace: &Namespace, port: u16) {
    let listener = inside(namespace, || TcpListener::bind(("0.0.0.0", port)).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip().to_string();
            let _ = stream.read(&mut [0; 1]).and_then(|_| stream.write_all(peer.as_bytes()));
        }
    });
}

#[test]
fn pods_reach_each_other_the_node_and_host_ports() {
    let dir = tempfile::tempdir().unwrap();
    let (node, a, b) = (Namespace::new("node"), Namespace::new("a"), Namespace::new("b"));
    let config = Config {
        bridge: "cox0".into(),
        pod_cidr: "10.77.0.0/24".parse().unwrap(),
        cluster_cidr: "10.77.0.0/16".parse().unwrap(),
        mtu: 0,
        state_dir: dir.path().into(),
        table: "coxswain-network".into(),
    };
    let pod = |id: &str, namespace: &Namespace, host_ports| Pod { sandbox_id: id.into(), namespace: namespace.path(), host_ports };
    let host_port = HostPort { protocol: 6, host_ip: None, host_port: 8080, container_port: 80 };
    let (network, first, second) = inside(&node, || {
        Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        let network = Network::open(config.clone()).unwrap();
        let first = network.attach(&pod("a", &a, vec![])).unwrap();
        let second = network.attach(&pod("b", &b, vec![host_port.clone()])).unwrap();
        assert_eq!(network.attach(&pod("b", &b, vec![host_port])).unwrap(), second, "attaching again changes nothing");
        (network, first, second)
    });
    assert_eq!((first.to_string(), second.to_string()), ("10.77.0.2".into(), "10.77.0.3".into()));
    serve(&b, 80);
    assert_eq!(inside(&a, || ask("10.77.0.3:80")), "10.77.0.2", "a pod sees the other's own address");
    assert_eq!(inside(&node, || ask("10.77.0.3:80")), "10.77.0.1");
    assert_eq!(inside(&node, || ask("10.77.0.1:8080")), "10.77.0.1", "host port from the host");
    assert_eq!(inside(&node, || ask("127.0.0.1:8080")), "10.77.0.1", "host port at the loopback address");
    assert_eq!(inside(&a, || ask("10.77.0.1:8080")), "10.77.0.2", "host port from a pod");
    inside(&b, || assert_eq!(ask("10.77.0.1:8080"), "10.77.0.1", "a pod reaches its own host port"));
    inside(&node, || {
        network.detach("b").unwrap();
        network.detach("b").unwrap();
        assert_eq!(network.attached(), [("a".to_string(), first)]);
        Network::remove(&config).unwrap();
        let left: Vec<String> =
            Links::open().unwrap().all().unwrap().into_iter().map(|link| link.name).filter(|name| name.starts_with("cox")).collect();
        assert!(left.is_empty(), "{left:?}");
    });
}
