//! The remote transport: HTTP/1.1 and HTTP/2 over TLS to an API server, ours or the original.
//! It carries requests and answers as they are; a server that cannot be reached is answered as a 503 `Status`.
use crate::body::Body;
use crate::service::Service;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use machinery::status::{Reason, Status};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const PING: Duration = Duration::from_secs(30);

/// Where the server is and how to prove who one is; PEM throughout.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `https://host:port`
    pub server: String,
    pub ca: String,
    /// The name to check the server's certificate for, if it is not the host's.
    pub tls_server_name: Option<String>,
    /// Certificate and key.
    pub pair: Option<(String, String)>,
    pub token: Option<String>,
    /// Read anew for every request: service account tokens change.
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0:?} is not an https:// address")]
    Address(String),
    #[error("the {what} cannot be read: {why}")]
    Pem { what: &'static str, why: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A connection to one server.
pub struct Remote {
    http: hyper_util::client::legacy::Client<Connector, Body>,
    base: String,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

impl Remote {
    pub fn new(config: &Config) -> Result<Arc<Remote>, Error> {
        let base = config.server.trim_end_matches('/').to_string();
        let uri: Uri = base.parse().map_err(|_| Error::Address(base.clone()))?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(|| Error::Address(base.clone()))?;
        let name = config.tls_server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']).to_string();
        let name = ServerName::try_from(name).map_err(|_| Error::Address(base.clone()))?;
        let connector = Connector { tls: TlsConnector::from(Arc::new(tls(config)?)), name };
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(PING)
            .http2_adaptive_window(true)
            .build(connector);
        Ok(Arc::new(Remote { http, base, token: config.token.clone(), token_file: config.token_file.clone() }))
    }

    fn bearer(&self) -> Option<HeaderValue> {
        let from_file = || std::fs::read_to_string(self.token_file.as_ref()?).ok();
        let token = from_file().or_else(|| self.token.clone())?;
        HeaderValue::from_str(&format!("Bearer {}", token.trim())).ok()
    }
}

impl Service for Remote {
    fn call(&self, mut request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        match format!("{}{path}", self.base).parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => return futures::future::ready(unreachable("the path is not one")).boxed(),
        }
        if let Some(bearer) = self.bearer() {
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        let answer = self.http.request(request);
        async move {
            match answer.await {
                Ok(response) => response.map(Body::Incoming),
                Err(error) => unreachable(&causes(&error)),
            }
        }
        .boxed()
    }
}

/// An error with everything below it, once each.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text += &format!(": {cause}");
        below = cause.source();
    }
    text
}

fn unreachable(why: &str) -> Response<Body> {
    let status = Status::new(Reason::ServiceUnavailable, format!("the API server cannot be reached: {why}"));
    let mut response = Response::new(Body::json(&status.to_value()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

fn tls(config: &Config) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for ca in certificates(&config.ca, "server's authority")? {
        roots.add(ca)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let mut tls = match &config.pair {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| Error::Pem { what: "key", why: error.to_string() })?;
            builder.with_client_auth_cert(certificates(cert, "certificate")?, key)?
        }
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    all.map_err(|error| Error::Pem { what, why: error.to_string() })
}

#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Secured>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Connector { tls, name } = self.clone();
        async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_string();
            let connect = async {
                let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
                stream.set_nodelay(true)?;
                tls.connect(name, stream).await
            };
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| io::ErrorKind::TimedOut)??;
            Ok(TokioIo::new(Secured(Box::new(stream))))
        }
        .boxed()
    }
}

/// A TLS stream that tells hyper which protocol was agreed on.
pub struct Secured(Box<TlsStream<TcpStream>>);

impl Connection for Secured {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.0.get_ref().1.alpn_protocol() == Some(b"h2") { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
