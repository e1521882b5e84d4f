//! The streaming server: HTTP/1.1 on loopback. A request redeems its ticket, agrees on a protocol and is upgraded to WebSocket or
//! SPDY; then its streams belong to `session` or `forward`. Whoever has no ticket learns nothing.
use super::{Asked, forward, session};
use crate::problem::{Doing, Outcome};
use crate::runtime::Runtime;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use stream::{port_forward, remote_command};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

/// How many connections may be open.
const CONNECTION_LIMIT: usize = 1000;
/// How long a request's head may take.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// The pause after the system could not accept (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Answer = Response<Full<Bytes>>;
type Work = futures::future::BoxFuture<'static, ()>;

/// Listens for the URLs that `exec`, `attach` and `port_forward` give out, until the task is ended.
pub async fn start(runtime: &Arc<Runtime>) -> Outcome<tokio::task::JoinHandle<()>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.doing("listen for streams")?;
    runtime.streams.serve_at(listener.local_addr().doing("listen for streams")?);
    Ok(tokio::spawn(accept(listener, Arc::downgrade(runtime))))
}

async fn accept(listener: TcpListener, runtime: Weak<Runtime>) {
    let room = Arc::new(Semaphore::new(CONNECTION_LIMIT));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((connection, _)) => {
                let runtime = runtime.clone();
                tokio::spawn(async move {
                    serve(connection, runtime).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no streaming connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection, its streams included.
async fn serve(connection: TcpStream, runtime: Weak<Runtime>) {
    connection.set_nodelay(true).ok();
    // What is to be done with an upgraded connection comes out of the service and is done here, within the connection's place.
    let (agreeing, mut agreed) = mpsc::channel(1);
    let service = service_fn(|request| {
        let (answer, work) = answer(&runtime, request);
        if let Some(work) = work {
            agreeing.try_send(work).ok();
        }
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    if let Err(error) = http.serve_connection(TokioIo::new(connection), service).with_upgrades().await {
        tracing::debug!(%error, "a streaming connection failed");
    }
    if let Ok(work) = agreed.try_recv() {
        work.await;
    }
}

/// The answer to a request, and what is to be done with its connection.
fn answer(runtime: &Weak<Runtime>, mut request: Request<Incoming>) -> (Answer, Option<Work>) {
    let refuse = |status, text| (refusal(status, text), None);
    let Some(runtime) = runtime.upgrade() else { return refuse(StatusCode::SERVICE_UNAVAILABLE, "the runtime has ended") };
    if !matches!(*request.method(), Method::GET | Method::POST) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
    }
    let (kind, token) = request.uri().path().trim_start_matches('/').split_once('/').unwrap_or_default();
    let Some(asked) = runtime.streams.redeem(token).filter(|asked| asked.kind() == kind) else {
        return refuse(StatusCode::NOT_FOUND, "404 page not found");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let negotiated = match asked {
        Asked::Exec(asked) => remote_command::negotiate(request.headers())
            .map(|(protocol, answer)| (answer, carry(upgrade, move |io| session::exec(runtime, asked, io, protocol)))),
        Asked::Attach(asked) => remote_command::negotiate(request.headers())
            .map(|(protocol, answer)| (answer, carry(upgrade, move |io| session::attach(runtime, asked, io, protocol)))),
        Asked::PortForward(asked) => port_forward::negotiate(request.headers())
            .map(|(protocol, answer)| (answer, carry(upgrade, move |io| forward::forward(runtime, asked, io, protocol)))),
    };
    match negotiated {
        Ok((answer, work)) => (answer.map(|()| Full::default()), Some(work)),
        Err(refusal) => (refusal.response().map(Full::from), None),
    }
}

/// Waits for the upgraded connection and hands it over.
fn carry<Done>(upgrade: OnUpgrade, work: impl FnOnce(TokioIo<Upgraded>) -> Done + Send + 'static) -> Work
where
    Done: Future<Output = ()> + Send + 'static,
{
    Box::pin(async move {
        match upgrade.await {
            Ok(upgraded) => work(TokioIo::new(upgraded)).await,
            Err(error) => tracing::debug!(%error, "a streaming connection was not upgraded"),
        }
    })
}

fn refusal(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::from(format!("{text}\n")));
    *answer.status_mut() = status;
    answer
}
