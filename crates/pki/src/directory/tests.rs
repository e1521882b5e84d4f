use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder(std::env::temp_dir().join(format!("pki-{name}-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn wanted() -> Wanted {
    Wanted { node_name: "n1".into(), service_ip: Some([10, 96, 0, 1].into()), cluster_domain: "cluster.local".into(), ..Wanted::default() }
}

#[test]
fn the_second_start_changes_nothing() {
    let folder = Folder::new("again");
    let (first, changed) = Directory::open(&folder.0, wanted(), now()).unwrap();
    assert_eq!(changed.len(), 13);
    let (second, changed) = Directory::open(&folder.0, wanted(), now()).unwrap();
    assert!(changed.is_empty(), "{changed:?}");
    assert_eq!(first.pair(ADMIN).unwrap().cert, second.pair(ADMIN).unwrap().cert);
    let token = first.token_signer().unwrap().sign(&serde_json::json!({})).unwrap();
    assert!(second.token_verifier().unwrap().verify(&token).is_ok());
}

#[test]
fn leaves_are_renewed_in_time_and_the_authority_after_years() {
    let folder = Folder::new("renew");
    let (mut directory, _) = Directory::open(&folder.0, wanted(), now()).unwrap();
    assert_eq!(directory.renew(now() + DAY * 200).unwrap(), Vec::<String>::new());
    let changed = directory.renew(now() + DAY * 250).unwrap();
    assert_eq!(changed.len(), 10);
    assert!(directory.expiries()[0].not_after > now() + DAY * 600);
    let changed = directory.renew(now() + DAY * 3000).unwrap();
    assert_eq!(changed[..2], ["ca", "front-proxy-ca"]);
    assert!(directory.expiries()[0].not_after > now() + DAY * 3300);
}

#[test]
fn a_new_address_or_name_reissues_only_what_says_it() {
    let folder = Folder::new("names");
    Directory::open(&folder.0, wanted(), now()).unwrap();
    let more = Wanted { server_ips: vec![[192, 0, 2, 1].into()], ..wanted() };
    let (directory, changed) = Directory::open(&folder.0, more, now()).unwrap();
    assert_eq!(changed, [SERVER]);
    let cert = Certificate::from_pem(&directory.pair(SERVER).unwrap().cert).unwrap();
    assert!(cert.dns.contains(&"kubernetes.default.svc.cluster.local".into()) && cert.ips.contains(&[10, 96, 0, 1].into()));
}

#[test]
fn a_damaged_leaf_is_replaced_and_a_damaged_authority_named() {
    let folder = Folder::new("damage");
    Directory::open(&folder.0, wanted(), now()).unwrap();
    std::fs::write(folder.0.join("admin.crt"), "rubbish").unwrap();
    let (_, changed) = Directory::open(&folder.0, wanted(), now()).unwrap();
    assert_eq!(changed, [ADMIN]);
    std::fs::write(folder.0.join("ca.key"), "rubbish").unwrap();
    let error = Directory::open(&folder.0, wanted(), now()).unwrap_err().to_string();
    assert!(error.contains("ca.crt holds no usable private key"), "{error}");
}
