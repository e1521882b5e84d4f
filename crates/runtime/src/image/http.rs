//! A small HTTP client for registries: one connection per request, TLS with the host's certificate authorities, redirects followed.
//! It never sends credentials to another host than the one they are for.
use super::lookup;
use crate::problem::{Doing, Outcome, Problem};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a server may say nothing.
pub const IDLE_PATIENCE: Duration = Duration::from_secs(60);
const REDIRECT_LIMIT: usize = 5;

#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub uri: Uri,
    pub accept: &'static str,
    pub authorization: Option<String>,
    /// A form to POST; else it is a GET.
    pub form: Option<String>,
}

pub async fn send(ask: &Ask) -> Outcome<Response<Incoming>> {
    let mut ask = ask.clone();
    for _ in 0..=REDIRECT_LIMIT {
        let response = send_once(&ask).await?;
        let Some(target) = redirect(&ask.uri, &response)? else { return Ok(response) };
        if target.authority() != ask.uri.authority() {
            ask.authorization = None;
        }
        ask.uri = target;
    }
    Err(Problem::failed(format_args!("{}: too many redirects", ask.uri)))
}

fn redirect(from: &Uri, response: &Response<Incoming>) -> Outcome<Option<Uri>> {
    let moved = [StatusCode::MOVED_PERMANENTLY, StatusCode::FOUND, StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];
    if !moved.contains(&response.status()) {
        return Ok(None);
    }
    let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = if target.starts_with('/') {
        format!("{}://{}{target}", from.scheme_str().unwrap_or("https"), from.authority().map(|one| one.as_str()).unwrap_or_default())
    } else {
        target.to_owned()
    };
    let uri: Uri = text.parse().map_err(|error| Problem::failed(format_args!("redirect to {text:?}: {error}")))?;
    if from.scheme_str() == Some("https") && uri.scheme_str() != Some("https") {
        return Err(Problem::failed(format_args!("{from} redirects away from TLS to {uri}")));
    }
    Ok(Some(uri))
}

async fn send_once(ask: &Ask) -> Outcome<Response<Incoming>> {
    let secure = ask.uri.scheme_str() == Some("https");
    let host = ask.uri.host().ok_or_else(|| Problem::invalid(format_args!("{}: no host", ask.uri)))?;
    let port = ask.uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let connect = async {
        let stream = connect(host, port).await?;
        if !secure {
            return hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Problem::failed).map(
                |(sender, connection)| {
                    tokio::spawn(connection);
                    sender
                },
            );
        }
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned().try_into().map_err(Problem::failed)?;
        let stream = TlsConnector::from(trust()?).connect(name, stream).await.doing(format_args!("TLS with {host}"))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Problem::failed)?;
        tokio::spawn(connection);
        Ok(sender)
    };
    let late = || Problem::failed(format_args!("connect to {host}:{port}: no answer in time"));
    let mut sender = tokio::time::timeout(CONNECT_PATIENCE, connect).await.map_err(|_| late())??;
    let response = tokio::time::timeout(IDLE_PATIENCE, sender.send_request(request(ask)?)).await.map_err(|_| late())?;
    response.map_err(|error| Problem::failed(format_args!("{}: {error}", ask.uri)))
}

fn request(ask: &Ask) -> Outcome<Request<Full<Bytes>>> {
    let path = ask.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(if ask.form.is_some() { "POST" } else { "GET" })
        .uri(path)
        .header(header::HOST, ask.uri.authority().map(|one| one.as_str()).unwrap_or_default())
        .header(header::USER_AGENT, concat!("coxswain/", env!("CARGO_PKG_VERSION")));
    if !ask.accept.is_empty() {
        request = request.header(header::ACCEPT, ask.accept);
    }
    if let Some(authorization) = &ask.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    if ask.form.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    request.body(Full::new(ask.form.clone().unwrap_or_default().into())).map_err(Problem::failed)
}

async fn connect(host: &str, port: u16) -> Outcome<TcpStream> {
    let mut why = Problem::failed(format_args!("{host}: no address"));
    for address in lookup::addresses(host).await? {
        match TcpStream::connect((address, port)).await.doing(format_args!("dial tcp {address}:{port}")) {
            Ok(stream) => return Ok(stream),
            Err(problem) => why = problem,
        }
    }
    Err(why)
}

/// The host's certificate authorities, read once.
fn trust() -> Outcome<Arc<ClientConfig>> {
    static TRUST: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(known) = TRUST.get() {
        return Ok(known.clone());
    }
    const BUNDLES: [&str; 4] =
        ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];
    let own = std::env::var("SSL_CERT_FILE").ok();
    let mut roots = RootCertStore::empty();
    for path in own.iter().map(String::as_str).chain(BUNDLES) {
        use rustls_pki_types::pem::PemObject;
        if let Ok(certificates) = rustls_pki_types::CertificateDer::pem_file_iter(path) {
            roots.add_parsable_certificates(certificates.flatten());
            break;
        }
    }
    if roots.is_empty() {
        return Err(Problem::failed("no certificate authorities found (install ca-certificates, or set SSL_CERT_FILE)"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(Problem::failed)?.with_root_certificates(roots).with_no_client_auth();
    Ok(TRUST.get_or_init(|| Arc::new(config)).clone())
}

/// The whole body, up to `limit` bytes.
pub async fn read(response: Response<Incoming>, limit: u64) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut body = response.into_body();
    while let Some(part) = next(&mut body).await? {
        bytes.extend(part);
        if bytes.len() as u64 > limit {
            return Err(Problem::failed(format_args!("the answer is longer than {limit} bytes")));
        }
    }
    Ok(bytes)
}

/// The next bytes of a body.
pub async fn next(body: &mut Incoming) -> Outcome<Option<Bytes>> {
    loop {
        let frame = tokio::time::timeout(IDLE_PATIENCE, body.frame()).await.map_err(|_| Problem::failed("the server has gone silent"))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(Problem::failed(format_args!("read from the server: {error}"))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
