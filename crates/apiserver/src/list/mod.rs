//! `list`: objects of one snapshot, by pages if the client wants, streamed from their stored bytes.
pub mod filter;
pub mod options;
pub mod stream;
pub mod token;

use crate::encode::media::{Offer, Shape};
use crate::encode::{self, partial, wire};
use crate::request::call::{Answer, Call};
use crate::verbs::storage;
use client::Body;
use http::StatusCode;
use machinery::object::Stored;
use machinery::status::{Reason, Status};
use options::ListOptions;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{At, Error, Revision};

/// While a selector passes over objects, the store is asked for so many at once.
const SCAN_OBJECTS: usize = 1000;

pub async fn list(call: &Call) -> Answer {
    call.accept(Offer::Objects)?;
    let wanted = ListOptions::parse(call)?;
    match collect(call, &wanted).await {
        Ok(page) => answer(call, page),
        Err(status) if status.is(Reason::Expired) && wanted.token.is_some() => Ok(expired(call, &wanted)),
        Err(status) => Err(status),
    }
}

/// The objects of one answer.
pub struct Page {
    pub objects: Vec<Arc<Stored>>,
    pub revision: Revision,
    pub next: Option<String>,
    pub remaining: Option<u64>,
}

pub async fn collect(call: &Call, wanted: &ListOptions) -> Result<Page, Status> {
    let names = call.served.kind.names();
    let prefix = names.prefix(call.namespace());
    let name = wanted.filter.exact_name().filter(|_| !names.namespaced || !call.namespace().is_empty());
    if let Some(name) = name.filter(|_| wanted.token.is_none() && wanted.at() == At::Latest) {
        return one(call, wanted, &format!("{prefix}{name}")).await;
    }
    let (mut at, mut after) = (wanted.at(), wanted.token.as_ref().map(|token| token.after.clone()));
    let filtered = !wanted.filter.is_everything();
    let mut objects = Vec::new();
    loop {
        let ask = match (wanted.limit, filtered) {
            (0, _) => 0,
            (limit, false) => limit,
            (_, true) => SCAN_OBJECTS,
        };
        let page = call.state.store().list(&prefix, after.as_deref(), ask, at).await.map_err(failure)?;
        let (revision, mut more) = (page.revision, page.more);
        at = At::Exactly(revision);
        after = page.objects.last().map(|last| last.key.to_string()).or(after);
        let remaining = page.remaining.filter(|_| more && !filtered);
        for stored in page.objects {
            if wanted.limit > 0 && objects.len() == wanted.limit {
                more = true;
                break;
            }
            if wanted.filter.matches(&call.served, &stored)? {
                after = Some(stored.key.to_string()).filter(|_| wanted.limit > 0).or(after);
                objects.push(stored);
            }
        }
        if !more || wanted.limit == 0 || objects.len() >= wanted.limit {
            let last = objects.last().map(|last| last.key.to_string());
            let next = last.filter(|_| more && wanted.limit > 0).map(|last| token::encode(Some(revision), &last, &prefix));
            return Ok(Page { objects, revision, next, remaining });
        }
    }
}

/// A selector that names one object needs no scan.
async fn one(call: &Call, wanted: &ListOptions, key: &str) -> Result<Page, Status> {
    let revision = call.state.store().revision();
    let found = call.state.store().get(key).await.map_err(failure)?;
    let mut objects: Vec<_> = found.into_iter().collect();
    let keep = match objects.first() {
        Some(stored) => wanted.filter.matches(&call.served, stored)?,
        None => false,
    };
    objects.truncate(usize::from(keep));
    let revision = objects.iter().map(|stored| stored.revision).fold(revision, u64::max);
    Ok(Page { objects, revision, next: None, remaining: None })
}

fn failure(error: Error) -> Status {
    match error {
        Error::Compacted { asked, oldest } => {
            Status::new(Reason::Expired, format!("The resourceVersion for the provided list is too old: {asked}, the oldest is {oldest}."))
        }
        error => storage::failure(error),
    }
}

/// 410 with a token that goes on, though not in the same snapshot.
fn expired(call: &Call, wanted: &ListOptions) -> http::Response<Body> {
    let prefix = call.served.kind.names().prefix(call.namespace());
    let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
                   the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
                   Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
                   deleted between the time the first chunk was returned and now may show up in the list.";
    let mut value = Status::new(Reason::Expired, message).to_value();
    if let Some(token) = &wanted.token {
        value["metadata"]["continue"] = token::encode(None, &token.after, &prefix).into();
    }
    encode::status::value_of(call.headers(), 410, value)
}

/// The page in the form that the client accepts.
pub fn answer(call: &Call, page: Page) -> Answer {
    let accept = call.accept(Offer::Objects)?;
    if call.in_process && accept.shape == Shape::Own {
        let objects = match call.served.hub {
            None => page.objects,
            Some(_) => page.objects.iter().map(|stored| call.served.stored(stored)).collect::<Result<_, _>>()?,
        };
        let body = Body::List { objects, revision: page.revision, next: page.next };
        return Ok(encode::object::finish(call, StatusCode::OK, body));
    }
    let metadata = metadata(&page);
    let value = match &accept.shape {
        Shape::Own | Shape::Discovery(_) => return stream::answer(call, &accept, page, metadata),
        Shape::Table(version) => {
            let include = partial::include(&call.query)?;
            partial::table(&call.served, &page.objects, metadata, version, include, true, call.state.config.clock.now())?
        }
        Shape::Partial(_) => {
            let why = "the requested object is a list";
            return Err(encode::object::misshapen(call, "PartialObjectMetadata", why, "List"));
        }
        Shape::PartialList(version) => partial::partial_list(&call.served, &page.objects, metadata, version)?,
    };
    let bytes = wire::encode_value(&value, accept.media, accept.pretty)?;
    Ok(encode::object::bytes_answer(call, StatusCode::OK, &accept, bytes))
}

fn metadata(page: &Page) -> Value {
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some(next) = &page.next {
        metadata["continue"] = next.as_str().into();
        if let Some(remaining) = page.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    metadata
}
