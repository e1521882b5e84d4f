//! Events: what components tell the user about an object. Recording never waits and never fails the caller: a full queue, a
//! burst about one object or an unreachable server loses events, nothing else. Equal events are counted in one object,
//! similar ones are combined, as the original does.
use crate::typed::{Client, Patch};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::object::Resource;
use serde_json::json;
use stdx::clock::Clock;
use tokio::sync::mpsc;

mod correlate;
use correlate::{Correlator, Write};

/// Events waiting to be written; more are dropped.
const MAX_QUEUED: usize = 1000;
/// The longest message; the rest is cut.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Whether the user should worry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    Normal,
    Warning,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub about: ObjectReference,
    pub severity: Severity,
    pub reason: String,
    pub message: String,
}

/// Takes events; cheap to clone. The writing task ends with the last clone.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Told>,
}

impl Recorder {
    /// `component` is shown as the source (`kubelet`, `default-scheduler`, `replicaset-controller`); `host` is a node's name or empty.
    pub fn start(client: Client, clock: Clock, component: &str, host: &str) -> Recorder {
        let (queue, told) = mpsc::channel(MAX_QUEUED);
        let writer = Writer { client, clock, component: component.into(), host: host.into(), correlator: Correlator::default() };
        tokio::spawn(writer.run(told));
        Recorder { queue }
    }

    pub fn normal(&self, about: &ObjectReference, reason: &str, message: impl Into<String>) {
        self.tell(Told { about: about.clone(), severity: Severity::Normal, reason: reason.into(), message: message.into() });
    }

    pub fn warning(&self, about: &ObjectReference, reason: &str, message: impl Into<String>) {
        self.tell(Told { about: about.clone(), severity: Severity::Warning, reason: reason.into(), message: message.into() });
    }

    pub fn tell(&self, mut told: Told) {
        cut(&mut told.message);
        if let Err(error) = self.queue.try_send(told) {
            tracing::debug!(%error, "an event is lost");
        }
    }
}

/// A reference to an object, as events carry it.
pub fn reference<T: Resource>(object: &T) -> ObjectReference {
    let meta = object.metadata().clone();
    ObjectReference {
        api_version: Some(T::API_VERSION.into()),
        kind: Some(T::KIND.into()),
        namespace: meta.namespace,
        name: meta.name,
        uid: meta.uid,
        resource_version: meta.resource_version,
        field_path: None,
    }
}

fn cut(message: &mut String) {
    if message.len() > MAX_MESSAGE_BYTES {
        let mut end = MAX_MESSAGE_BYTES - 4;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push_str(" ...");
    }
}

struct Writer {
    client: Client,
    clock: Clock,
    component: String,
    host: String,
    correlator: Correlator,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Told>) {
        while let Some(told) = queue.recv().await {
            let now = self.clock.now();
            let Some(write) = self.correlator.take(told, now) else { continue };
            if let Err(error) = self.write(&write).await {
                self.correlator.forget(&write);
                tracing::debug!(%error, reason = write.told.reason, "an event could not be written");
            }
        }
    }

    async fn write(&self, write: &Write) -> Result<(), crate::Error> {
        let namespace = namespace(&write.told.about);
        if write.count > 1 {
            let change = json!({"count": write.count, "lastTimestamp": seconds(write.last), "message": write.told.message});
            match self.client.patch::<Event>(namespace, &write.name, "", &Patch::Merge(change)).await {
                // it has run out in the meantime: begin anew
                Err(error) if error.is_not_found() => {}
                other => return other.map(drop),
            }
        }
        self.client.create(namespace, &self.event(write)).await.map(drop)
    }

    fn event(&self, write: &Write) -> Event {
        let told = &write.told;
        Event {
            metadata: ObjectMeta {
                name: Some(write.name.clone()),
                namespace: Some(namespace(&told.about).into()),
                ..ObjectMeta::default()
            },
            involved_object: told.about.clone(),
            reason: Some(told.reason.clone()),
            message: Some(told.message.clone()),
            type_: Some(told.severity.name().into()),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: Some(self.host.clone()).filter(|host| !host.is_empty()),
            }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.host.clone()),
            first_timestamp: Some(seconds(write.first)),
            last_timestamp: Some(seconds(write.last)),
            count: Some(write.count),
            ..Event::default()
        }
    }
}

/// `metav1.Time` has no fraction of a second on the wire.
fn seconds(at: jiff::Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// Events about cluster-scoped objects live in `default`.
fn namespace(about: &ObjectReference) -> &str {
    about.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default")
}
