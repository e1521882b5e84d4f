//! Everything the cluster's members prove themselves with, in one folder: loaded, made where it is missing, renewed where its
//! end comes near or where it no longer says what it should. It never replaces an authority's or the token key: whoever holds
//! something signed by them would be locked out; a damaged one is an error that names the file.
use crate::authority::{Authority, Pair, Profile, Subject};
use crate::certificate::Certificate;
use crate::jwt::{Signer, Verifier};
use crate::key::Key;
use crate::{Error, file};
use jiff::{SignedDuration, Timestamp};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const CA_VALID: SignedDuration = SignedDuration::from_hours(24 * 3650);
const LEAF_VALID: SignedDuration = SignedDuration::from_hours(24 * 365);

/// What the certificates must say.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub node_name: String,
    pub node_ips: Vec<IpAddr>,
    /// The `kubernetes` service's address.
    pub service_ip: Option<IpAddr>,
    pub cluster_domain: String,
    /// More names and addresses under which the API server is reached.
    pub server_names: Vec<String>,
    pub server_ips: Vec<IpAddr>,
}

/// One certificate as `coxswain status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    pub name: String,
    pub not_after: Timestamp,
}

#[derive(Debug)]
pub struct Directory {
    folder: PathBuf,
    wanted: Wanted,
    ca: Authority,
    front_proxy_ca: Authority,
    leaves: Vec<(&'static str, Pair)>,
    token_key: Key,
}

pub const SERVER: &str = "apiserver";
pub const KUBELET_CLIENT: &str = "apiserver-kubelet-client";
pub const FRONT_PROXY_CLIENT: &str = "front-proxy-client";
pub const ADMIN: &str = "admin";
pub const CONTROLLER_MANAGER: &str = "controller-manager";
pub const SCHEDULER: &str = "scheduler";
pub const PROXY: &str = "kube-proxy";
pub const DNS: &str = "dns";
pub const KUBELET: &str = "kubelet";
pub const KUBELET_SERVER: &str = "kubelet-server";

impl Directory {
    /// Opens or makes the folder; the list names what was made or renewed.
    pub fn open(folder: &Path, wanted: Wanted, now: Timestamp) -> Result<(Directory, Vec<String>), Error> {
        let failed = |source| Error::File { path: folder.display().to_string(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let mut changed = Vec::new();
        let ca = authority(folder, "ca", "coxswain-ca", now, &mut changed)?;
        let front_proxy_ca = authority(folder, "front-proxy-ca", "coxswain-front-proxy-ca", now, &mut changed)?;
        let token_key = token_key(folder, &mut changed)?;
        let mut directory = Directory { folder: folder.into(), wanted, ca, front_proxy_ca, leaves: Vec::new(), token_key };
        for (name, profile) in profiles(&directory.wanted) {
            let pair = directory.leaf(name, &profile, now, &mut changed)?;
            directory.leaves.push((name, pair));
        }
        Ok((directory, changed))
    }

    /// Renews what is due, in memory and on disk. Called now and then by the running server, which hands the new pairs to its listeners.
    pub fn renew(&mut self, now: Timestamp) -> Result<Vec<String>, Error> {
        let (fresh, changed) = Directory::open(&self.folder, self.wanted.clone(), now)?;
        *self = fresh;
        Ok(changed)
    }

    /// How long until something will be due; at most a day, so that a clock that jumps is noticed.
    pub fn next_check(&self, now: Timestamp) -> SignedDuration {
        let due = self.certificates().into_iter().map(|(_, cert)| {
            let life = cert.not_after.duration_since(cert.not_before);
            (cert.not_after - life / 3).duration_since(now)
        });
        due.min().unwrap_or(DAY).clamp(SignedDuration::from_mins(1), DAY)
    }

    pub fn ca(&self) -> &Authority {
        &self.ca
    }

    /// Vouches for aggregating proxies that assert users in headers.
    pub fn front_proxy_ca(&self) -> &Authority {
        &self.front_proxy_ca
    }

    /// One of the constants of this module.
    pub fn pair(&self, name: &str) -> Option<&Pair> {
        self.leaves.iter().find(|(own, _)| *own == name).map(|(_, pair)| pair)
    }

    /// Signs service account tokens.
    pub fn token_signer(&self) -> Result<Signer, Error> {
        Ok(Signer::new(Key::from_pem(&self.token_key.to_pem(), "sa.key")?))
    }

    /// Checks them; public keys that an operator appended to `sa.pub` count as well.
    pub fn token_verifier(&self) -> Result<Verifier, Error> {
        let mut verifier = self.token_signer()?.verifier();
        verifier.add_pem(&file::read(&self.folder.join("sa.pub"))?.unwrap_or_default());
        Ok(verifier)
    }

    /// What ends when, the soonest first.
    pub fn expiries(&self) -> Vec<Expiry> {
        let mut all: Vec<Expiry> = self.certificates().into_iter().map(|(name, cert)| Expiry { name, not_after: cert.not_after }).collect();
        all.sort_by(|a, b| (a.not_after, &a.name).cmp(&(b.not_after, &b.name)));
        all
    }

    fn certificates(&self) -> Vec<(String, Certificate)> {
        let authorities = [("ca", self.ca.cert()), ("front-proxy-ca", self.front_proxy_ca.cert())];
        let leaves = self.leaves.iter().map(|(name, pair)| (*name, pair.cert.as_str()));
        let parsed = |(name, cert): (&str, &str)| Some((name.to_string(), Certificate::from_pem(cert).ok()?));
        authorities.into_iter().chain(leaves).filter_map(parsed).collect()
    }

    fn leaf(&self, name: &'static str, profile: &Profile, now: Timestamp, changed: &mut Vec<String>) -> Result<Pair, Error> {
        let ca = if name == FRONT_PROXY_CLIENT { &self.front_proxy_ca } else { &self.ca };
        let (cert_path, key_path) = (self.folder.join(format!("{name}.crt")), self.folder.join(format!("{name}.key")));
        if let (Some(cert), Some(key)) = (file::read(&cert_path)?, file::read(&key_path)?) {
            let key = Key::from_pem(&key, name).ok();
            if let Some(key) = key.filter(|key| is_good(&cert, key, profile, ca, now)) {
                return Ok(Pair { cert, key });
            }
        }
        let pair = ca.issue(profile, now)?;
        // The key first: a certificate without its key on disk would be found and replaced at the next start.
        file::replace(&key_path, &pair.key.to_pem(), file::SECRET)?;
        file::replace(&cert_path, &pair.cert, file::PUBLIC)?;
        changed.push(name.into());
        Ok(pair)
    }
}

/// Does the certificate still say all that the profile asks?
fn is_good(cert: &str, key: &Key, profile: &Profile, ca: &Authority, now: Timestamp) -> bool {
    let (Ok(cert), Ok(ca)) = (Certificate::from_pem(cert), Certificate::from_pem(ca.cert())) else { return false };
    let usable = !cert.needs_renewal(now) && cert.public_key == key.public_der() && cert.is_signed_by(&ca);
    let named = profile.dns.iter().all(|name| cert.dns.contains(name)) && profile.ips.iter().all(|ip| cert.ips.contains(ip));
    usable && named && cert.subject == profile.subject && cert.client_auth >= profile.client && cert.server_auth >= profile.server
}

fn authority(folder: &Path, name: &str, common_name: &str, now: Timestamp, changed: &mut Vec<String>) -> Result<Authority, Error> {
    let (cert_path, key_path) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    let place = cert_path.display().to_string();
    let authority = match (file::read(&cert_path)?, file::read(&key_path)?) {
        (Some(cert), Some(key)) => {
            let authority = Authority::load(&cert, &key, &place)?;
            let parsed = Certificate::from_pem(&cert).map_err(|why| Error::unusable(&place, "CA certificate", why))?;
            if !parsed.needs_renewal(now) {
                return Ok(authority);
            }
            authority.renew(now, CA_VALID)?
        }
        (Some(_), None) => return Err(Error::unusable(&place, "CA", "its key is missing")),
        // Killed between the two files at the very first start: nothing was signed yet.
        (None, _) => Authority::create(common_name, now, CA_VALID)?,
    };
    file::replace(&key_path, &authority.key().to_pem(), file::SECRET)?;
    file::replace(&cert_path, authority.cert(), file::PUBLIC)?;
    changed.push(name.into());
    Ok(authority)
}

fn token_key(folder: &Path, changed: &mut Vec<String>) -> Result<Key, Error> {
    let path = folder.join("sa.key");
    if let Some(text) = file::read(&path)? {
        return Key::from_pem(&text, &path.display().to_string());
    }
    let key = Key::generate()?;
    file::replace(&path, &key.to_pem(), file::SECRET)?;
    file::replace(&folder.join("sa.pub"), &key.public_pem(), file::PUBLIC)?;
    changed.push("sa".into());
    Ok(key)
}

fn profiles(wanted: &Wanted) -> Vec<(&'static str, Profile)> {
    let node = format!("system:node:{}", wanted.node_name);
    let client = |user: &str, groups: &[&str]| Profile::client(Subject::new(user, groups), LEAF_VALID);
    let server = |user: &str, dns, ips| Profile::server(Subject::new(user, &[]), dns, ips, LEAF_VALID);
    let mut all = vec![
        (SERVER, server("kube-apiserver", server_names(wanted), server_ips(wanted))),
        (KUBELET_CLIENT, client("kube-apiserver-kubelet-client", &["system:masters"])),
        (FRONT_PROXY_CLIENT, client("front-proxy-client", &[])),
        (ADMIN, client("kubernetes-admin", &["system:masters"])),
        (CONTROLLER_MANAGER, client("system:kube-controller-manager", &[])),
        (SCHEDULER, client("system:kube-scheduler", &[])),
        (PROXY, client("system:kube-proxy", &[])),
        (DNS, client("system:serviceaccount:kube-system:kube-dns", &["system:serviceaccounts", "system:serviceaccounts:kube-system"])),
    ];
    if !wanted.node_name.is_empty() {
        let mut serving = server(&node, vec![wanted.node_name.clone(), "localhost".into()], wanted.node_ips.clone());
        serving.subject.groups = vec!["system:nodes".into()];
        serving.ips.extend(loopback());
        all.push((KUBELET, client(&node, &["system:nodes"])));
        all.push((KUBELET_SERVER, serving));
    }
    all
}

fn loopback() -> [IpAddr; 2] {
    [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])]
}

fn server_names(wanted: &Wanted) -> Vec<String> {
    let mut names: Vec<String> = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"].map(String::from).into();
    if !wanted.cluster_domain.is_empty() {
        names.push(format!("kubernetes.default.svc.{}", wanted.cluster_domain));
    }
    let more = [&wanted.node_name].into_iter().chain(&wanted.server_names).filter(|name| !name.is_empty());
    names.extend(more.cloned());
    names.dedup();
    names
}

fn server_ips(wanted: &Wanted) -> Vec<IpAddr> {
    let mut ips: Vec<IpAddr> = loopback().into();
    for ip in wanted.service_ip.iter().chain(&wanted.node_ips).chain(&wanted.server_ips) {
        if !ips.contains(ip) {
            ips.push(*ip);
        }
    }
    ips
}

#[cfg(test)]
mod tests;
