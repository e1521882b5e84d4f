//! Event as events.k8s.io/v1 has it: strict where the core group's is lenient. Stored in the core group's form.
use crate::check::{OBJECT_VERBS, column, wide};
use crate::meta::{immutable, report};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Column, Field, Kind, Names};
use machinery::table::{age, human};

const MAX_SHORT_TEXT: usize = 128;
const MAX_NOTE: usize = 1024;

pub static EVENT: Kind<Event> = Kind {
    default: |event| {
        event.deprecated_source.get_or_insert_default();
        event.regarding.get_or_insert_default();
    },
    validate,
    validate_update,
    columns: &[
        column("Last Seen", "string", |event, now| last_seen(event, now).into()),
        column("Type", "string", |event, _| text(&event.type_).into()),
        column("Reason", "string", |event, _| text(&event.reason).into()),
        column("Object", "string", |event, _| target(event).into()),
        wide("Subobject", |event, _| text(&regarding(event).field_path).into()),
        wide("Source", |event, _| source(event).into()),
        column("Message", "string", |event, _| text(&event.note).trim().into()),
        wide("First Seen", |event, now| first_seen(event, now).into()),
        wide("Count", |event, _| count(event).into()),
        Column { name: "Name", kind: "string", format: "name", priority: 1, cell: |event, _| text(&event.metadata.name).into() },
    ],
    fields: &[
        Field { path: "reason", value: |event| text(&event.reason).into() },
        Field { path: "regarding.kind", value: |event| text(&regarding(event).kind).into() },
        Field { path: "regarding.namespace", value: |event| text(&regarding(event).namespace).into() },
        Field { path: "regarding.name", value: |event| text(&regarding(event).name).into() },
        Field { path: "regarding.uid", value: |event| text(&regarding(event).uid).into() },
        Field { path: "regarding.apiVersion", value: |event| text(&regarding(event).api_version).into() },
        Field { path: "regarding.resourceVersion", value: |event| text(&regarding(event).resource_version).into() },
        Field { path: "regarding.fieldPath", value: |event| text(&regarding(event).field_path).into() },
        Field { path: "reportingController", value: |event| text(&event.reporting_controller).into() },
        Field { path: "type", value: |event| text(&event.type_).into() },
    ],
    create_on_update: true,
    ..Kind::of(Names {
        group: "events.k8s.io",
        version: "v1",
        kind: "Event",
        plural: "events",
        singular: "event",
        short: &["ev"],
        categories: &[],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "events",
        schema: "io.k8s.api.events.v1.Event",
    })
};

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

fn regarding(event: &Event) -> ObjectReference {
    event.regarding.clone().unwrap_or_default()
}

fn target(event: &Event) -> String {
    let regarding = regarding(event);
    let kind = text(&regarding.kind).to_lowercase();
    match text(&regarding.name) {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn first_seen(event: &Event, now: Timestamp) -> String {
    match (&event.deprecated_first_timestamp, &event.event_time) {
        (None, Some(time)) => human(now.duration_since(time.0)),
        (time, _) => age(time.as_ref(), now),
    }
}

fn last_seen(event: &Event, now: Timestamp) -> String {
    match (&event.series, &event.deprecated_last_timestamp) {
        (Some(series), _) => human(now.duration_since(series.last_observed_time.0)),
        (None, Some(time)) => age(Some(time), now),
        (None, None) => first_seen(event, now),
    }
}

fn count(event: &Event) -> i32 {
    match &event.series {
        Some(series) => series.count,
        None => event.deprecated_count.filter(|count| *count > 0).unwrap_or(1),
    }
}

fn source(event: &Event) -> String {
    let source = event.deprecated_source.clone().unwrap_or_default();
    let or = |first: &Option<String>, second: &Option<String>| if text(first).is_empty() { text(second) } else { text(first) }.to_string();
    let (component, host) = (or(&source.component, &event.reporting_controller), or(&source.host, &event.reporting_instance));
    if host.is_empty() { component } else { format!("{component}, {host}") }
}

fn validate(event: &Event, errors: &mut Errors) {
    let (own, named) = (text(&event.metadata.namespace), regarding(event).namespace.unwrap_or_default());
    let mismatch = match (event.event_time.is_some(), named.as_str()) {
        (false, "") => !["", "default"].contains(&own),
        (false, named) => named != own,
        (true, "") => !["default", "kube-system"].contains(&own),
        (true, _) => false,
    };
    if mismatch {
        errors.invalid("involvedObject.namespace", named, "does not match event.namespace");
    }
    match &event.event_time {
        Some(_) => validate_told(event, errors),
        None => errors.required("eventTime", ""),
    }
    if let Some(series) = &event.series
        && series.count < 2
    {
        errors.invalid("series.count", "", "should be at least 2");
    }
    if !["Normal", "Warning"].contains(&text(&event.type_)) {
        errors.invalid("type", "", &format!("has invalid value: {}", text(&event.type_)));
    }
    let source = event.deprecated_source.clone().unwrap_or_default();
    let set = [
        ("firstTimestamp", event.deprecated_first_timestamp.is_some()),
        ("lastTimestamp", event.deprecated_last_timestamp.is_some()),
        ("count", event.deprecated_count.unwrap_or(0) != 0),
        ("source", !text(&source.component).is_empty() || !text(&source.host).is_empty()),
    ];
    set.into_iter().filter(|(_, set)| *set).for_each(|(field, _)| errors.invalid(field, "", "needs to be unset"));
}

/// Who tells it, and what.
fn validate_told(event: &Event, errors: &mut Errors) {
    let controller = text(&event.reporting_controller);
    if controller.is_empty() {
        errors.required("reportingController", "");
    }
    report(errors, "reportingController", controller, content::label_key(controller));
    for (field, value) in [("reportingInstance", &event.reporting_instance), ("action", &event.action), ("reason", &event.reason)] {
        if text(value).is_empty() {
            errors.required(field, "");
        }
        if text(value).len() > MAX_SHORT_TEXT {
            errors.invalid(field, "", &format!("can have at most {MAX_SHORT_TEXT} characters"));
        }
    }
    if text(&event.note).len() > MAX_NOTE {
        errors.invalid("message", "", &format!("can have at most {MAX_NOTE} characters"));
    }
}

/// Only the series goes on.
fn validate_update(new: &Event, old: &Event, errors: &mut Errors) {
    immutable(errors, "involvedObject", &new.regarding, &old.regarding);
    immutable(errors, "reason", &new.reason, &old.reason);
    immutable(errors, "message", &new.note, &old.note);
    immutable(errors, "source", &new.deprecated_source, &old.deprecated_source);
    immutable(errors, "firstTimestamp", &new.deprecated_first_timestamp, &old.deprecated_first_timestamp);
    immutable(errors, "lastTimestamp", &new.deprecated_last_timestamp, &old.deprecated_last_timestamp);
    immutable(errors, "count", &new.deprecated_count, &old.deprecated_count);
    immutable(errors, "type", &new.type_, &old.type_);
    immutable(errors, "eventTime", &new.event_time, &old.event_time);
    immutable(errors, "action", &new.action, &old.action);
    immutable(errors, "related", &new.related, &old.related);
    immutable(errors, "reportingController", &new.reporting_controller, &old.reporting_controller);
    immutable(errors, "reportingInstance", &new.reporting_instance, &old.reporting_instance);
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"e","namespace":"default"},"eventTime":"2026-01-01T00:00:00.000000Z",
    "type":"Normal","reason":"Started","action":"Start","reportingController":"example.com/c","reportingInstance":"c-1","regarding":{"kind":"Pod","name":"p"},"note":"hello"}"#;
