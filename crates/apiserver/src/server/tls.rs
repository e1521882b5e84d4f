//! TLS of the listener: the server's certificate and the client CAs, exchanged at run time so that renewed certificates need no
//! restart. Connections keep what they were made with.
use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the {what} cannot be read: {why}")]
    Unreadable { what: &'static str, why: String },
    #[error("the certificates cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    #[error("the client authorities cannot be used: {0}")]
    Authorities(String),
}

/// What the listener shows and whom it believes, in PEM.
pub struct TlsFiles<'a> {
    pub cert: &'a str,
    pub key: &'a str,
    /// Authorities of client certificates; empty: none are asked for.
    pub client_ca: &'a str,
}

pub struct Tls(ArcSwap<ServerConfig>);

impl Tls {
    pub fn new(files: &TlsFiles) -> Result<Arc<Tls>, TlsError> {
        Ok(Arc::new(Tls(ArcSwap::from_pointee(config(files)?))))
    }

    /// For all connections from now on.
    pub fn replace(&self, files: &TlsFiles) -> Result<(), TlsError> {
        self.0.store(Arc::new(config(files)?));
        Ok(())
    }

    pub fn current(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }
}

fn config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates(files.cert, "certificate")?;
    let key = PrivateKeyDer::from_pem_slice(files.key.as_bytes());
    let key = key.map_err(|error| TlsError::Unreadable { what: "key", why: error.to_string() })?;
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match files.client_ca.is_empty() {
        true => builder.with_no_client_auth(),
        false => {
            let mut roots = RootCertStore::empty();
            for ca in certificates(files.client_ca, "client authority")? {
                roots.add(ca)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated();
            builder.with_client_cert_verifier(verifier.build().map_err(|error| TlsError::Authorities(error.to_string()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|error| TlsError::Unreadable { what, why: error.to_string() })?;
    if all.is_empty() {
        return Err(TlsError::Unreadable { what, why: "it holds no certificate".into() });
    }
    Ok(all)
}
