//! The way to kubelets and pods: connections, with or without TLS. What goes over them is `forward`'s.
use arc_swap::ArcSwap;
use async_trait::async_trait;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A byte stream to somewhere.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// Opens connections to kubelets.
#[async_trait]
pub trait KubeletDialer: Send + Sync + 'static {
    /// `node` is the node's name, `host` one of its addresses.
    async fn dial(&self, node: &str, host: &str, port: u16) -> std::io::Result<Box<dyn Connection>>;
}

/// HTTPS with the server's own client certificate.
pub struct TlsDialer {
    config: ArcSwap<ClientConfig>,
}

impl TlsDialer {
    /// `ca`: who signs the kubelets' certificates; without it they are not checked, as with the original's default.
    pub fn new(ca: Option<&str>, cert: &str, key: &str) -> Result<TlsDialer, String> {
        Ok(TlsDialer { config: ArcSwap::from_pointee(config(ca, cert, key)?) })
    }

    /// For all connections from now on.
    pub fn replace(&self, ca: Option<&str>, cert: &str, key: &str) -> Result<(), String> {
        self.config.store(Arc::new(config(ca, cert, key)?));
        Ok(())
    }
}

#[async_trait]
impl KubeletDialer for TlsDialer {
    async fn dial(&self, _: &str, host: &str, port: u16) -> std::io::Result<Box<dyn Connection>> {
        let stream = plain(host, port).await?;
        secure(self.config.load_full(), host, stream).await
    }
}

/// TCP, within a limit of time.
pub async fn plain(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let connect = TcpStream::connect((host.trim_matches(['[', ']']), port));
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| std::io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// TLS without any check: pods and services behind the proxy have certificates that nobody knows.
pub async fn unchecked(host: &str, port: u16) -> std::io::Result<Box<dyn Connection>> {
    let config = builder().map_err(std::io::Error::other)?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(Arc::new(default_provider()))));
    secure(Arc::new(config.with_no_client_auth()), host, plain(host, port).await?).await
}

async fn secure(config: Arc<ClientConfig>, host: &str, stream: TcpStream) -> std::io::Result<Box<dyn Connection>> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_string()).map_err(std::io::Error::other)?;
    let handshake = TlsConnector::from(config).connect(name, stream);
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, handshake).await.map_err(|_| std::io::ErrorKind::TimedOut)??;
    Ok(Box::new(stream))
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())
}

fn config(ca: Option<&str>, cert: &str, key: &str) -> Result<ClientConfig, String> {
    let pem =
        |text: &str| CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string());
    let builder = match ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for ca in pem(ca)? {
                roots.add(ca).map_err(|error| error.to_string())?;
            }
            builder()?.with_root_certificates(roots)
        }
        None => builder()?.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(Arc::new(default_provider())))),
    };
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| error.to_string())?;
    builder.with_client_auth_cert(pem(cert)?, key).map_err(|error| error.to_string())
}

#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
