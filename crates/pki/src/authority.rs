//! A certificate authority: makes itself, issues certificates for keys that it makes, and signs other people's requests with
//! their subject exactly as it stands in the request.
use crate::csr::SigningRequest;
use crate::der::{self, Der};
use crate::key::{Key, random};
use crate::{Certificate, Error, pem};
use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};
use std::net::IpAddr;

/// Clocks differ a little: certificates begin this long before they are made.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Who a certificate speaks for: the user is the CN, each group an O.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub user: String,
    pub groups: Vec<String>,
}

impl Subject {
    pub fn new(user: &str, groups: &[&str]) -> Subject {
        Subject { user: user.into(), groups: groups.iter().map(|group| group.to_string()).collect() }
    }
}

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub subject: Subject,
    pub server: bool,
    pub client: bool,
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub valid: SignedDuration,
}

impl Profile {
    pub fn client(subject: Subject, valid: SignedDuration) -> Profile {
        Profile { subject, server: false, client: true, dns: Vec::new(), ips: Vec::new(), valid }
    }

    pub fn server(subject: Subject, dns: Vec<String>, ips: Vec<IpAddr>, valid: SignedDuration) -> Profile {
        Profile { subject, server: true, client: false, dns, ips, valid }
    }
}

/// A certificate (PEM) with its key.
#[derive(Debug)]
pub struct Pair {
    pub cert: String,
    pub key: Key,
}

#[derive(Debug)]
pub struct Authority {
    cert: String,
    key: Key,
    /// The subject's DER: the issuer of what it signs.
    name: Der,
    key_id: Vec<u8>,
    not_after: Timestamp,
}

/// The parts of a certificate that differ.
struct Body<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    public_key: &'a [u8],
    not_before: Timestamp,
    not_after: Timestamp,
    extensions: Vec<Der>,
}

impl Authority {
    pub fn create(name: &str, now: Timestamp, valid: SignedDuration) -> Result<Authority, Error> {
        Authority::from_key(Key::generate()?, der::name(&[], name), now, valid)
    }

    pub fn load(cert: &str, key: &str, place: &str) -> Result<Authority, Error> {
        let key = Key::from_pem(key, place)?;
        let parsed = Certificate::from_pem(cert).map_err(|why| Error::unusable(place, "CA certificate", why))?;
        if parsed.public_key != key.public_der() {
            return Err(Error::unusable(place, "CA", "the key is not the certificate's"));
        }
        if !parsed.is_ca {
            return Err(Error::unusable(place, "CA certificate", "it is not one of an authority"));
        }
        let key_id = key_id(key.public_point());
        Ok(Authority { cert: cert.into(), key, name: parsed.subject_der, key_id, not_after: parsed.not_after })
    }

    /// The same authority with a later end: same key and name, so all that it signed stays good.
    pub fn renew(self, now: Timestamp, valid: SignedDuration) -> Result<Authority, Error> {
        Authority::from_key(self.key, self.name, now, valid)
    }

    fn from_key(key: Key, name: Der, now: Timestamp, valid: SignedDuration) -> Result<Authority, Error> {
        let key_id = key_id(key.public_point());
        let extensions = vec![
            der::extension(der::KEY_USAGE, true, &der::named_bits(&[0, 2, 5])),
            der::extension(der::BASIC_CONSTRAINTS, true, &der::sequence(&[der::boolean(true)])),
            der::extension(der::SUBJECT_KEY_ID, false, &der::octets(&key_id)),
        ];
        let (not_before, not_after) = (now - SKEW, now + valid);
        let public_key = key.public_der();
        let body = Body { issuer: &name, subject: &name, public_key: &public_key, not_before, not_after, extensions };
        let cert = body.sign(&key)?;
        Ok(Authority { cert, key, name, key_id, not_after })
    }

