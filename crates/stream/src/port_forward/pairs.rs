//! Two SPDY streams make a connection: one for data, one for an error's text, with the same `requestID`.
use super::Forward;
use crate::flow::{Input, Output};
use crate::spdy::{Connection, Headers, Stream};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How many streams may wait for their other half.
const WAITING_LIMIT: usize = 100;
/// How long the other half may take.
const WAITING: Duration = Duration::from_secs(30);

/// Whether a stream's headers are those of a port-forward.
pub fn check(headers: &Headers) -> Result<(), String> {
    port(headers)?;
    match headers.get("streamtype") {
        None | Some("") => Err("\"streamType\" header is required".into()),
        Some("data" | "error") => Ok(()),
        Some(other) => Err(format!("invalid stream type {other:?}")),
    }
}

fn port(headers: &Headers) -> Result<u16, String> {
    let text = headers.get("port").filter(|text| !text.is_empty()).ok_or("\"port\" header is required")?;
    match text.parse() {
        Ok(0) => Err(format!("port {text:?} must be > 0")),
        Ok(port) => Ok(port),
        Err(error) => Err(format!("unable to parse {text:?} as a port: {error}")),
    }
}

struct Half {
    since: Instant,
    data: Option<(u16, Input, Output)>,
    errors: Option<Output>,
}

/// Pairs streams until the client goes or nobody takes the pairs.
pub async fn pair(mut connection: Connection, accepting: mpsc::Sender<Forward>) {
    let mut waiting: HashMap<String, Half> = HashMap::new();
    loop {
        let oldest = waiting.values().map(|half| half.since).min();
        let stream = tokio::select! {
            stream = connection.next() => stream,
            () = until(oldest.map(|since| since + WAITING)) => {
                give_up(&mut waiting).await;
                continue;
            }
            () = accepting.closed() => return connection.line.send_last(crate::spdy::farewell()).await,
        };
        let Some(stream) = stream else { return };
        let request = request_id(&stream);
        let full = waiting.len() >= WAITING_LIMIT && !waiting.contains_key(&request);
        if full || !add(waiting.entry(request.clone()).or_insert_with(new_half), stream).await {
            continue;
        }
        if let Some(Half { data: Some((port, input, output)), errors: Some(errors), .. }) = waiting.remove(&request)
            && accepting.send(Forward { port, input, output, errors }).await.is_err()
        {
            return;
        }
    }
}

fn new_half() -> Half {
    Half { since: Instant::now(), data: None, errors: None }
}

/// True when the pair is whole.
async fn add(half: &mut Half, stream: Stream) -> bool {
    let port = port(&stream.headers).unwrap_or_default();
    let is_data = stream.headers.get("streamtype") == Some("data");
    match (is_data, half.data.is_some(), half.errors.is_some()) {
        (true, false, _) => half.data = Some((port, stream.input, stream.output)),
        (false, _, false) => half.errors = Some(stream.output),
        _ => {
            let kind = if is_data { "data" } else { "error" };
            if let Some(errors) = &half.errors {
                errors.send(format!("error processing stream: {kind} stream already assigned").as_bytes()).await.ok();
            }
            stream.output.reset().await;
            return false;
        }
    }
    half.data.is_some() && half.errors.is_some()
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Ends the streams whose other half has not come.
async fn give_up(waiting: &mut HashMap<String, Half>) {
    let late: Vec<String> =
        waiting.iter().filter(|(_, half)| half.since.elapsed() >= WAITING).map(|(request, _)| request.clone()).collect();
    for request in late {
        let Some(half) = waiting.remove(&request) else { continue };
        if let Some(errors) = half.errors {
            errors.send(format!("(request={request}) timed out waiting for streams").as_bytes()).await.ok();
            errors.finish().await;
        }
        if let Some((_, _, output)) = half.data {
            output.reset().await;
        }
    }
}

/// Clients of before 1.2 give no id: their data stream follows its error stream.
fn request_id(stream: &Stream) -> String {
    match stream.headers.get("requestid") {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ if stream.headers.get("streamtype") == Some("data") => stream.id.saturating_sub(2).to_string(),
        _ => stream.id.to_string(),
    }
}
