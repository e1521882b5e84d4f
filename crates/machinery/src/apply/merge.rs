//! Puts an applied configuration over a live object, and takes fields out of an object. Lists with keys keep the live order where the
//! configuration does not say otherwise.
use super::set::{Node, Set};
use super::shape::{Atom, Items, Shape};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// `None` if nothing is left.
pub fn merge(live: Option<&Value>, config: Option<&Value>, shape: Shape) -> Option<Value> {
    let decisive = if config.is_some() { config } else { live };
    match shape.atom(decisive) {
        Atom::Map { atomic: false } => {
            let (live_map, config_map) = (live.and_then(Value::as_object), config.and_then(Value::as_object));
            if live_map.is_none_or(Map::is_empty) && config_map.is_none_or(Map::is_empty) {
                return decisive.cloned();
            }
            let mut merged = Map::new();
            for name in live_map.into_iter().chain(config_map).flat_map(Map::keys) {
                if merged.contains_key(name) {
                    continue;
                }
                let [live, config] = [live_map, config_map].map(|map| map.and_then(|map| map.get(name)));
                let value = match shape.member(name) {
                    Some((below, _)) => merge(live, config, below),
                    None => live.cloned(),
                };
                merged.extend(value.map(|value| (name.clone(), value)));
            }
            (!merged.is_empty()).then_some(Value::Object(merged))
        }
        Atom::List(items @ (Items::Set | Items::Keys(_))) => {
            let (live_list, config_list) = (live.and_then(Value::as_array), config.and_then(Value::as_array));
            if live_list.is_none_or(Vec::is_empty) && config_list.is_none_or(Vec::is_empty) {
                return decisive.cloned();
            }
            let empty = Vec::new();
            let merged = merge_lists(live_list.unwrap_or(&empty), config_list.unwrap_or(&empty), shape, items);
            (!merged.is_empty()).then_some(Value::Array(merged))
        }
        _ => decisive.cloned(),
    }
}

fn merge_lists(live: &[Value], config: &[Value], shape: Shape, items: Items) -> Vec<Value> {
    let named = |list: &[Value]| list.iter().map(|item| shape.step(items, item).unwrap_or_default()).collect::<Vec<_>>();
    let (live_steps, config_steps) = (named(live), named(config));
    let mut live_items: BTreeMap<&str, Option<&Value>> = BTreeMap::new();
    for (step, item) in live_steps.iter().zip(live) {
        // one that is there twice is replaced, not merged
        live_items.entry(step).and_modify(|there| *there = None).or_insert(Some(item));
    }
    let config_items = config_steps.iter().map(String::as_str).zip(config).collect::<BTreeMap<_, _>>();
    let mut shared = config_steps.iter().filter(|step| live_items.contains_key(step.as_str()));
    let mut next_shared = shared.next();
    let mut merged = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    let both = |step: &str| merge(live_items.get(step).copied().flatten(), config_items.get(step).copied(), shape.item());
    let (mut l, mut c) = (0, 0);
    while l < live.len() || c < config.len() {
        if let (Some(live_step), Some(config_step)) = (live_steps.get(l), config_steps.get(c)) {
            if live_step == config_step {
                done.push(live_step);
                merged.extend(both(live_step));
                (l, c) = (l + 1, c + 1);
                next_shared = shared.next();
                continue;
            }
            if config_items.contains_key(live_step.as_str()) && next_shared.is_some_and(|next| next != live_step) {
                l += 1; // its place is further down in the configuration
                continue;
            }
        }
        if let Some(live_step) = live_steps.get(l) {
            if !config_items.contains_key(live_step.as_str()) {
                merged.extend(merge(Some(&live[l]), None, shape.item()));
                l += 1;
                continue;
            }
            if done.contains(&live_step.as_str()) {
                l += 1;
            }
        }
        if let Some(config_step) = config_steps.get(c) {
            done.push(config_step);
            merged.extend(both(config_step));
            c += 1;
            if next_shared == Some(config_step) {
                next_shared = shared.next();
            }
        }
    }
    merged
}

/// The value without these fields; null if nothing is left of it.
pub fn remove(value: &Value, fields: &Set, shape: Shape) -> Value {
    match (shape.atom(Some(value)), value) {
        (Atom::Scalar, _) => value.clone(),
        (Atom::Map { atomic: false }, Value::Object(map)) => {
            let mut left = Map::new();
            for (name, value) in map {
                let below = shape.member(name).map_or(Shape::Deduced, |(below, _)| below);
                left.extend(keep(fields.get(&format!("f:{name}")), value, below).map(|value| (name.clone(), value)));
            }
            if left.is_empty() { Value::Null } else { Value::Object(left) }
        }
        (Atom::List(items @ (Items::Set | Items::Keys(_))), Value::Array(list)) => {
            let left = list.iter().filter_map(|item| {
                let step = shape.step(items, item).unwrap_or_default();
                keep(fields.get(&step), item, shape.item())
            });
            let left = left.collect::<Vec<_>>();
            if left.is_empty() { Value::Null } else { Value::Array(left) }
        }
        _ => Value::Null,
    }
}

fn keep(removed: Option<&Node>, value: &Value, shape: Shape) -> Option<Value> {
    match removed {
        Some(node) if node.member => None,
        Some(node) if !node.children.is_empty() => Some(remove(value, &node.children, shape)),
        _ => Some(value.clone()),
    }
}
