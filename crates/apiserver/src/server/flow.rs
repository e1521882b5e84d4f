//! The way of one request: limits, route, authenticate, fairness, authorize, then its verb; whatever goes wrong becomes a `Status`.
//! A panic in a handler costs that one request.
use super::state::{MAX_READS_IN_FLIGHT, MAX_WRITES_IN_FLIGHT, REQUEST_TIMEOUT, State};
use crate::encode;
use crate::request::call::{Answer, Call};
use crate::request::query::Query;
use crate::request::{Attributes, Decision, Warnings};
use crate::route::{Route, route};
use crate::{paths, verbs};
use client::Body;
use client::service::InProcess;
use futures::FutureExt;
use http::{Request, Response, request::Parts};
use machinery::status::{Details, Reason, Status};
use parking_lot::Mutex;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A URL longer than this is refused. The command of an exec travels in it.
const MAX_URL_BYTES: usize = 32 << 10;

pub async fn answer(state: Arc<State>, request: Request<Body>) -> Response<Body> {
    let started = state.config.clock.instant();
    let (mut parts, body) = request.into_parts();
    let in_process = parts.extensions.get::<InProcess>().is_some();
    let label = crate::metrics::Label::new(&parts.method);
    let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let parts = Arc::new(parts);
    let step = steps(state.clone(), &parts, body, upgrade, in_process);
    let result = match AssertUnwindSafe(step).catch_unwind().await {
        Ok(result) => result,
        Err(_) => Err(Status::internal("the server failed while it worked on this request")),
    };
    let response = result.unwrap_or_else(|status| {
        tracing::debug!(method = %parts.method, path = parts.uri.path(), code = status.code, reason = %status.message, "refused");
        encode::status::refusal(&parts.headers, &status)
    });
    state.metrics.observe(label, response.status().as_u16(), started.elapsed());
    response
}

async fn steps(state: Arc<State>, parts: &Arc<Parts>, body: Body, upgrade: Option<hyper::upgrade::OnUpgrade>, in_process: bool) -> Answer {
    let uri = &parts.uri;
    if uri.path().len() + uri.query().unwrap_or_default().len() > MAX_URL_BYTES {
        let status = Status::new(Reason::Unknown, format!("the URL has more than {MAX_URL_BYTES} bytes"));
        return Err(Status { code: 414, ..status });
    }
    let query = Query::parse(uri.query().unwrap_or_default());
    let mut route = route(&parts.method, uri.path(), &query)?;
    if route.forced_watch && route.attributes.verb == "watch" && !matches!(parts.method, http::Method::GET | http::Method::HEAD) {
        return Err(method_not_allowed());
    }
    let user = state.config.authenticator.authenticate(parts, &route.attributes).await?;
    route.attributes.user = user;
    let long = long_running(&route.attributes);
    let _permit = if long || in_process { None } else { Some(Permit::take(&state, &route.attributes)?) };
    authorize(&state, &route.attributes).await?;
    let work = dispatch(state.clone(), parts, body, upgrade, route, query, in_process);
    if long {
        return work.await;
    }
    match tokio::time::timeout(REQUEST_TIMEOUT, work).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(Status::new(Reason::Timeout, "Timeout: request did not complete within the allotted timeout").with(Details::default()))
        }
    }
}