    /// PEM.
    pub fn cert(&self) -> &str {
        &self.cert
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// A new key and a certificate for it, never longer than the authority itself.
    pub fn issue(&self, profile: &Profile, now: Timestamp) -> Result<Pair, Error> {
        let key = Key::generate()?;
        let subject = der::name(&profile.subject.groups, &profile.subject.user);
        let mut usages = Vec::new();
        if profile.server {
            usages.push("server auth");
        }
        if profile.client {
            usages.push("client auth");
        }
        let names = alt_names(&profile.dns, &profile.ips);
        let extensions = self.leaf_extensions(&["digital signature"], &usages, names)?;
        let (not_before, not_after) = (now - SKEW, (now + profile.valid).min(self.not_after));
        let public_key = key.public_der();
        let cert =
            Body { issuer: &self.name, subject: &subject, public_key: &public_key, not_before, not_after, extensions }.sign(&self.key)?;
        Ok(Pair { cert, key })
    }

    /// Signs a request: subject and names as requested, usages (by their names in the certificates API) as given.
    pub fn sign(&self, request: &SigningRequest, usages: &[&str], now: Timestamp, valid: SignedDuration) -> Result<String, Error> {
        let names = request.alt_names_der.clone().map(|names| (names, request.subject.user.is_empty()));
        let extensions = self.leaf_extensions(usages, usages, names)?;
        let (not_before, not_after) = (now - SKEW, (now + valid).min(self.not_after));
        let (subject, public_key) = (&request.subject_der, &request.public_key);
        Body { issuer: &self.name, subject, public_key, not_before, not_after, extensions }.sign(&self.key)
    }

    fn leaf_extensions(&self, key_usages: &[&str], extended: &[&str], names: Option<(Der, bool)>) -> Result<Vec<Der>, Error> {
        let bits: Vec<u8> = key_usages.iter().filter_map(|usage| key_usage(usage)).collect();
        let purposes: Vec<Der> = extended.iter().filter_map(|usage| purpose(usage)).map(der::oid).collect();
        if let Some(unknown) = extended.iter().find(|usage| key_usage(usage).is_none() && purpose(usage).is_none()) {
            return Err(Error::Request(format!("unrecognized usage \"{unknown}\"")));
        }
        let mut extensions = Vec::new();
        if !bits.is_empty() {
            extensions.push(der::extension(der::KEY_USAGE, true, &der::named_bits(&bits)));
        }
        if !purposes.is_empty() {
            extensions.push(der::extension(der::EXTENDED_KEY_USAGE, false, &der::sequence(&purposes)));
        }
        extensions.push(der::extension(der::BASIC_CONSTRAINTS, true, &der::sequence(&[])));
        extensions.push(der::extension(der::AUTHORITY_KEY_ID, false, &der::sequence(&[der::implicit(0, &self.key_id)])));
        if let Some((names, critical)) = names {
            extensions.push(der::extension(der::SUBJECT_ALT_NAME, critical, &names));
        }
        Ok(extensions)
    }
}

impl Body<'_> {
    fn sign(&self, key: &Key) -> Result<String, Error> {
        let mut serial = random::<16>()?;
        serial[0] = serial[0] & 0x7f | 0x40;
        let body = der::sequence(&[
            der::context(0, &der::integer(&[2])),
            der::integer(&serial),
            der::ecdsa_sha256(),
            self.issuer.to_vec(),
            der::sequence(&[der::time(self.not_before), der::time(self.not_after)]),
            self.subject.to_vec(),
            self.public_key.to_vec(),
            der::context(3, &der::sequence(&self.extensions)),
        ]);
        let signature = key.sign(&body)?;
        Ok(pem::encode("CERTIFICATE", &der::sequence(&[body, der::ecdsa_sha256(), der::bits(&signature)])))
    }
}

/// `GeneralNames` and whether the extension is critical; nothing without names.
pub(crate) fn alt_names(dns: &[String], ips: &[IpAddr]) -> Option<(Der, bool)> {
    if dns.is_empty() && ips.is_empty() {
        return None;
    }
    let dns = dns.iter().map(|name| der::implicit(2, name.as_bytes()));
    let ips = ips.iter().map(|ip| match ip {
        IpAddr::V4(ip) => der::implicit(7, &ip.octets()),
        IpAddr::V6(ip) => der::implicit(7, &ip.octets()),
    });
    Some((der::sequence(&dns.chain(ips).collect::<Vec<_>>()), false))
}

fn key_id(point: &[u8]) -> Vec<u8> {
    digest(&SHA256, point).as_ref()[..20].to_vec()
}

/// Bits of the key usage extension (RFC 5280, 4.2.1.3), by the names of `certificates.k8s.io`.
fn key_usage(name: &str) -> Option<u8> {
    Some(match name {
        "signing" | "digital signature" => 0,
        "content commitment" => 1,
        "key encipherment" => 2,
        "data encipherment" => 3,
        "key agreement" => 4,
        "cert sign" => 5,
        "crl sign" => 6,
        "encipher only" => 7,
        _ => return None,
    })
}

/// Purposes of the extended key usage extension, by the names of `certificates.k8s.io`.
fn purpose(name: &str) -> Option<&'static [u64]> {
    Some(match name {
        "any" => &[2, 5, 29, 37, 0],
        "server auth" => &[1, 3, 6, 1, 5, 5, 7, 3, 1],
        "client auth" => &[1, 3, 6, 1, 5, 5, 7, 3, 2],
        "code signing" => &[1, 3, 6, 1, 5, 5, 7, 3, 3],
        "email protection" | "s/mime" => &[1, 3, 6, 1, 5, 5, 7, 3, 4],
        "ipsec end system" => &[1, 3, 6, 1, 5, 5, 7, 3, 5],
        "ipsec tunnel" => &[1, 3, 6, 1, 5, 5, 7, 3, 6],
        "ipsec user" => &[1, 3, 6, 1, 5, 5, 7, 3, 7],
        "timestamping" => &[1, 3, 6, 1, 5, 5, 7, 3, 8],
        "ocsp signing" => &[1, 3, 6, 1, 5, 5, 7, 3, 9],
        "microsoft sgc" => &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3],
        "netscape sgc" => &[2, 16, 840, 1, 113730, 4, 1],
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
