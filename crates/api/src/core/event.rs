//! Event: something that happened to an object, under the core group's names; events.k8s.io's are in `convert`.
use crate::access::Text;
use crate::columns::{text, wide};
use crate::core::names::core;
use crate::meta::report;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Column, Field, Kind, Names};
use machinery::table::age;
use serde_json::Value;

const SHORT_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

pub static EVENT: Kind<Event> = Kind {
    // Always on the wire, empty or not.
    default: |event| {
        event.reporting_component.get_or_insert_default();
        event.reporting_instance.get_or_insert_default();
        event.source.get_or_insert_default();
    },
    validate,
    columns: &[
        text("Last Seen", |event, now| last_seen(event, now).into()),
        text("Type", |event, _| event.type_.text().into()),
        text("Reason", |event, _| event.reason.text().into()),
        text("Object", |event, _| target(event).into()),
        wide("Subobject", |event, _| event.involved_object.field_path.text().into()),
        wide("Source", |event, _| source(event).into()),
        text("Message", |event, _| event.message.text().trim().into()),
        wide("First Seen", |event, now| first_seen(event, now).into()),
        wide("Count", |event, _| match (&event.series, event.count.unwrap_or(0)) {
            (Some(series), _) => series.count.unwrap_or(0).into(),
            (None, 0) => Value::from(1),
            (None, count) => count.into(),
        }),
        Column {
            name: "Name",
            kind: "string",
            format: "name",
            priority: 1,
            cell: |event, _| event.metadata.name.clone().unwrap_or_default().into(),
        },
    ],
    fields: FIELDS,
    create_on_update: true,
    ..Kind::of(Names { short: &["ev"], ..core("Event", "events", "event", "events", "io.k8s.api.core.v1.Event") })
};

const FIELDS: &[Field<Event>] = &[
    Field { path: "involvedObject.kind", value: |event| about(event, |object| object.kind.text()) },
    Field { path: "involvedObject.namespace", value: |event| about(event, |object| object.namespace.text()) },
    Field { path: "involvedObject.name", value: |event| about(event, |object| object.name.text()) },
    Field { path: "involvedObject.uid", value: |event| about(event, |object| object.uid.text()) },
    Field { path: "involvedObject.apiVersion", value: |event| about(event, |object| object.api_version.text()) },
    Field { path: "involvedObject.resourceVersion", value: |event| about(event, |object| object.resource_version.text()) },
    Field { path: "involvedObject.fieldPath", value: |event| about(event, |object| object.field_path.text()) },
    Field { path: "reason", value: |event| event.reason.text().into() },
    Field { path: "reportingComponent", value: |event| event.reporting_component.text().into() },
    Field { path: "source", value: |event| component(event).into() },
    Field { path: "type", value: |event| event.type_.text().into() },
];

fn about(event: &Event, of: fn(&ObjectReference) -> &str) -> String {
    of(&event.involved_object).into()
}

fn component(event: &Event) -> &str {
    let component = event.source.as_ref().map_or("", |source| source.component.text());
    if component.is_empty() { event.reporting_component.text() } else { component }
}

fn source(event: &Event) -> String {
    let host = event.source.as_ref().map_or("", |source| source.host.text());
    let instance = if host.is_empty() { event.reporting_instance.text() } else { host };
    if instance.is_empty() { component(event).into() } else { format!("{}, {instance}", component(event)) }
}

fn target(event: &Event) -> String {
    let (kind, name) = (event.involved_object.kind.text().to_lowercase(), event.involved_object.name.text());
    if name.is_empty() { kind } else { format!("{kind}/{name}") }
}

fn ago(time: Option<&MicroTime>, now: Timestamp) -> String {
    age(time.map(|time| Time(time.0)).as_ref(), now)
}

fn first_seen(event: &Event, now: Timestamp) -> String {
    match &event.first_timestamp {
        Some(first) => age(Some(first), now),
        None => ago(event.event_time.as_ref(), now),
    }
}

fn last_seen(event: &Event, now: Timestamp) -> String {
    match (&event.series, &event.last_timestamp) {
        (Some(series), _) => ago(series.last_observed_time.as_ref(), now),
        (None, Some(last)) => age(Some(last), now),
        (None, None) => first_seen(event, now),
    }
}

/// An event lies in the namespace of what it tells about, or in `default`.
fn validate(event: &Event, errors: &mut Errors) {
    const ELSEWHERE: &str = "does not match event.namespace";
    let (own, object) = (event.metadata.namespace.text(), event.involved_object.namespace.text());
    let matches = match (event.event_time.is_some(), object) {
        (false, "") => own.is_empty() || own == "default",
        (false, object) => own == object,
        (true, "") => own == "default" || own == "kube-system",
        (true, _) => true,
    };
    if !matches {
        errors.invalid("involvedObject.namespace", object, ELSEWHERE);
    }
    if event.event_time.is_none() {
        return;
    }
    let reporter = event.reporting_component.text();
    if reporter.is_empty() {
        errors.required("reportingComponent", "");
    }
    report(errors, "reportingComponent", reporter, content::label_key(reporter));
    for (field, value) in
        [("reportingInstance", event.reporting_instance.text()), ("action", event.action.text()), ("reason", event.reason.text())]
    {
        if value.is_empty() {
            errors.required(field, "");
        }
        at_most(errors, field, value, SHORT_MAX);
    }
    at_most(errors, "message", event.message.text(), NOTE_MAX);
}

fn at_most(errors: &mut Errors, field: &str, value: &str, max: usize) {
    if value.len() > max {
        errors.invalid(field, "", &format!("can have at most {max} characters"));
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"a","namespace":"x"},"involvedObject":{"kind":"Pod","namespace":"x","name":"p"}}"#;
