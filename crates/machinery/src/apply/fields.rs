//! The fields of one object: which it sets, and whether the schema knows them.
use super::set::{Node, Set, shown};
use super::shape::{Atom, Items, Shape};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Every field that the object sets.
pub fn fields(object: &Value, shape: Shape) -> Set {
    node(object, shape).children
}

fn node(value: &Value, shape: Shape) -> Node {
    let mut node = Node::default();
    match (shape.atom(Some(value)), value) {
        (Atom::Map { atomic: true } | Atom::List(Items::Atomic) | Atom::Scalar, _) => node.member = true,
        (Atom::Map { .. }, Value::Object(map)) => {
            for (name, value) in map {
                let Some((below, field)) = shape.member(name) else { continue };
                let mut child = self::node(value, below);
                child.member |= value.is_null() || value.as_object().is_some_and(Map::is_empty) || field.is_none();
                node.children.attach(&format!("f:{name}"), child);
            }
        }
        (Atom::List(items), Value::Array(list)) => {
            let mut seen = BTreeSet::new();
            for item in list {
                let Ok(step) = shape.step(items, item) else { continue };
                let mut child = if seen.insert(step.clone()) { self::node(item, shape.item()) } else { Node::default() };
                child.member = true;
                node.children.attach(&step, child);
            }
        }
        _ => {}
    }
    node
}

/// What of an applied object does not fit the schema, as `<path>: <problem>`.
pub fn misfits(object: &Value, shape: Shape) -> Vec<String> {
    let mut problems = Vec::new();
    check(object, shape, &mut String::new(), &mut problems);
    problems
}

fn check(value: &Value, shape: Shape, path: &mut String, problems: &mut Vec<String>) {
    if let Some(problem) = shape.misfit(value) {
        problems.push(if path.is_empty() { problem } else { format!("{path}: {problem}") });
        return;
    }
    let length = path.len();
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                path.push_str(&format!(".{name}"));
                match shape.member(name) {
                    Some((below, _)) => check(value, below, path, problems),
                    None => problems.push(format!("{path}: field not declared in schema")),
                }
                path.truncate(length);
            }
        }
        Value::Array(list) => check_list(list, shape, path, problems),
        _ => {}
    }
}

fn check_list(list: &[Value], shape: Shape, path: &mut String, problems: &mut Vec<String>) {
    let length = path.len();
    let mut seen = BTreeSet::new();
    for (index, item) in list.iter().enumerate() {
        let step = match shape {
            Shape::List { items: items @ (Items::Set | Items::Keys(_)), .. } => match shape.step(items, item) {
                Ok(step) => step,
                Err(problem) => return problems.push(format!("{path}: element {index}: {problem}")),
            },
            _ => format!("i:{index}"),
        };
        path.push_str(&shown(&step));
        if !seen.insert(step.clone()) {
            problems.push(format!("{}: duplicate entries for key {}", &path[..length], shown(&step)));
        }
        check(item, shape.item(), path, problems);
        path.truncate(length);
    }
}
