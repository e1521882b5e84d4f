//! The group certificates.k8s.io: its kinds with code of their own.
pub mod certificatesigningrequest;

use machinery::kind::DynKind;

pub static KINDS: &[&dyn DynKind] = &[&certificatesigningrequest::CERTIFICATESIGNINGREQUEST];

#[cfg(test)]
pub static MINIMAL: &[&str] = &[certificatesigningrequest::MINIMAL];

#[cfg(test)]
mod tests {
    use super::certificatesigningrequest::{CERTIFICATESIGNINGREQUEST, MINIMAL};
    use crate::check::{cells, problems, update_problems};
    use expect_test::expect;
    use serde_json::{Value, json};

    fn request(change: impl FnOnce(&mut Value)) -> Value {
        let mut object = serde_json::from_str(MINIMAL).expect("test data is JSON");
        change(&mut object);
        object
    }

    #[test]
    fn a_request_is_checked_and_printed() {
        assert_eq!(problems(&CERTIFICATESIGNINGREQUEST, request(|_| {})), "");
        expect![[r#"
            spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST
            spec.usages[1]: Duplicate value: "client auth"
            spec.signerName: Invalid value: "nowhere": must be a fully qualified domain and path of the form 'example.com/signer-name'
            spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)
        "#]]
        .assert_eq(&problems(
            &CERTIFICATESIGNINGREQUEST,
            request(|it| {
                it["spec"] =
                    json!({"request": "eA==", "usages": ["client auth", "client auth"], "signerName": "nowhere", "expirationSeconds": 5})
            }),
        ));
        let object = request(|it| {
            it["spec"]["username"] = "ann".into();
            it["spec"]["expirationSeconds"] = 3600.into();
            it["status"] = json!({"certificate": "eA==", "conditions": [{"type": "Approved", "status": "True"}]});
        });
        assert_eq!(
            cells(&CERTIFICATESIGNINGREQUEST, object),
            json!(["ann", "<unknown>", "kubernetes.io/kube-apiserver-client", "ann", "60m", "Approved,Issued"])
        );
    }

    #[test]
    fn decisions_and_certificates_have_their_own_doors() {
        let approved = |certificate: &str| {
            request(|it| it["status"] = json!({"certificate": certificate, "conditions": [{"type": "Approved", "status": "True"}]}))
        };
        let refused = |door: &str, old: Value, new: Value| update_problems(&CERTIFICATESIGNINGREQUEST, door, old, new);
        assert_eq!(refused("approval", request(|_| {}), approved("")), "");
        expect![[r#"
            status.conditions: Forbidden: updates may not add a condition of type "Approved"
        "#]]
        .assert_eq(&refused("status", request(|_| {}), approved("")));
        expect![[r#"
            status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block
        "#]]
        .assert_eq(&refused("status", approved(""), approved("eA==")));
        expect![[r#"
            status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive
        "#]]
        .assert_eq(&refused(
            "approval",
            approved(""),
            request(|it| {
                it["status"] = json!({"conditions": [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]})
            }),
        ));
    }
}