/// Streams and connections that may last: neither counted nor timed.
fn long_running(attributes: &Attributes) -> bool {
    let streams = matches!(attributes.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy");
    matches!(attributes.verb.as_str(), "watch" | "proxy") || attributes.is_resource && streams
}

pub async fn authorize(state: &State, attributes: &Attributes) -> Result<(), Status> {
    match state.config.authorizer.authorize(attributes).await {
        Decision::Allow => Ok(()),
        Decision::Deny(reason) => Err(forbidden(attributes, &reason)),
    }
}

/// 403 in the original's words.
pub fn forbidden(attributes: &Attributes, reason: &str) -> Status {
    let Attributes { user, verb, group, namespace, .. } = attributes;
    let user = &user.user;
    let resource = attributes.resource_path();
    let mut why = match (attributes.is_resource, namespace.is_empty()) {
        (false, _) => format!("User \"{user}\" cannot {verb} path \"{}\"", attributes.path),
        (true, true) => format!("User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" at the cluster scope"),
        (true, false) => {
            format!("User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" in the namespace \"{namespace}\"")
        }
    };
    if !reason.is_empty() {
        why += &format!(": {reason}");
    }
    match attributes.is_resource {
        true => Status::forbidden(group, &attributes.resource, &attributes.name, &why),
        false => Status::new(Reason::Forbidden, format!("forbidden: {why}")).with(Details::default()),
    }
}

/// A place among the requests in flight.
struct Permit {
    state: Arc<State>,
    write: bool,
}

impl Permit {
    fn take(state: &Arc<State>, attributes: &Attributes) -> Result<Permit, Status> {
        let write = attributes.is_resource && !attributes.read_only();
        let permit = Permit { state: state.clone(), write };
        let limit = if write { MAX_WRITES_IN_FLIGHT } else { MAX_READS_IN_FLIGHT };
        if permit.counter().fetch_add(1, Ordering::Relaxed) >= limit {
            let details = Details { retry_after_seconds: 1, ..Details::default() };
            return Err(Status::new(Reason::TooManyRequests, "too many requests, please try again later").with(details));
        }
        Ok(permit)
    }

    fn counter(&self) -> &AtomicUsize {
        if self.write { &self.state.writes } else { &self.state.reads }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counter().fetch_sub(1, Ordering::Relaxed);
    }
}

async fn dispatch(
    state: Arc<State>,
    parts: &Arc<Parts>,
    body: Body,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
    route: Route,
    query: Query,
    in_process: bool,
) -> Answer {
    if !route.attributes.is_resource {
        let known = group_is_served(&state, parts.uri.path());
        return paths::answer(&state, parts, &query).await.unwrap_or_else(|| if known { Err(no_resource()) } else { unknown(in_process) });
    }
    let Attributes { group, version, resource, .. } = &route.attributes;
    let Some(served) = state.config.kinds.find(group, version, resource).cloned() else {
        return match paths::answer(&state, parts, &query).await {
            Some(answer) => answer,
            None if group_is_served(&state, parts.uri.path()) => Err(no_resource()),
            None => unknown(in_process),
        };
    };
    match fits_scope(&route.attributes, served.kind.names().namespaced) {
        Fit::Good => {}
        Fit::NoPath => return Err(no_resource()),
        Fit::NoMethod => return Err(method_not_allowed()),
    }
    let call = Call {
        state,
        served,
        attributes: route.attributes,
        query,
        parts: parts.clone(),
        rest: route.rest,
        in_process,
        warnings: Warnings::default(),
        body: Mutex::new(Some(body)),
        upgrade: Mutex::new(upgrade),
    };
    verbs::dispatch(Arc::new(call)).await
}

/// Whether the path is below a group that is served, so that what is missing there is told as a `Status`.
fn group_is_served(state: &State, path: &str) -> bool {
    let mut parts = path.trim_start_matches('/').split('/');
    match (parts.next(), parts.next()) {
        (Some("api"), Some(version)) => !version.is_empty(),
        (Some("apis"), Some(group)) => state.config.kinds.all().iter().any(|served| served.kind.names().group == group),
        _ => false,
    }
}

/// Whether the path has a namespace where the resource needs or forbids one.
fn fits_scope(attributes: &Attributes, namespaced: bool) -> Fit {
    let is_namespaces = attributes.group.is_empty() && attributes.resource == "namespaces" && attributes.namespace == attributes.name;
    match (namespaced, attributes.namespace.is_empty(), attributes.verb.as_str()) {
        (false, false, _) if !is_namespaces => Fit::NoPath,
        (true, true, "list" | "watch") => Fit::Good,
        (true, true, "create" | "deletecollection") => Fit::NoMethod,
        (true, true, _) => Fit::NoPath,
        _ => Fit::Good,
    }
}

enum Fit {
    Good,
    NoPath,
    NoMethod,
}

/// The group and version are served, this resource of it is not.
pub fn no_resource() -> Status {
    Status::new(Reason::NotFound, "the server could not find the requested resource").with(Details::default())
}

/// Nothing is served at this path. The original answers in plain text; callers in the same process want a `Status`.
pub fn unknown(in_process: bool) -> Answer {
    if in_process {
        return Err(no_resource());
    }
    let mut response = Response::new(Body::from(b"404 page not found\n".to_vec()));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    encode::header(&mut response, "content-type", "text/plain; charset=utf-8");
    encode::header(&mut response, "x-content-type-options", "nosniff");
    Ok(response)
}

pub fn method_not_allowed() -> Status {
    Status::new(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource").with(Details::default())
}
