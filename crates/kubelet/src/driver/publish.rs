//! Writes a pod's status: at most one write at a time, only what changed, always the newest.
use crate::pod::record::Source;
use crate::pod::view::PodView;
use crate::status::patch;
use client::{Client, Patch};
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use std::sync::Arc;

/// After a failed write.
const RETRY_SECONDS: i64 = 2;
/// The same status is sent again this often if somebody changed it; then it is left until it changes by itself.
const MAX_REPEATS: u32 = 3;

type Written = Result<Arc<Pod>, client::Error>;

pub struct Publisher {
    client: Client,
    /// The object that shows the status: the pod, or the mirror of a static pod.
    shown: Option<Arc<Pod>>,
    wanted: Option<Arc<PodStatus>>,
    sent: Option<Arc<PodStatus>>,
    repeats: u32,
    writing: Option<BoxFuture<'static, Written>>,
    retry_at: Option<Timestamp>,
}

impl Publisher {
    pub fn new(client: Client, pod: &Arc<Pod>, source: Source) -> Publisher {
        let shown = (source == Source::Api).then(|| pod.clone());
        Publisher { client, shown, wanted: None, sent: None, repeats: 0, writing: None, retry_at: None }
    }

    /// The object as the API has it now.
    pub fn show(&mut self, pod: Option<Arc<Pod>>) {
        let version = |pod: &Arc<Pod>| pod.metadata.resource_version.as_ref().and_then(|version| version.parse::<u64>().ok()).unwrap_or(0);
        let stale = match (&self.shown, &pod) {
            (Some(old), Some(new)) => old.uid() == new.uid() && version(new) < version(old),
            _ => false,
        };
        if !stale {
            self.shown = pod;
        }
    }

    pub fn want(&mut self, status: Arc<PodStatus>) {
        self.wanted = Some(status);
    }

    /// Begins a write if there is something to write and nothing is being written.
    pub fn begin(&mut self, now: Timestamp) {
        if self.writing.is_some() || self.retry_at.is_some_and(|at| at > now) {
            return;
        }
        let (Some(shown), Some(wanted)) = (&self.shown, &self.wanted) else { return };
        let same = self.sent.as_ref() == Some(wanted);
        if same && self.repeats >= MAX_REPEATS {
            return;
        }
        let Some(change) = patch::patch(shown.uid(), shown.pod_status(), wanted) else { return };
        tracing::trace!(pod = shown.pod_name(), %change, "status");
        self.repeats = if same { self.repeats + 1 } else { 0 };
        self.sent = Some(wanted.clone());
        self.retry_at = None;
        let (client, namespace, name) = (self.client.clone(), shown.pod_namespace().to_string(), shown.pod_name().to_string());
        self.writing = Some(Box::pin(async move { client.patch::<Pod>(&namespace, &name, "status", &Patch::Strategic(change)).await }));
    }

    /// Waits for the write that is under way; never ends when there is none.
    pub async fn written(&mut self) -> Written {
        match &mut self.writing {
            Some(writing) => {
                let result = writing.await;
                self.writing = None;
                result
            }
            None => std::future::pending().await,
        }
    }

    pub fn absorb(&mut self, result: Written, now: Timestamp) {
        match result {
            Ok(pod) => self.show(Some(pod)),
            Err(error) if error.is_not_found() || error.is_conflict() => self.repeats = MAX_REPEATS,
            Err(error) => {
                tracing::debug!(%error, "pod status not written");
                (self.sent, self.retry_at) = (None, Some(now + SignedDuration::from_secs(RETRY_SECONDS)));
            }
        }
    }

    pub fn retry_at(&self) -> Option<Timestamp> {
        self.retry_at
    }
}
