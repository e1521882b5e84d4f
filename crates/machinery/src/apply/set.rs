//! Sets of field paths, and their stored form (FieldsV1). A path's steps are kept as FieldsV1 writes them: `f:<member>`,
//! `k:<keys as JSON>`, `v:<value as JSON>`, `i:<index>`; `.` marks a place that is itself in the set.
use super::shape::Shape;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    nodes: BTreeMap<Box<str>, Node>,
}

/// One place: in the set itself or not, and what is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub member: bool,
    pub children: Set,
}

impl Node {
    pub fn leaf() -> Node {
        Node { member: true, children: Set::default() }
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    /// From member names, for the sets that are part of the program.
    pub fn of(paths: &[&[&str]]) -> Set {
        let mut set = Set::default();
        for path in paths {
            let mut at = &mut set;
            let (last, parents) = path.split_last().expect("a path has steps");
            for step in parents {
                at = &mut at.nodes.entry(format!("f:{step}").into()).or_default().children;
            }
            at.nodes.entry(format!("f:{last}").into()).or_default().member = true;
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn get(&self, step: &str) -> Option<&Node> {
        self.nodes.get(step)
    }

    /// Puts a node in its place unless it holds nothing.
    pub fn attach(&mut self, step: &str, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(step.into(), node);
        }
    }

    pub fn union(&self, other: &Set) -> Set {
        let mut all = self.clone();
        all.add(other);
        all
    }

    pub fn add(&mut self, other: &Set) {
        for (step, node) in &other.nodes {
            match self.nodes.get_mut(step) {
                Some(there) => {
                    there.member |= node.member;
                    there.children.add(&node.children);
                }
                None => {
                    self.nodes.insert(step.clone(), node.clone());
                }
            }
        }
    }

    pub fn intersection(&self, other: &Set) -> Set {
        self.combine(|step, node| {
            let there = other.get(step)?;
            Some(Node { member: node.member && there.member, children: node.children.intersection(&there.children) })
        })
    }

    pub fn difference(&self, other: &Set) -> Set {
        self.combine(|step, node| match other.get(step) {
            Some(there) => Some(Node { member: node.member && !there.member, children: node.children.difference(&there.children) }),
            None => Some(node.clone()),
        })
    }

    /// Takes away the members of `other` with everything below them.
    pub fn without_trees(&self, other: &Set) -> Set {
        self.combine(|step, node| match other.get(step) {
            Some(there) if there.member => None,
            Some(there) => Some(Node { member: node.member, children: node.children.without_trees(&there.children) }),
            None => Some(node.clone()),
        })
    }

    fn combine(&self, mut decide: impl FnMut(&str, &Node) -> Option<Node>) -> Set {
        let mut result = Set::default();
        for (step, node) in &self.nodes {
            if let Some(node) = decide(step, node) {
                result.attach(step, node);
            }
        }
        result
    }

    /// The same with every declared member that has something below it as a member.
    pub fn with_named_parents(&self, shape: Shape) -> Set {
        self.combine(|step, node| {
            let (declared, below) = match step.strip_prefix("f:") {
                Some(name) => shape.member(name).map_or((false, Shape::Deduced), |(below, field)| (field.is_some(), below)),
                None => (false, shape.item()),
            };
            let member = node.member || (declared && !node.children.is_empty());
            Some(Node { member, children: node.children.with_named_parents(below) })
        })
    }

    /// Every path, members of a place before what is below it.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(&mut String::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut String, paths: &mut Vec<String>) {
        let own = self.nodes.iter().filter(|(_, node)| node.member).map(|(step, _)| format!("{prefix}{}", shown(step)));
        paths.extend(own);
        for (step, node) in self.nodes.iter().filter(|(_, node)| !node.children.is_empty()) {
            let length = prefix.len();
            prefix.push_str(&shown(step));
            node.children.collect(prefix, paths);
            prefix.truncate(length);
        }
    }

    /// The FieldsV1 form.
    pub fn to_value(&self) -> Value {
        let node = |node: &Node| {
            let mut value = node.children.to_value();
            if let Value::Object(map) = &mut value
                && node.member
                && !map.is_empty()
            {
                map.insert(".".into(), Value::Object(Map::new()));
            }
            value
        };
        Value::Object(self.nodes.iter().map(|(step, below)| (step.to_string(), node(below))).collect())
    }

    /// Reads the FieldsV1 form; `None` if it is none.
    pub fn from_value(value: &Value) -> Option<Set> {
        let mut set = Set::default();
        for (step, below) in value.as_object()? {
            if step == "." {
                continue;
            }
            let map = below.as_object()?;
            let node = Node { member: map.is_empty() || map.contains_key("."), children: Set::from_value(below)? };
            set.nodes.insert(canonical(step)?.into(), node);
        }
        Some(set)
    }
}

/// The step as this program writes it: other writers space and escape JSON differently.
fn canonical(step: &str) -> Option<String> {
    let (kind, text) = step.split_once(':')?;
    match kind {
        "f" => Some(step.into()),
        "k" | "v" => Some(format!("{kind}:{}", serde_json::from_str::<Value>(text).ok()?)),
        "i" => text.parse::<i64>().ok().map(|index| format!("i:{index}")),
        _ => None,
    }
}

/// A step as people read it: `.spec`, `[name="web"]`, `[="x"]`, `[0]`.
pub fn shown(step: &str) -> String {
    let (kind, text) = step.split_once(':').unwrap_or(("f", step));
    match (kind, serde_json::from_str::<Value>(text)) {
        ("k", Ok(Value::Object(keys))) => {
            let keys = keys.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
            format!("[{}]", keys.join(","))
        }
        ("v", Ok(value)) => format!("[={value}]"),
        ("i", _) => format!("[{text}]"),
        _ => format!(".{text}"),
    }
}
