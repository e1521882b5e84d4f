//! The body of requests and answers: bytes for the wire; for callers in the same process also the objects themselves.
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use http_body::Frame;
use http_body_util::BodyExt;
use machinery::object::{Event, Stored};
use machinery::status::Status;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    Full(Bytes),
    /// Chunks as they come (lists, watches, logs).
    Stream(BoxStream<'static, Result<Bytes, BoxError>>),
    Incoming(hyper::body::Incoming),
    /// In process only: one stored object, not encoded.
    Object(Arc<Stored>),
    /// In process only: a list at a revision; `next` is the continue token of a page.
    List {
        objects: Vec<Arc<Stored>>,
        revision: u64,
        next: Option<String>,
    },
    /// In process only: batches of watch events; an error ends the stream (410 among them).
    Events(BoxStream<'static, Result<Vec<Event>, Status>>),
}

impl Body {
    pub fn json(value: &serde_json::Value) -> Body {
        Body::Full(serde_json::to_vec(value).expect("a JSON value has a JSON form").into())
    }

    /// All bytes, at most `limit`; `None` when there are more.
    pub async fn bytes(self, limit: usize) -> Result<Option<Bytes>, BoxError> {
        match self {
            Body::Empty => Ok(Some(Bytes::new())),
            Body::Full(bytes) => Ok((bytes.len() <= limit).then_some(bytes)),
            Body::Object(object) => Ok(Some(object.json.clone())),
            other => match http_body_util::Limited::new(other, limit).collect().await {
                Ok(collected) => Ok(Some(collected.to_bytes())),
                Err(error) if error.is::<http_body_util::LengthLimitError>() => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::Full(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::Full(bytes.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Body::Empty => Poll::Ready(None),
            Body::Full(_) | Body::Object(_) => {
                let bytes = match std::mem::take(&mut *self) {
                    Body::Full(bytes) => bytes,
                    Body::Object(object) => object.json.clone(),
                    _ => Bytes::new(),
                };
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Body::Stream(stream) => Poll::Ready(ready!(stream.poll_next_unpin(cx)).map(|chunk| chunk.map(Frame::data))),
            Body::Incoming(incoming) => Pin::new(incoming).poll_frame(cx).map_err(BoxError::from),
            Body::List { .. } | Body::Events(_) => Poll::Ready(Some(Err("an in-process body has no wire form".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Incoming(incoming) => incoming.is_end_stream(),
            _ => false,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Body::Empty => http_body::SizeHint::with_exact(0),
            Body::Full(bytes) => http_body::SizeHint::with_exact(bytes.len() as u64),
            Body::Object(object) => http_body::SizeHint::with_exact(object.json.len() as u64),
            Body::Incoming(incoming) => incoming.size_hint(),
            _ => http_body::SizeHint::default(),
        }
    }
}
