//! Carries plans out over the API: in order, neighbours of one lane together (slow start: 1, 2, 4, … at once, so that a
//! refusal is met once and not hundreds of times), with preconditions. Tells the user what came of it.
use super::caches::Caches;
use super::plan::{Deletion, Failure, Outcome, Step, Target, What};
use client::events::{Recorder, Severity, Told};
use client::{Body, Client, Error, Patch};
use futures::stream::{FuturesUnordered, StreamExt};
use http::Method;
use machinery::meta::Key;
use machinery::object::AnyObject;
use machinery::status::Reason;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;

/// So many requests of one plan are under way at most.
const MAX_IN_FLIGHT: usize = 64;
/// Caches that have not seen a write after so long are planned from as they are.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// A response to a write larger than this is not read.
const MAX_ANSWER_BYTES: usize = 8 << 20;

pub struct Carrier {
    pub client: Client,
    pub recorder: Recorder,
}

/// A write that the caches must have seen before its key is planned again.
#[derive(Debug, PartialEq)]
pub enum Written {
    At { what: What, version: u64 },
    Deleted { target: Target },
}

#[derive(Debug, Default)]
pub struct Carried {
    pub written: Vec<Written>,
    pub failed: Option<Failure>,
    /// The failure is one of those that mean nothing but "look again".
    pub conflict: bool,
}

impl Carrier {
    /// Carries out `steps` up to the first failure.
    pub async fn carry(&self, steps: Vec<Step>) -> Carried {
        let mut carried = Carried::default();
        let mut steps = VecDeque::from(steps);
        let mut at_once = 1;
        while !steps.is_empty() {
            let batch = next_batch(&mut steps, at_once);
            let last = batch.last().and_then(Step::lane).map(|(verb, what, subresource)| (verb, what.clone(), subresource));
            self.batch(batch, &mut carried).await;
            if carried.failed.is_some() {
                break;
            }
            let goes_on = steps.front().and_then(Step::lane).is_some_and(|(verb, what, subresource)| {
                last.as_ref().is_some_and(|last| (last.0, &last.1, last.2) == (verb, what, subresource))
            });
            at_once = if goes_on { (at_once * 2).min(MAX_IN_FLIGHT) } else { 1 };
        }
        carried
    }

    async fn batch(&self, batch: Vec<Step>, carried: &mut Carried) {
        let mut running: FuturesUnordered<_> = batch.iter().map(|step| async move { (step, self.step(step).await) }).collect();
        while let Some((step, result)) = running.next().await {
            match result {
                Ok(written) => carried.written.extend(written),
                Err(error) => {
                    carried.conflict = error.is_conflict();
                    carried.failed.get_or_insert(Failure { verb: step.verb(), message: error.to_string() });
                }
            }
        }
    }

    async fn step(&self, step: &Step) -> Result<Option<Written>, Error> {
        let result = self.write(step).await;
        if let Some(outcome) = step.outcome() {
            self.tell(outcome, &result);
        }
        match result {
            Err(error) if is_as_good_as_done(step, &error) => Ok(None),
            Err(error) => Err(error),
            Ok(wrote) => Ok(wrote.map(|wrote| wrote.written)),
        }
    }

    fn tell(&self, outcome: &Outcome, result: &Result<Option<Wrote>, Error>) {
        let (severity, told, word) = match result {
            Ok(wrote) => (Severity::Normal, &outcome.done, wrote.as_ref().map(|wrote| wrote.name.clone()).unwrap_or_default()),
            Err(error) if error.is_conflict() || error.is_not_found() || is_terminating(error) => return,
            Err(error) => (Severity::Warning, &outcome.failed, error.to_string()),
        };
        if let Some((reason, text)) = told {
            let message = text.replace("{}", &word);
            self.recorder.tell(Told { about: outcome.about.clone(), severity, reason: reason.to_string(), message });
        }
    }

    async fn write(&self, step: &Step) -> Result<Option<Wrote>, Error> {
        match step {
            Step::Tell(told) => {
                self.recorder.tell(told.clone());
                Ok(None)
            }
            Step::Create { what, object, .. } => {
                let path = what.path(object.meta().namespace.as_deref().unwrap_or_default(), "", "");
                self.send(what, Method::POST, &path, JSON, object.to_json()).await.map(Some)
            }
            Step::Update { what, object, subresource, .. } => {
                let path = path_of(what, &**object, subresource);
                self.send(what, Method::PUT, &path, JSON, object.to_json()).await.map(Some)
            }
            Step::Patch { target, subresource, patch, .. } => {
                let (media, value) = media(patch);
                let path = target.what.path(&target.key.namespace, &target.key.name, subresource);
                self.send(&target.what, Method::PATCH, &path, media, value.to_string().into_bytes()).await.map(Some)
            }
            Step::Delete { target, options, .. } => self.delete(target, options).await.map(Some),
            Step::Call { target, subresource, body } => {
                let path = target.what.path(&target.key.namespace, &target.key.name, subresource);
                let body = Body::from(body.to_string().into_bytes());
                self.client.raw(Method::POST, &path, Some((JSON, body))).await.map(|_| None)
            }
        }
    }

    async fn send(&self, what: &What, method: Method, path: &str, media: &str, body: Vec<u8>) -> Result<Wrote, Error> {
        let answer = self.client.raw(method, path, Some((media, Body::from(body)))).await?;
        let (name, version) = name_and_version(answer).await?;
        Ok(Wrote { name, written: Written::At { what: what.clone(), version } })
    }

