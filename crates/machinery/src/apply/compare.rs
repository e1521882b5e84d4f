//! Which fields differ between two objects: gone, changed, new. Atomic places differ as a whole.
use super::set::{Node, Set};
use super::shape::{Atom, Items, Shape, zero};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub struct Comparison {
    pub removed: Set,
    pub modified: Set,
    pub added: Set,
}

impl Comparison {
    pub fn of(old: &Value, new: &Value, shape: Shape) -> Comparison {
        let Diff { removed, modified, added } = compare(Some(old), Some(new), shape);
        Comparison { removed: removed.children, modified: modified.children, added: added.children }
    }

    /// Leaves out the trees below these paths.
    pub fn without(self, ignored: &Set) -> Comparison {
        let [removed, modified, added] = [&self.removed, &self.modified, &self.added].map(|set| set.without_trees(ignored));
        Comparison { removed, modified, added }
    }

    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// What the writer of the new object now owns.
    pub fn written(&self) -> Set {
        self.modified.union(&self.added)
    }
}

#[derive(Default)]
struct Diff {
    removed: Node,
    modified: Node,
    added: Node,
}

impl Diff {
    fn attach(&mut self, step: &str, below: Diff) {
        self.removed.children.attach(step, below.removed);
        self.modified.children.attach(step, below.modified);
        self.added.children.attach(step, below.added);
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, _) => self.added.member = true,
            (_, None) => self.removed.member = true,
            (Some(old), Some(new)) if !same(old, new) => self.modified.member = true,
            _ => {}
        }
    }
}

/// Equal values; a number is the same however it is written.
fn same(one: &Value, other: &Value) -> bool {
    one == other || matches!((one, other), (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64())
}

fn compare(old: Option<&Value>, new: Option<&Value>, shape: Shape) -> Diff {
    let mut diff = Diff::default();
    if let (Some(old), Some(new)) = (old, new)
        && old == new
    {
        return diff;
    }
    let kinds = (shape.atom(old), shape.atom(new));
    let leaf = match kinds {
        (Atom::Map { .. }, Atom::Map { atomic }) => maps(&mut diff, old, new, shape, atomic),
        (Atom::List(_), Atom::List(items)) => lists(&mut diff, old, new, shape, items),
        (Atom::Map { atomic }, _) if new.is_none() => maps(&mut diff, old, new, shape, atomic),
        (Atom::List(items), _) if new.is_none() => lists(&mut diff, old, new, shape, items),
        (_, Atom::Map { atomic }) if old.is_none() => maps(&mut diff, old, new, shape, atomic),
        (_, Atom::List(items)) if old.is_none() => lists(&mut diff, old, new, shape, items),
        (before, after) => {
            // a place without a schema that held something of another kind: both count
            for (kind, old, new) in [(before, old, None), (after, None, new)] {
                if let Atom::Map { atomic: false } = kind {
                    maps(&mut diff, old, new, shape, false);
                }
            }
            diff.leaf(old, new);
            true
        }
    };
    if !leaf {
        diff.added.member |= old.is_none();
        diff.removed.member |= new.is_none() && old.is_some();
    }
    diff
}

/// `true` if the place was compared as a whole.
fn maps(diff: &mut Diff, old: Option<&Value>, new: Option<&Value>, shape: Shape, atomic: bool) -> bool {
    let members = [old, new].map(|value| value.and_then(Value::as_object));
    if atomic || members.iter().all(|members| members.is_none_or(Map::is_empty)) {
        diff.leaf(old, new);
        return true;
    }
    let mut names = members.iter().flatten().flat_map(|members| members.keys()).map(String::as_str).collect::<BTreeSet<_>>();
    if let (Shape::Message { message, .. }, [None, Some(_)] | [Some(_), None]) = (shape, members) {
        names.extend(message.json_fields().filter(|(_, field)| zero(field).is_some()).map(|(name, _)| name));
    }
    for name in names {
        let Some((below, field)) = shape.member(name) else { continue };
        let [before, after] = members.map(|members| members.and_then(|members| members.get(name).or_else(|| field.and_then(zero))));
        if before.is_some() || after.is_some() {
            diff.attach(&format!("f:{name}"), compare(before, after, below));
        }
    }
    false
}

fn lists(diff: &mut Diff, old: Option<&Value>, new: Option<&Value>, shape: Shape, items: Items) -> bool {
    let lists = [old, new].map(|value| value.and_then(Value::as_array));
    if matches!(items, Items::Atomic) || lists.iter().all(|list| list.is_none_or(Vec::is_empty)) {
        diff.leaf(old, new);
        return true;
    }
    let mut steps: BTreeMap<String, [Vec<&Value>; 2]> = BTreeMap::new();
    for (side, list) in lists.iter().enumerate() {
        for item in list.iter().flat_map(|list| list.iter()) {
            if let Ok(step) = shape.step(items, item) {
                steps.entry(step).or_default()[side].push(item);
            }
        }
    }
    for (step, [before, after]) in steps {
        diff.attach(&step, list_item(&before, &after, shape.item()));
    }
    false
}

/// Items of one key; more than one on a side is owned as a whole.
fn list_item(before: &[&Value], after: &[&Value], shape: Shape) -> Diff {
    match (before, after) {
        ([_, _, ..], [_, _, ..]) => {
            let mut diff = Diff::default();
            diff.modified.member = before != after;
            diff
        }
        ([_, _, ..], after) => {
            let mut diff = after.first().map_or_else(Diff::default, |after| compare(None, Some(after), shape));
            diff.removed.member = true;
            diff
        }
        (before, [_, _, ..]) => {
            let mut diff = before.first().map_or_else(Diff::default, |before| compare(Some(before), None, shape));
            diff.added.member = true;
            diff
        }
        (before, after) => compare(before.first().copied(), after.first().copied(), shape),
    }
}
