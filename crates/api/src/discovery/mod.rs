//! The group discovery.k8s.io: its kinds with code of their own.
pub mod endpointslice;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&endpointslice::ENDPOINTSLICE];

#[cfg(test)]
pub static MINIMAL: &[&str] = &[endpointslice::MINIMAL];

#[cfg(test)]
mod tests {
    use super::endpointslice::{ENDPOINTSLICE, MINIMAL};
    use crate::check::{cells, created, problems, update_problems};
    use expect_test::expect;
    use serde_json::{Value, json};

    #[test]
    fn a_slice_is_defaulted_checked_and_printed() {
        let object: Value = serde_json::from_str(MINIMAL).expect("test data is JSON");
        assert_eq!(created(&ENDPOINTSLICE, object.clone())["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
        assert_eq!(problems(&ENDPOINTSLICE, object.clone()), "");
        assert_eq!(cells(&ENDPOINTSLICE, object.clone()), json!(["web-1", "IPv4", "80", "10.0.0.1", "<unknown>"]));
        let mut wrong = object.clone();
        wrong["ports"] = json!([{"name": "a"}, {"name": "a", "protocol": "X"}]);
        wrong["endpoints"] = json!([{"addresses": []}, {"addresses": ["x", "127.0.0.1", "::2"], "nodeName": "A B", "hints": {"forZones": [{"name": "a"}, {"name": "a"}]}}]);
        expect![[r#"
            ports[1].name: Duplicate value: "a"
            ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"
            endpoints[0].addresses: Required value
            endpoints[1].addresses[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            endpoints[1].addresses[1]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            endpoints[1].addresses: Invalid value: "::2": must be an IPv4 address
            endpoints[1].nodeName: Invalid value: "A B": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            endpoints[1].hints.forZones[1].name: Duplicate value: "a"
        "#]]
        .assert_eq(&problems(&ENDPOINTSLICE, wrong));
        let mut changed = object.clone();
        changed["addressType"] = "IPv6".into();
        changed["endpoints"] = json!([{"addresses": ["2001:db8::1"]}]);
        expect![[r#"
            addressType: Invalid value: "IPv6": field is immutable
        "#]]
        .assert_eq(&update_problems(&ENDPOINTSLICE, "", object, changed));
    }
}