    async fn delete(&self, target: &Target, options: &Deletion) -> Result<Wrote, Error> {
        let path = target.what.path(&target.key.namespace, &target.key.name, "");
        let body = Body::json(&deletion_body(target, options));
        self.client.raw(Method::DELETE, &path, Some((JSON, body))).await?;
        Ok(Wrote { name: target.key.name.clone(), written: Written::Deleted { target: target.clone() } })
    }
}

const JSON: &str = "application/json";

struct Wrote {
    name: String,
    written: Written,
}

/// The first step, and its neighbours that may go out with it.
fn next_batch(steps: &mut VecDeque<Step>, at_most: usize) -> Vec<Step> {
    let mut batch: Vec<Step> = steps.pop_front().into_iter().collect();
    while let (Some(first), Some(next)) = (batch.first(), steps.front()) {
        let same = first.lane().is_some() && first.lane() == next.lane();
        let again = next.key().is_some_and(|key| batch.iter().any(|step| step.key().as_ref() == Some(&key)));
        if batch.len() >= at_most || !same || again {
            break;
        }
        batch.extend(steps.pop_front());
    }
    batch
}

fn path_of(what: &What, object: &dyn AnyObject, subresource: &str) -> String {
    let meta = object.meta();
    what.path(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default(), subresource)
}

fn media(patch: &Patch) -> (&'static str, &Value) {
    match patch {
        Patch::Json(value) => ("application/json-patch+json", value),
        Patch::Merge(value) => ("application/merge-patch+json", value),
        Patch::Strategic(value) => ("application/strategic-merge-patch+json", value),
        Patch::Apply { value, .. } => ("application/apply-patch+yaml", value),
    }
}

fn deletion_body(target: &Target, options: &Deletion) -> Value {
    let mut body = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
    if let Some(seconds) = options.grace_seconds {
        body["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(policy) = options.propagation {
        body["propagationPolicy"] = policy.into();
    }
    if let Some(uid) = &target.uid {
        body["preconditions"]["uid"] = uid.as_str().into();
    }
    if let Some(version) = &options.version {
        body["preconditions"]["resourceVersion"] = version.as_str().into();
    }
    body
}

/// What was to be deleted is gone or is another object by now; what was to be changed is gone; a namespace that ends takes nothing new.
fn is_as_good_as_done(step: &Step, error: &Error) -> bool {
    match step {
        Step::Delete { options, .. } => error.is_not_found() || (error.is_conflict() && options.version.is_none()),
        Step::Update { .. } | Step::Patch { .. } | Step::Call { .. } => error.is_not_found(),
        Step::Create { .. } => is_terminating(error),
        Step::Tell(_) => false,
    }
}

fn is_terminating(error: &Error) -> bool {
    let Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is(Reason::Forbidden) && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

#[derive(Deserialize)]
struct Answer {
    metadata: AnswerMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerMeta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    resource_version: String,
}

async fn name_and_version(answer: Body) -> Result<(String, u64), Error> {
    if let Body::Object(stored) = &answer {
        return Ok((stored.key.rsplit('/').next().unwrap_or_default().to_string(), stored.revision));
    }
    let bytes = answer.bytes(MAX_ANSWER_BYTES).await.map_err(|error| Error::Transport(error.to_string()))?.unwrap_or_default();
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|error| Error::Decode(error.to_string()))?;
    Ok((answer.metadata.name, answer.metadata.resource_version.parse().unwrap_or(0)))
}

/// Waits until the caches have seen what was written: a plan never rests on a view older than its own last write.
pub async fn seen(caches: &Caches, written: &[Written]) {
    for write in written {
        let waited = match write {
            Written::At { what, version } => match caches.any(what) {
                Some(cache) if cache.version() < *version => tokio::time::timeout(MAX_WAIT, cache.reached(*version)).await,
                _ => Ok(()),
            },
            Written::Deleted { target } => tokio::time::timeout(MAX_WAIT, gone(caches, target)).await,
        };
        if waited.is_err() {
            tracing::warn!(?write, "the caches have not seen a write of their own for long");
        }
    }
}

async fn gone(caches: &Caches, target: &Target) {
    let Some(cache) = caches.any(&target.what) else { return };
    while is_there(cache.identity(&target.key), target) {
        let next = cache.version() + 1;
        // looked at again after registering: a change in between is not missed
        if is_there(cache.identity(&target.key), target) {
            cache.reached(next).await;
        }
    }
}

fn is_there(identity: Option<(String, bool)>, target: &Target) -> bool {
    identity.is_some_and(|(uid, deleting)| !deleting && target.uid.as_ref().is_none_or(|own| *own == uid))
}

/// The identity of one object, for those who plan by metadata alone.
pub fn target(what: What, namespace: &str, name: &str, uid: &str) -> Target {
    Target { what, key: Key::new(namespace, name), uid: (!uid.is_empty()).then(|| uid.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Plan;
    use expect_test::expect;
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use serde_json::from_value;

    #[test]
    fn neighbours_about_different_objects_go_out_together() {
        let map = |name: &str| -> ConfigMap { from_value(json!({"metadata": {"name": name}})).unwrap() };
        let mut plan = Plan::default();
        for name in ["a", "b", "c"] {
            plan.create(map(name));
        }
        plan.create(Secret::default());
        plan.merge(&map("a"), "", json!({}));
        plan.merge(&map("b"), "", json!({}));
        plan.merge(&map("a"), "", json!({}));
        plan.merge(&map("b"), "status", json!({}));
        plan.delete(&map("a"));
        let mut steps = VecDeque::from(plan.steps);
        let mut batches = Vec::new();
        while !steps.is_empty() {
            batches.push(next_batch(&mut steps, 2).len().to_string());
        }
        expect!["2 1 1 2 1 1 1"].assert_eq(&batches.join(" "));
    }
}
