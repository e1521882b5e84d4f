//! Against the kernel: the node is a network namespace of the test's own (`unshare`), its pods are others.
use super::*;
use netlink::testing::Namespace;

#[test]
fn pods_reach_each_other_the_node_and_host_ports() {
    let dir = tempfile::tempdir().unwrap();
    let (node, a, b) = (Namespace::new("node"), Namespace::new("a"), Namespace::new("b"));
    let config = Config {
        bridge: "cox0".into(),
        pod_cidr: "10.77.0.0/24".parse().unwrap(),
        cluster_cidr: "10.77.0.0/16".parse().unwrap(),
        service_cidr: "10.78.0.0/16".parse().unwrap(),
        mtu: 0,
        state_dir: dir.path().into(),
        table: "coxswain-network".into(),
    };
    let pod = |id: &str, namespace: &Namespace, host_ports| Pod { sandbox_id: id.into(), namespace: namespace.path(), host_ports };
    let host_port = HostPort { protocol: 6, host_ip: None, host_port: 8080, container_port: 80 };
    node.ip("link set lo up");
    let (network, first, second) = node.inside(|| {
        let network = Network::open(config.clone()).unwrap();
        let first = network.attach(&pod("a", &a, vec![])).unwrap();
        let second = network.attach(&pod("b", &b, vec![host_port.clone()])).unwrap();
        assert_eq!(network.attach(&pod("b", &b, vec![host_port])).unwrap(), second, "attaching again changes nothing");
        (network, first, second)
    });
    assert_eq!((first.to_string(), second.to_string()), ("10.77.0.2".into(), "10.77.0.3".into()));
    b.serve("0.0.0.0:80", "");
    assert_eq!(a.ask("10.77.0.3:80").unwrap(), "10.77.0.2", "a pod sees the other's own address");
    assert_eq!(node.ask("10.77.0.3:80").unwrap(), "10.77.0.1");
    assert_eq!(node.ask("10.77.0.1:8080").unwrap(), "10.77.0.1", "host port from the host");
    assert_eq!(node.ask("127.0.0.1:8080").unwrap(), "10.77.0.1", "host port at the loopback address");
    assert_eq!(a.ask("10.77.0.1:8080").unwrap(), "10.77.0.2", "host port from a pod");
    assert_eq!(b.ask("10.77.0.1:8080").unwrap(), "10.77.0.1", "a pod reaches its own host port");
    node.inside(|| {
        network.detach("b").unwrap();
        network.detach("b").unwrap();
        assert_eq!(network.attached(), [("a".to_string(), first)]);
        Network::remove(&config).unwrap();
        let left: Vec<String> =
            Links::open().unwrap().all().unwrap().into_iter().map(|link| link.name).filter(|name| name.starts_with("cox")).collect();
        assert!(left.is_empty(), "{left:?}");
    });
}
