//! `watch`: a stream of changes, from a place, from what is there now, or from nothing.
//! A watcher is a cursor into the store's history: it holds no queue, and one that is too slow gets 410, not memory.
pub mod feed;
pub mod frame;

use crate::encode::media::{Offer, Shape};
use crate::encode::{header, object::warn, partial};
use crate::list::options::{ListOptions, Match};
use crate::request::call::{Answer, Call};
use client::Body;
use feed::Feed;
use frame::Framer;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::Response;
use machinery::object::Event;
use machinery::status::Status;
use std::sync::Arc;
use std::time::Duration;

/// Without `timeoutSeconds` a watch ends after a random time between this and its double, so that clients do not come back all at once.
const MIN_TIMEOUT: Duration = Duration::from_secs(1800);
/// Batches of this many events at most leave in one write.
const MAX_BATCH: usize = 256;

pub async fn watch(call: Arc<Call>) -> Answer {
    let accept = call.accept(Offer::Events)?;
    let wanted = ListOptions::parse(&call)?;
    let asked = wanted.timeout_seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let span = MIN_TIMEOUT.as_secs_f64() * (1.0 + call.state.config.random.f64());
    let timeout = asked.unwrap_or(Duration::from_secs_f64(span));
    let feed = Feed::start(call.clone(), wanted, timeout).await?;
    if call.in_process && accept.shape == Shape::Own {
        return Ok(Response::new(Body::Events(events(feed))));
    }
    let include = partial::include(&call.query)?;
    let framer = Framer::new(call.clone(), &accept, include);
    let mut response = Response::new(Body::Stream(frame::frames(feed, framer).boxed()));
    header(&mut response, "content-type", accept.media.watch_content_type());
    warn(&call, &mut response);
    Ok(response)
}

/// Batches for callers in the same process. An error is the last item.
fn events(feed: Feed) -> BoxStream<'static, Result<Vec<Event>, Status>> {
    futures::stream::unfold(Some(feed), |feed| async move {
        let mut feed = feed?;
        match feed.next().await? {
            Ok(batch) => Some((Ok(batch), Some(feed))),
            Err(status) => Some((Err(status), None)),
        }
    })
    .boxed()
}

/// Whether what is there now is told first, as additions.
fn starts_with_state(wanted: &ListOptions) -> bool {
    match wanted.send_initial {
        Some(send) => send,
        None => matches!(wanted.revision, None | Some(0)),
    }
}

/// Whether the end of the first part is marked by a bookmark.
fn marks_initial_end(wanted: &ListOptions) -> bool {
    wanted.send_initial == Some(true) && wanted.bookmarks && wanted.matching == Match::NotOlderThan
}
