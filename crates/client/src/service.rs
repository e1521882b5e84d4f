//! The erased service that both the server itself and a remote connection are.
use crate::body::Body;
use futures::future::BoxFuture;
use http::{Request, Response};

/// Answers one API request. Failures of the API are responses; there is no other error: a transport failure is answered as a
/// 503 `Status`.
pub trait Service: Send + Sync + 'static {
    fn call(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>>;
}

/// An extension of requests made in the same process: the answer may be `Body::Object`, `Body::List` or `Body::Events`, which
/// nobody has to parse. Requests without it are always answered with bytes.
#[derive(Clone, Copy, Debug)]
pub struct InProcess;
