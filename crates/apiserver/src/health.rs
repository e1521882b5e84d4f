//! `/healthz`, `/livez`, `/readyz`: as a whole, check by check, in the original's text form.
use crate::encode::header;
use crate::request::query::Query;
use crate::server::State;
use client::Body;
use http::{Response, StatusCode};

/// `None`: not one of its paths.
pub fn answer(state: &State, path: &str, query: &Query) -> Option<Response<Body>> {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let name = parts.next().filter(|name| matches!(*name, "healthz" | "livez" | "readyz"))?;
    let only = parts.next().unwrap_or_default();
    let results = results(state, name);
    if !only.is_empty() {
        let (_, result) = results.into_iter().find(|(check, _)| check == only)?;
        return Some(match result {
            Ok(()) => text(StatusCode::OK, "ok".into()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {error}\n")),
        });
    }
    Some(whole(name, &results, query))
}

fn results(state: &State, name: &str) -> Vec<(String, Result<(), String>)> {
    let mut all = vec![("ping".to_string(), Ok(())), ("log".to_string(), Ok(())), ("etcd".to_string(), Ok(()))];
    if name == "readyz" {
        all.extend(state.checks.lock().iter().map(|(name, check)| (name.clone(), check())));
        let stopping = *state.stopping.borrow();
        all.push(("shutdown".into(), if stopping { Err("process is shutting down".into()) } else { Ok(()) }));
    }
    all
}

fn whole(name: &str, results: &[(String, Result<(), String>)], query: &Query) -> Response<Body> {
    let excluded: Vec<&str> = query.all("exclude").collect();
    let mut lines = String::new();
    let mut failed = Vec::new();
    for (check, result) in results {
        match result {
            _ if excluded.contains(&check.as_str()) => lines += &format!("[+]{check} excluded: ok\n"),
            Ok(()) => lines += &format!("[+]{check} ok\n"),
            Err(_) => {
                lines += &format!("[-]{check} failed: reason withheld\n");
                failed.push(check.as_str());
            }
        }
    }
    for unknown in excluded.iter().filter(|name| !results.iter().any(|(check, _)| check == *name)) {
        lines += &format!("warn: some health checks cannot be excluded: no matches for \"{unknown}\"\n");
    }
    if !failed.is_empty() {
        tracing::debug!(endpoint = name, failed = failed.join(","), "health check failed");
        return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{name} check failed\n"));
    }
    match query.get("verbose") {
        Some(_) => text(StatusCode::OK, format!("{lines}{name} check passed\n")),
        None => text(StatusCode::OK, "ok".into()),
    }
}

fn text(code: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into_bytes()));
    *response.status_mut() = code;
    header(&mut response, "content-type", "text/plain; charset=utf-8");
    header(&mut response, "x-content-type-options", "nosniff");
    response
}
