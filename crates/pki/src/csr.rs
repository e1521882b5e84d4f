//! Certificate signing requests (PKCS#10): made for our own keys, and read from others with the signature checked.
use crate::authority::{Subject, alt_names};
use crate::certificate::{Names, subject};
use crate::der;
use crate::key::Key;
use crate::{Error, pem};
use std::net::IpAddr;
use x509_parser::prelude::{FromDer, ParsedCriAttribute, X509CertificationRequest};

/// A request whose signature has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    pub subject: Subject,
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub emails: Vec<String>,
    pub uris: Vec<String>,
    /// The subject has other parts than CN and O.
    pub other_names: bool,
    pub(crate) subject_der: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) alt_names_der: Option<Vec<u8>>,
}

impl SigningRequest {
    /// The request is the only block of the text, as the API asks.
    pub fn from_pem(text: &str) -> Result<SigningRequest, Error> {
        let blocks = pem::decode(text, &["CERTIFICATE REQUEST"]);
        let der = blocks.first().ok_or_else(|| Error::Request("PEM block type must be CERTIFICATE REQUEST".into()))?;
        SigningRequest::from_der(der)
    }

    pub fn from_der(der: &[u8]) -> Result<SigningRequest, Error> {
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|error| Error::Request(error.to_string()))?;
        if !rest.is_empty() {
            return Err(Error::Request("trailing data".into()));
        }
        request.verify_signature().map_err(|error| Error::Request(error.to_string()))?;
        let info = &request.certification_request_info;
        let names = Names::of(request.requested_extensions().into_iter().flatten());
        let known = info.subject.iter_common_name().count() + info.subject.iter_organization().count();
        Ok(SigningRequest {
            subject: subject(&info.subject),
            dns: names.dns,
            ips: names.ips,
            emails: names.emails,
            uris: names.uris,
            other_names: info.subject.iter_attributes().count() > known,
            subject_der: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
            alt_names_der: requested_names(&request),
        })
    }
}

/// The requested alternative names as they stand in the request.
fn requested_names(request: &X509CertificationRequest) -> Option<Vec<u8>> {
    let names = der::oid(der::SUBJECT_ALT_NAME);
    request.certification_request_info.iter_attributes().find_map(|attribute| {
        let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else { return None };
        let found = requested.extensions.iter().find(|extension| extension.oid.as_bytes() == &names[2..])?;
        Some(found.value.to_vec())
    })
}

/// A request for our own key, as PEM.
pub fn create(key: &Key, subject: &Subject, dns: &[String], ips: &[IpAddr]) -> Result<String, Error> {
    let attributes = match alt_names(dns, ips) {
        None => Vec::new(),
        Some((names, critical)) => {
            let extensions = der::sequence(&[der::extension(der::SUBJECT_ALT_NAME, critical, &names)]);
            der::sequence(&[der::oid(der::EXTENSION_REQUEST), der::set(vec![extensions])])
        }
    };
    let name = der::name(&subject.groups, &subject.user);
    let info = der::sequence(&[der::integer(&[0]), name, key.public_der(), der::context(0, &attributes)]);
    let signature = key.sign(&info)?;
    Ok(pem::encode("CERTIFICATE REQUEST", &der::sequence(&[info, der::ecdsa_sha256(), der::bits(&signature)])))
}
