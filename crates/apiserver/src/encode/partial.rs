//! Tables and metadata-only forms of objects and lists.
use crate::kinds::Served;
use crate::request::query::Query;
use jiff::Timestamp;
use machinery::object::Stored;
use machinery::status::Status;
use machinery::table::{self, Include};
use serde_json::{Value, json};
use std::sync::Arc;

/// `includeObject` of the query.
pub fn include(query: &Query) -> Result<Include, Status> {
    Include::parse(query.text("includeObject"))
}

/// A table of stored objects; `metadata` is the list's.
pub fn table(
    served: &Served,
    objects: &[Arc<Stored>],
    metadata: Value,
    version: &str,
    include: Include,
    definitions: bool,
    now: Timestamp,
) -> Result<Value, Status> {
    let row = |stored: &Arc<Stored>| Ok(table::row(&*served.kind, &*served.object(stored)?, include, version, now));
    let rows = objects.iter().map(row).collect::<Result<Vec<_>, Status>>()?;
    Ok(table::table(version, metadata, definitions.then(|| table::definitions(&*served.kind)), rows))
}

pub fn partial(served: &Served, stored: &Stored, version: &str) -> Result<Value, Status> {
    Ok(table::partial(&*served.object(stored)?, version))
}

pub fn partial_list(served: &Served, objects: &[Arc<Stored>], metadata: Value, version: &str) -> Result<Value, Status> {
    let items = objects.iter().map(|stored| partial(served, stored, version)).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({"kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata, "items": items}))
}
