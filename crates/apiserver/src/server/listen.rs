//! TLS and HTTP/1.1 and HTTP/2 in front of the service. Each connection is its own task with its own limits; none can hold up the
//! others. A stop lets requests finish and ends watches.
use super::ApiServer;
use super::tls::Tls;
use crate::encode::header;
use crate::request::PeerCertificates;
use client::{Body, Service};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Connections at the same time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;
/// Streams at the same time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 250;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client sends the whole head of a request within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
const MAX_HEADER_BYTES: usize = 64 << 10;
/// HTTP/2 clients that do not answer pings are gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// TCP asks silent clients whether they are still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Bytes that nobody takes for so long end the connection.
const UNANSWERED_TIMEOUT: Duration = Duration::from_secs(60);
/// So long requests may go on after a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failure to accept (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a request comes from; an extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(pub SocketAddr);

impl ApiServer {
    /// Serves until `stop` was called and what was begun has ended. Without `tls` it talks plain HTTP (loopback tools and tests).
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<Arc<Tls>>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut stopping = self.state.stopping.subscribe();
        loop {
            let place = places.clone().acquire_owned().await;
            let accepted = tokio::select! {
                () = stopped(&mut stopping) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let connection = self.clone().connection(stream, remote, tls.clone());
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, places.acquire_many(all)).await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, remote: SocketAddr, tls: Option<Arc<Tls>>) {
        let _ = stream.set_nodelay(true);
        limit_silence(&stream);
        let Some(tls) = tls else { return self.http(stream, remote, None).await };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => {
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
                let peer = (!chain.is_empty()).then(|| PeerCertificates::new(chain));
                self.http(stream, remote, peer).await;
            }
            Ok(Err(error)) => tracing::debug!(%remote, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%remote, "TLS handshake took too long"),
        }
    }

    async fn http<S>(self: Arc<Self>, stream: S, remote: SocketAddr, peer: Option<PeerCertificates>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_header_list_size(MAX_HEADER_BYTES as u32);
        let mut stopping = self.state.stopping.subscribe();
        let service = hyper::service::service_fn(move |request| answer(self.clone(), request, remote, peer.clone()));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%remote, error = error.to_string(), "connection ended");
        }
    }
}

/// Ends connections whose other side is gone or takes nothing any more.
fn limit_silence(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    let set = socket.set_tcp_keepalive(&keepalive).and_then(|()| socket.set_tcp_user_timeout(Some(UNANSWERED_TIMEOUT)));
    if let Err(error) = set {
        tracing::debug!(%error, "cannot limit a connection's silence");
    }
}

async fn stopped(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn answer(
    server: Arc<ApiServer>,
    request: Request<Incoming>,
    remote: SocketAddr,
    peer: Option<PeerCertificates>,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::Incoming);
    // Only callers in the same process may say who they are.
    request.extensions_mut().remove::<client::Identity>();
    request.extensions_mut().insert(RemoteAddress(remote));
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let audit = server.state.config.random.uuid();
    let mut response = server.call(request).await;
    header(&mut response, "audit-id", &audit);
    if !response.headers().contains_key(http::header::CACHE_CONTROL) {
        header(&mut response, "cache-control", "no-cache, private");
    }
    Ok(response)
}
