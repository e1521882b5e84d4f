//! `metav1.Table`: the form in which kubectl and dashboards ask for lists. Columns and cells are the kind's own; this file adds
//! what is the same for all: the frame, the object beside each row, and how ages and absent values are written.
use crate::kind::{Column, ColumnNames, DynKind};
use crate::object::{AnyObject, Resource};
use crate::status::Status;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Map, Value, json};

/// What comes with each row (`includeObject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

impl Include {
    pub fn parse(text: &str) -> Result<Include, Status> {
        match text {
            "" | "Metadata" => Ok(Include::Metadata),
            "None" => Ok(Include::None),
            "Object" => Ok(Include::Object),
            other => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// The whole table. `version` is `v1` or `v1beta1`; `metadata` that of the list (resourceVersion, continue, remainingItemCount);
/// watches send `definitions` only with their first event.
pub fn table(version: &str, metadata: Value, definitions: Option<Value>, rows: Vec<Value>) -> Value {
    let mut table = json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata});
    table["columnDefinitions"] = definitions.unwrap_or_default();
    table["rows"] = Value::Array(rows);
    table
}

/// `columnDefinitions` of a kind; one without columns of its own shows name and time of creation.
pub fn definitions(kind: &dyn DynKind) -> Value {
    let mut columns = kind.columns();
    if columns.is_empty() {
        let plain =
            |name: &str, kind: &str, format: &str| ColumnNames { name: name.into(), kind: kind.into(), format: format.into(), priority: 0 };
        columns = vec![plain("Name", "string", "name"), plain("Created At", "date", "")];
    }
    let shown = |column: ColumnNames| json!({"name": column.name, "type": column.kind, "format": column.format, "description": "", "priority": column.priority});
    Value::Array(columns.into_iter().map(shown).collect())
}

/// One row: the cells and what the client wants beside them.
pub fn row(kind: &dyn DynKind, object: &dyn AnyObject, include: Include, version: &str, now: Timestamp) -> Value {
    let mut cells = kind.row(object, now);
    if cells.is_empty() {
        let meta = object.meta();
        cells = vec![meta.name.clone().unwrap_or_default().into(), created(meta)];
    }
    let beside = match include {
        Include::None => Value::Null,
        Include::Metadata => partial(object, version),
        Include::Object => object.to_value(),
    };
    json!({"cells": cells, "object": beside})
}

/// `PartialObjectMetadata` of an object, as `meta.k8s.io/<version>`.
pub fn partial(object: &dyn AnyObject, version: &str) -> Value {
    let mut map = Map::new();
    map.insert("kind".into(), "PartialObjectMetadata".into());
    map.insert("apiVersion".into(), format!("meta.k8s.io/{version}").into());
    map.insert("metadata".into(), serde_json::to_value(object.meta()).unwrap_or_default());
    Value::Object(map)
}

fn created(meta: &ObjectMeta) -> Value {
    match &meta.creation_timestamp {
        Some(time) => serde_json::to_value(time).unwrap_or_default(),
        None => Value::Null,
    }
}

/// The column that every kind's table begins with.
pub const fn name_column<T: Resource>() -> Column<T> {
    Column {
        name: "Name",
        kind: "string",
        format: "name",
        priority: 0,
        cell: |object, _| object.metadata().name.clone().unwrap_or_default().into(),
    }
}

/// The column that tells for how long the object has existed.
pub const fn age_column<T: Resource>() -> Column<T> {
    Column {
        name: "Age",
        kind: "string",
        format: "",
        priority: 0,
        cell: |object, now| age(object.metadata().creation_timestamp.as_ref(), now).into(),
    }
}

/// How long ago `since` was; `<unknown>` without it.
pub fn age(since: Option<&Time>, now: Timestamp) -> String {
    since.map_or_else(|| "<unknown>".into(), |since| human(now.duration_since(since.0)))
}

/// `<none>` for an empty text.
pub fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// A duration with two or three significant figures: `89s`, `5m30s`, `3h5m`, `2d3h`, `400d`, `3y20d`.
pub fn human(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |first: i64, unit: &str, second: i64, small: &str| match second {
        0 => format!("{first}{unit}"),
        second => format!("{first}{unit}{second}{small}"),
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(days, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{days}d"),
        _ if hours < 24 * 365 * 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{Kind, Names};
    use k8s_openapi::api::core::v1::ConfigMap;

    #[test]
    fn writes_durations_as_people_read_them() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (600, "10m"),
            (179 * 60, "179m"),
            (180 * 60, "3h"),
            (3 * 3600 + 300, "3h5m"),
            (8 * 3600 + 300, "8h"),
            (47 * 3600, "47h"),
            (48 * 3600, "2d"),
            (51 * 3600, "2d3h"),
            (8 * 86400 + 3600, "8d"),
            (400 * 86400, "400d"),
            (730 * 86400, "2y"),
            (731 * 86400, "2y1d"),
            (8 * 365 * 86400, "8y"),
        ] {
            assert_eq!(human(SignedDuration::from_secs(seconds)), expected, "{seconds}");
        }
    }

    static NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short: &[],
        categories: &[],
        namespaced: true,
        verbs: &[],
        storage: "configmaps",
        schema: "io.k8s.api.core.v1.ConfigMap",
    };

    #[test]
    fn frames_rows_with_what_the_client_asked_for() {
        let kind: Kind<ConfigMap> = Kind { columns: const { &[name_column(), age_column()] }, ..Kind::of(NAMES.clone()) };
        let now: Timestamp = "2026-01-01T00:01:40Z".parse().unwrap();
        let object = kind
            .decode(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "data": {"k": "v"}}))
            .unwrap();
        let whole = table(
            "v1",
            json!({"resourceVersion": "7"}),
            Some(definitions(&kind)),
            vec![row(&kind, &*object, Include::Metadata, "v1", now)],
        );
        assert_eq!(
            whole,
            json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"},
                "columnDefinitions": [
                    {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
                    {"name": "Age", "type": "string", "format": "", "description": "", "priority": 0}],
                "rows": [{"cells": ["a", "100s"], "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}}}]})
        );
        assert_eq!(row(&kind, &*object, Include::None, "v1", now), json!({"cells": ["a", "100s"], "object": null}));
        assert_eq!(row(&kind, &*object, Include::Object, "v1", now)["object"]["data"]["k"], "v");
        let plain: Kind<ConfigMap> = Kind::of(NAMES.clone());
        assert_eq!(definitions(&plain)[1]["name"], "Created At");
        assert_eq!(row(&plain, &*object, Include::None, "v1", now)["cells"], json!(["a", "2026-01-01T00:00:00Z"]));
    }
}
