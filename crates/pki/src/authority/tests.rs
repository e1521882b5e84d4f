use super::*;
use crate::csr;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

#[test]
fn issues_what_the_profile_says() {
    let ca = Authority::create("kubernetes-ca", now(), DAY * 3650).unwrap();
    let subject = Subject::new("system:node:n1", &["system:nodes", "another"]);
    let (dns, ips) = (vec!["n1".to_string()], vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
    let profile = Profile { client: true, ..Profile::server(subject.clone(), dns.clone(), ips.clone(), DAY * 365) };
    let pair = ca.issue(&profile, now()).unwrap();
    let cert = Certificate::from_pem(&pair.cert).unwrap();
    assert_eq!(cert.subject, subject);
    assert_eq!((cert.dns, cert.ips), (dns, ips));
    assert_eq!(cert.not_after, now() + DAY * 365);
    assert!(cert.client_auth && cert.server_auth && !cert.is_ca);
    assert_eq!(cert.public_key, pair.key.public_der());
    assert!(Certificate::from_pem(&pair.cert).unwrap().is_signed_by(&Certificate::from_pem(ca.cert()).unwrap()));
}

#[test]
fn a_leaf_never_outlives_its_authority_and_a_renewed_authority_still_vouches() {
    let ca = Authority::create("ca", now(), DAY * 10).unwrap();
    let pair = ca.issue(&Profile::client(Subject::new("u", &[]), DAY * 365), now()).unwrap();
    let leaf = Certificate::from_pem(&pair.cert).unwrap();
    assert_eq!(leaf.not_after, now() + DAY * 10);
    let renewed = ca.renew(now() + DAY * 9, DAY * 10).unwrap();
    assert_eq!(renewed.not_after(), now() + DAY * 19);
    assert!(leaf.is_signed_by(&Certificate::from_pem(renewed.cert()).unwrap()));
    let other = Authority::create("ca", now(), DAY).unwrap();
    assert!(!leaf.is_signed_by(&Certificate::from_pem(other.cert()).unwrap()));
}

#[test]
fn signs_a_request_with_its_subject_untouched() {
    let ca = Authority::create("ca", now(), DAY * 10).unwrap();
    let key = Key::generate().unwrap();
    let subject = Subject::new("jane", &["dev", "ops"]);
    let text = csr::create(&key, &subject, &["a.example".into()], &[]).unwrap();
    let request = SigningRequest::from_pem(&text).unwrap();
    let cert = ca.sign(&request, &["client auth", "digital signature", "key encipherment"], now(), DAY).unwrap();
    let cert = Certificate::from_pem(&cert).unwrap();
    assert_eq!((cert.subject, cert.dns), (subject, vec!["a.example".to_string()]));
    assert!(cert.client_auth && !cert.server_auth);
    assert!(ca.sign(&request, &["nonsense"], now(), DAY).is_err());
}

#[test]
fn a_forged_request_is_refused() {
    let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
    let text = csr::create(&key, &Subject::new("jane", &[]), &[], &[]).unwrap();
    let mut der = pem::decode(&text, &["CERTIFICATE REQUEST"]).remove(0);
    let at = der.windows(65).position(|window| window == key.public_point()).unwrap();
    der[at..at + 65].copy_from_slice(other.public_point());
    assert!(SigningRequest::from_pem(&pem::encode("CERTIFICATE REQUEST", &der)).is_err());
}

#[test]
fn a_saved_authority_loads_and_a_wrong_key_does_not() {
    let ca = Authority::create("ca", now(), DAY * 10).unwrap();
    let again = Authority::load(ca.cert(), &ca.key().to_pem(), "here").unwrap();
    assert_eq!(again.not_after(), ca.not_after());
    let other = Key::generate().unwrap();
    assert!(Authority::load(ca.cert(), &other.to_pem(), "here").unwrap_err().to_string().contains("not the certificate's"));
    assert!(Authority::load("", &other.to_pem(), "here").is_err());
}
