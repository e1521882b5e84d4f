//! Reads certificates: who they speak for, for which names, until when. It verifies single signatures; chains are the TLS
//! library's work.
use crate::authority::Subject;
use crate::pem;
use jiff::{SignedDuration, Timestamp};
use std::net::IpAddr;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub subject: Subject,
    pub issuer: String,
    pub serial: String,
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub emails: Vec<String>,
    pub uris: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub is_ca: bool,
    pub client_auth: bool,
    pub server_auth: bool,
    pub der: Vec<u8>,
    pub(crate) subject_der: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
}

impl Certificate {
    /// The first certificate of a PEM file; the error says why there is none.
    pub fn from_pem(text: &str) -> Result<Certificate, String> {
        let blocks = pem::certificates(text);
        Certificate::from_der(blocks.first().ok_or("no CERTIFICATE block in it")?)
    }

    pub fn from_der(der: &[u8]) -> Result<Certificate, String> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let names = Names::of(cert.extensions().iter().map(|extension| extension.parsed_extension()));
        let usage = cert.extended_key_usage().ok().flatten().map(|usage| usage.value.clone());
        Ok(Certificate {
            subject: subject(cert.subject()),
            issuer: cert.issuer().to_string(),
            serial: cert.raw_serial_as_string(),
            dns: names.dns,
            ips: names.ips,
            emails: names.emails,
            uris: names.uris,
            not_before: timestamp(cert.validity().not_before.timestamp())?,
            not_after: timestamp(cert.validity().not_after.timestamp())?,
            is_ca: cert.is_ca(),
            client_auth: usage.as_ref().is_some_and(|usage| usage.client_auth || usage.any),
            server_auth: usage.as_ref().is_some_and(|usage| usage.server_auth || usage.any),
            der: der.to_vec(),
            subject_der: cert.subject().as_raw().to_vec(),
            public_key: cert.public_key().raw.to_vec(),
        })
    }

    /// Less than a third of its life is left.
    pub fn needs_renewal(&self, now: Timestamp) -> bool {
        let life = self.not_after.duration_since(self.not_before);
        now >= self.not_after - life / 3 || now < self.not_before
    }

    /// How long it is still good; negative once it is over.
    pub fn remaining(&self, now: Timestamp) -> SignedDuration {
        self.not_after.duration_since(now)
    }

    pub fn is_signed_by(&self, ca: &Certificate) -> bool {
        let Ok((_, own)) = X509Certificate::from_der(&self.der) else { return false };
        let Ok((_, ca)) = X509Certificate::from_der(&ca.der) else { return false };
        own.issuer().as_raw() == ca.subject().as_raw() && own.verify_signature(Some(ca.public_key())).is_ok()
    }
}

/// The CN (the last, where there are several) and every O.
pub(crate) fn subject(name: &X509Name) -> Subject {
    let user = name.iter_common_name().last().and_then(|part| part.as_str().ok()).unwrap_or_default().to_string();
    let groups = name.iter_organization().filter_map(|part| part.as_str().ok()).map(String::from).collect();
    Subject { user, groups }
}

fn timestamp(seconds: i64) -> Result<Timestamp, String> {
    Timestamp::from_second(seconds).map_err(|error| error.to_string())
}

/// The alternative names of a certificate or request.
#[derive(Default)]
pub(crate) struct Names {
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub emails: Vec<String>,
    pub uris: Vec<String>,
}

impl Names {
    pub(crate) fn of<'a>(extensions: impl Iterator<Item = &'a ParsedExtension<'a>>) -> Names {
        let mut names = Names::default();
        for extension in extensions {
            let ParsedExtension::SubjectAlternativeName(alternative) = extension else { continue };
            for name in &alternative.general_names {
                names.add(name);
            }
        }
        names
    }

    fn add(&mut self, name: &GeneralName) {
        match name {
            GeneralName::DNSName(name) => self.dns.push(name.to_string()),
            GeneralName::RFC822Name(name) => self.emails.push(name.to_string()),
            GeneralName::URI(name) => self.uris.push(name.to_string()),
            GeneralName::IPAddress(bytes) => {
                if let Ok(four) = <[u8; 4]>::try_from(*bytes) {
                    self.ips.push(four.into());
                } else if let Ok(sixteen) = <[u8; 16]>::try_from(*bytes) {
                    self.ips.push(sixteen.into());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, Profile};

    #[test]
    fn renewal_is_due_in_the_last_third() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let day = SignedDuration::from_hours(24);
        let ca = Authority::create("ca", now, day * 3650).unwrap();
        let pair = ca.issue(&Profile::client(Subject::new("u", &[]), day * 90), now).unwrap();
        let cert = Certificate::from_pem(&pair.cert).unwrap();
        assert!(!cert.needs_renewal(now + day * 59));
        assert!(cert.needs_renewal(now + day * 61));
        assert!(cert.needs_renewal(now - day));
        assert_eq!(cert.remaining(now + day * 91), -day);
    }

    #[test]
    fn rubbish_is_an_error() {
        assert!(Certificate::from_pem("").is_err());
        assert!(Certificate::from_der(&[0x30, 0x80]).is_err());
    }
}
