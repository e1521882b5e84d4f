//! Printer columns in short: constructors for the usual types, and cells that several kinds share.
use crate::access::{Entries, Text};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use machinery::kind::Column;
use machinery::table::or_none;
use serde_json::Value;
use std::collections::BTreeMap;

pub type Cell<T> = fn(&T, Timestamp) -> Value;

pub const fn text<T>(name: &'static str, cell: Cell<T>) -> Column<T> {
    Column { name, kind: "string", format: "", priority: 0, cell }
}

/// A text that shows only in wide output.
pub const fn wide<T>(name: &'static str, cell: Cell<T>) -> Column<T> {
    Column { name, kind: "string", format: "", priority: 1, cell }
}

pub const fn integer<T>(name: &'static str, cell: Cell<T>) -> Column<T> {
    Column { name, kind: "integer", format: "", priority: 0, cell }
}

pub const fn boolean<T>(name: &'static str, cell: Cell<T>) -> Column<T> {
    Column { name, kind: "boolean", format: "", priority: 0, cell }
}

/// `a=1,b=2`, or `<none>`.
pub fn labels(map: &Option<BTreeMap<String, String>>) -> String {
    let pairs: Vec<String> = map.entries().map(|(key, value)| format!("{key}={value}")).collect();
    or_none(&pairs.join(",")).into()
}

fn joined(template: Option<&PodTemplateSpec>, of: fn(&Container) -> &str) -> Value {
    let containers = template.and_then(|template| template.spec.as_ref()).map_or(&[][..], |spec| &spec.containers);
    containers.iter().map(of).collect::<Vec<_>>().join(",").into()
}

/// The names of a template's containers.
pub fn container_names(template: Option<&PodTemplateSpec>) -> Value {
    joined(template, |container| &container.name)
}

/// Their images.
pub fn container_images(template: Option<&PodTemplateSpec>) -> Value {
    joined(template, |container| container.image.text())
}
