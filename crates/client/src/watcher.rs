//! One watch from a place: typed batches from either kind of body. It ends with the connection; the informer starts it again.
use crate::body::Body;
use crate::error::Error;
use crate::typed::{Client, ListOptions, event_kind};
use bytes::{Buf, BytesMut};
use futures::stream::{BoxStream, StreamExt};
use http::Method;
use machinery::object::{EventKind, Resource};
use machinery::status::Status;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::Arc;

/// A line of a watch longer than this ends it.
const MAX_LINE_BYTES: usize = 64 << 20;

/// A change as an informer takes it.
pub enum Change<T> {
    Applied(Arc<T>),
    Deleted(Arc<T>),
    /// Nothing changed, but everything up to this resourceVersion has been told.
    Bookmark(String),
}

pub type Changes<T> = BoxStream<'static, Result<Vec<Change<T>>, Error>>;

impl Client {
    /// Changes after `version`.
    pub async fn watch<T: Resource>(&self, options: &ListOptions, version: &str) -> Result<Changes<T>, Error> {
        let mut query = format!("watch=true&allowWatchBookmarks=true&resourceVersion={version}");
        let selectors = options.query();
        if !selectors.is_empty() {
            query += &format!("&{selectors}");
        }
        let path = format!("{}?{query}", Client::path::<T>(&options.namespace, "", ""));
        Ok(match self.raw(Method::GET, &path, None).await? {
            Body::Events(events) => events.map(decode_batch).boxed(),
            body => lines(body).map(|line| line.and_then(|line| decode_line(&line)).map(|change| vec![change])).boxed(),
        })
    }
}

fn decode_batch<T: Resource>(batch: Result<Vec<machinery::object::Event>, Status>) -> Result<Vec<Change<T>>, Error> {
    let one = |event: machinery::object::Event| {
        if event.kind == EventKind::Bookmark {
            return Ok(Change::Bookmark(event.object.revision.to_string()));
        }
        let object = event.object.decoded::<T>().map_err(|error| Error::Decode(error.to_string()))?;
        Ok(if event.kind == EventKind::Deleted { Change::Deleted(object) } else { Change::Applied(object) })
    };
    batch?.into_iter().map(one).collect()
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

fn decode_line<T: Resource>(line: &[u8]) -> Result<Change<T>, Error> {
    let decode = |error: serde_json::Error| Error::Decode(error.to_string());
    let line: Line = serde_json::from_slice(line).map_err(decode)?;
    let object = line.object.get();
    match event_kind(line.kind) {
        None => Err(Status::from_value(&serde_json::from_str(object).map_err(decode)?).into()),
        Some(EventKind::Bookmark) => {
            let value: serde_json::Value = serde_json::from_str(object).map_err(decode)?;
            Ok(Change::Bookmark(value["metadata"]["resourceVersion"].as_str().unwrap_or_default().into()))
        }
        Some(EventKind::Deleted) => serde_json::from_str(object).map(|object| Change::Deleted(Arc::new(object))).map_err(decode),
        Some(_) => serde_json::from_str(object).map(|object| Change::Applied(Arc::new(object))).map_err(decode),
    }
}

/// Splits a body into its lines.
pub(crate) fn lines(body: Body) -> BoxStream<'static, Result<BytesMut, Error>> {
    struct State {
        body: http_body_util::BodyDataStream<Body>,
        buffer: BytesMut,
        ready: VecDeque<BytesMut>,
    }
    let state = State { body: http_body_util::BodyDataStream::new(body), buffer: BytesMut::new(), ready: VecDeque::new() };
    let step = |mut state: State| async move {
        loop {
            if let Some(line) = state.ready.pop_front() {
                return Some((Ok(line), state));
            }
            match state.body.next().await? {
                Err(error) => return Some((Err(Error::Transport(error.to_string())), state)),
                Ok(chunk) => state.buffer.extend_from_slice(&chunk),
            }
            while let Some(end) = state.buffer.iter().position(|byte| *byte == b'\n') {
                let line = state.buffer.split_to(end);
                state.buffer.advance(1);
                state.ready.push_back(line);
            }
            if state.buffer.len() > MAX_LINE_BYTES {
                return Some((Err(Error::Decode(format!("a watch event has more than {MAX_LINE_BYTES} bytes"))), state));
            }
        }
    };
    futures::stream::unfold(state, step).boxed()
}
