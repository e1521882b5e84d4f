//! A small HTTP client for probes and hooks: one connection per request, certificates not verified, redirects followed on the
//! same host only. The texts of failures are those that users know.
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// More of an answer is not read.
const MAX_BODY_BYTES: usize = 10 * 1024;
const MAX_REDIRECTS: usize = 10;

pub struct Get {
    pub https: bool,
    pub address: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub agent: String,
}

impl Get {
    pub fn url(&self) -> String {
        format!("{}://{}{}", if self.https { "https" } else { "http" }, self.address, self.path)
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects, with the error as Go tells it.
pub async fn connect(address: &str, limit: Duration) -> Result<TcpStream, String> {
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {address}: {}", dial(&error))),
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
    }
}

fn dial(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".into(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".into(),
        std::io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".into(),
        std::io::ErrorKind::TimedOut => "i/o timeout".into(),
        _ => error.to_string(),
    }
}

/// `Ok(Some(warning))`: a success that needs a word.
pub async fn get(first: &Get) -> Result<Option<String>, String> {
    let (mut address, mut path, mut https) = (first.address.clone(), first.path.clone(), first.https);
    for _ in 0..=MAX_REDIRECTS {
        let one = Get { https, address: address.clone(), path: path.clone(), headers: first.headers.clone(), agent: first.agent.clone() };
        let (code, location, body) = ask(&one).await.map_err(|error| format!("Get \"{}\": {error}", one.url()))?;
        let next = location.filter(|_| (300..400).contains(&code)).and_then(|text| text.parse::<Uri>().ok());
        let Some(next) = next else {
            return if (200..400).contains(&code) { Ok(None) } else { Err(format!("HTTP probe failed with statuscode: {code}")) };
        };
        if let Some(authority) = next.authority() {
            if authority.host() != host_of(&first.address) {
                return Ok(Some(format!("Probe terminated redirects, Response body: {body}")));
            }
            https = next.scheme_str() == Some("https");
            let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
            address = format!("{}:{port}", authority.host());
        }
        path = next.path_and_query().map_or("/".into(), ToString::to_string);
    }
    Err(format!("Get \"{}\": stopped after {MAX_REDIRECTS} redirects", first.url()))
}

fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

async fn ask(get: &Get) -> Result<(u16, Option<String>, String), String> {
    let stream = TcpStream::connect(&get.address).await.map_err(|error| format!("dial tcp {}: {}", get.address, dial(&error)))?;
    let stream: Box<dyn Stream> = if get.https { Box::new(secure(stream, get).await?) } else { Box::new(stream) };
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(|error| error.to_string())?;
    let driving = tokio::spawn(connection);
    let answer = sender
        .send_request(request(get)?)
        .await
        .map_err(|error| if error.is_incomplete_message() { "EOF".into() } else { error.to_string() });
    let result = match answer {
        Err(error) => Err(error),
        Ok(answer) => {
            let code = answer.status().as_u16();
            let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(String::from);
            let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await;
            let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
            Ok((code, location, text))
        }
    };
    driving.abort();
    result
}

fn request(get: &Get) -> Result<Request<Empty<bytes::Bytes>>, String> {
    let mut builder = Request::get(&get.path);
    let own = |name: &str| get.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    if !own("host") {
        builder = builder.header(header::HOST, &get.address);
    }
    if !own("user-agent") {
        builder = builder.header(header::USER_AGENT, &get.agent);
    }
    if !own("accept") {
        builder = builder.header(header::ACCEPT, "*/*");
    }
    for (name, value) in &get.headers {
        builder = builder.header(name, value);
    }
    builder.header(header::CONNECTION, "close").body(Empty::new()).map_err(|error| error.to_string())
}

async fn secure(stream: TcpStream, get: &Get) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let host = host_of(&get.address).trim_matches(['[', ']']).to_string();
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())
}

/// Probes ask whether something answers, not who: as the original, no certificate is refused.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
