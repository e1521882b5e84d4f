//! Floor 1: keys, certificates, signing requests, service account tokens and kubeconfigs.
//! It decides nothing about who may have a certificate, and never asks the clock: `now` comes from the caller. Private keys
//! leave it only as files of mode 0600.
pub mod authority;
pub mod certificate;
pub mod csr;
mod der;
pub mod directory;
pub mod file;
pub mod jwt;
pub mod key;
pub mod kubeconfig;
pub mod pem;

pub use authority::{Authority, Pair, Profile, Subject};
pub use certificate::Certificate;
pub use csr::SigningRequest;
pub use directory::{Directory, Wanted};
pub use jwt::{Signer, Verifier};
pub use key::Key;
pub use kubeconfig::Kubeconfig;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error("{place} holds no usable {what}: {why}")]
    Unusable { place: String, what: &'static str, why: String },
    #[error("the signing request is refused: {0}")]
    Request(String),
    #[error("the cryptographic library failed while {0}")]
    Crypto(&'static str),
}

impl Error {
    pub(crate) fn unusable(place: &str, what: &'static str, why: impl ToString) -> Error {
        Error::Unusable { place: place.into(), what, why: why.to_string() }
    }
}
