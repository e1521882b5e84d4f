//! Against the kernel, in a table of the test's own that no packet matches.
use super::expr::Expr;
use super::*;

const TABLE: &str = "coxswain-netlink-test";

#[test]
fn a_batch_is_taken_whole_or_refused_whole() {
    let mut socket = open().unwrap();
    remove_table(&mut socket, TABLE).unwrap();
    let mut batch = Batch::ipv4(TABLE);
    batch.add_table();
    batch.add_chain("lb-2");
    batch.add_verdict_map("services", &[Type::Ipv4, Type::Proto, Type::Port]);
    batch.add_map("endpoints", &[Type::Ipv4, Type::Proto, Type::Port, Type::Number], &[Type::Ipv4, Type::Port], 0);
    batch.add_map("affinity", &[Type::Ipv4, Type::Ipv4], &[Type::Ipv4, Type::Port], TIMEOUT | EVAL);
    batch.add_rule(
        "lb-2",
        &[
            Expr::DestinationAddress(0),
            Expr::Protocol(1),
            Expr::DestinationPort(2),
            Expr::Random { into: 3, modulus: 2 },
            Expr::Lookup { set: "endpoints".into(), key: 0, into: Some(4) },
        ],
    );
    let key = [10, 0, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0];
    batch.add_elements("services", &[(key.to_vec(), Data::Verdict(Verdict::Goto("lb-2".into())))]);
    batch.send(&mut socket).unwrap();

    let mut batch = Batch::ipv4(TABLE);
    batch.add_chain("never");
    batch.delete_elements("services", &[([&key[..4], &[17, 0, 0, 0], &key[8..]].concat(), Data::None)]);
    assert!(batch.send(&mut socket).unwrap_err().is(Errno::NOENT));
    let mut batch = Batch::ipv4(TABLE);
    batch.delete_chain("never");
    assert!(batch.send(&mut socket).unwrap_err().is(Errno::NOENT), "nothing of a refused batch stays");

    let mut batch = Batch::ipv4(TABLE);
    batch.delete_elements("services", &[(key.to_vec(), Data::None)]);
    batch.send(&mut socket).unwrap();
    remove_table(&mut socket, TABLE).unwrap();
}
