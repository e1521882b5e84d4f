//! Who owns whom, from the metadata of everything. Decides what to look at; never decides that something is gone: that is
//! verified with the server.
use crate::driver::What;
use client::Meta;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use machinery::meta::Key;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

pub const ORPHAN: &str = "orphan";
pub const FOREGROUND: &str = "foregroundDeletion";

/// What should be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// Perhaps this object should go, or its wait for dependents is over.
    Delete(String),
    /// The dependents of this object should lose their reference to it.
    Orphan(String),
}

/// One object, by uid. One that was only heard of from a dependent is not `observed`.
#[derive(Clone, Debug)]
pub struct Node {
    pub what: Arc<What>,
    pub key: Key,
    pub owners: Vec<OwnerReference>,
    pub dependents: BTreeSet<String>,
    pub deleting: bool,
    /// Waits for its dependents to go first.
    pub foreground: bool,
    pub orphaning: bool,
    pub observed: bool,
}

#[derive(Default)]
pub struct Graph {
    nodes: HashMap<String, Node>,
}

impl Graph {
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The dependents whose going `uid` waits for.
    pub fn blocking(&self, uid: &str) -> Vec<String> {
        let blocks = |dependent: &&String| {
            let owners = self.nodes.get(*dependent).map(|node| node.owners.as_slice()).unwrap_or_default();
            owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
        };
        self.nodes.get(uid).map(|node| node.dependents.iter().filter(blocks).cloned().collect()).unwrap_or_default()
    }

    /// An object was added or changed. `owner_what` tells the resource of an owner that was not seen yet.
    pub fn apply(&mut self, what: &Arc<What>, meta: &Meta, owner_what: impl Fn(&OwnerReference) -> Option<Arc<What>>) -> Vec<Work> {
        let mut work = Vec::new();
        let old = self.nodes.get(&meta.uid).cloned();
        let before = old.as_ref().map(|old| old.owners.clone()).unwrap_or_default();
        let node = self.nodes.entry(meta.uid.clone()).or_insert_with(|| Node {
            what: what.clone(),
            key: meta.key(),
            owners: Vec::new(),
            dependents: BTreeSet::new(),
            deleting: false,
            foreground: false,
            orphaning: false,
            observed: true,
        });
        node.what = what.clone();
        node.key = meta.key();
        node.owners = meta.owner_references.clone();
        node.observed = true;
        node.deleting = meta.is_deleting();
        node.foreground = node.deleting && meta.has_finalizer(FOREGROUND);
        node.orphaning = node.deleting && meta.has_finalizer(ORPHAN);
        let (foreground, orphaning, dependents) = (node.foreground, node.orphaning, node.dependents.clone());
        self.relink(&meta.uid, &meta.key(), &before, &meta.owner_references, owner_what, &mut work);
        if orphaning && !old.as_ref().is_some_and(|old| old.orphaning) {
            work.push(Work::Orphan(meta.uid.clone()));
        }
        if foreground && !old.as_ref().is_some_and(|old| old.foreground) {
            work.extend(dependents.into_iter().map(Work::Delete));
            work.push(Work::Delete(meta.uid.clone()));
        }
        work
    }

    fn relink(
        &mut self,
        uid: &str,
        key: &Key,
        before: &[OwnerReference],
        after: &[OwnerReference],
        owner_what: impl Fn(&OwnerReference) -> Option<Arc<What>>,
        work: &mut Vec<Work>,
    ) {
        for owner in before {
            let now = after.iter().find(|new| new.uid == owner.uid);
            if now.is_none() {
                self.unlink(uid, &owner.uid);
            }
            let blocked = owner.block_owner_deletion == Some(true);
            let freed = blocked && now.is_none_or(|now| now.block_owner_deletion != Some(true));
            if freed && self.nodes.get(&owner.uid).is_some_and(|owner| owner.foreground) {
                work.push(Work::Delete(owner.uid.clone()));
            }
        }
        for owner in after.iter().filter(|owner| !before.iter().any(|old| old.uid == owner.uid)) {
            if let Some(node) = self.nodes.get_mut(&owner.uid) {
                node.dependents.insert(uid.into());
                // a reference into another namespace, or by a wrong name, is no reference
                if node.key.name != owner.name || (!node.key.namespace.is_empty() && node.key.namespace != key.namespace) {
                    work.push(Work::Delete(uid.into()));
                }
            } else if let Some(what) = owner_what(owner) {
                self.nodes.insert(owner.uid.clone(), heard_of(what, owner, key, uid));
                work.push(Work::Delete(owner.uid.clone()));
            } else {
                // an unknown kind: looked at again, with the server's help, until it is known
                work.push(Work::Delete(uid.into()));
            }
        }
    }

    /// An object is gone: its dependents may have to follow, its owners may be free to go.
    pub fn remove(&mut self, uid: &str) -> Vec<Work> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        let mut work: Vec<Work> = node.dependents.into_iter().map(Work::Delete).collect();
        for owner in &node.owners {
            self.unlink(uid, &owner.uid);
            if self.nodes.get(&owner.uid).is_some_and(|owner| owner.foreground) {
                work.push(Work::Delete(owner.uid.clone()));
            }
        }
        work
    }

    /// Everything there is of one resource; what is not among it is gone.
    pub fn replace(&mut self, what: &Arc<What>, all: &[Meta], owner_what: impl Fn(&OwnerReference) -> Option<Arc<What>>) -> Vec<Work> {
        let there: HashSet<&str> = all.iter().map(|meta| meta.uid.as_str()).collect();
        let own = self.nodes.iter().filter(|(uid, node)| node.observed && node.what == *what && !there.contains(uid.as_str()));
        let gone: Vec<String> = own.map(|(uid, _)| uid.clone()).collect();
        let mut work: Vec<Work> = gone.iter().flat_map(|uid| self.remove(uid)).collect();
        work.extend(all.iter().flat_map(|meta| self.apply(what, meta, &owner_what)));
        work
    }

    fn unlink(&mut self, dependent: &str, owner: &str) {
        if let Some(node) = self.nodes.get_mut(owner) {
            node.dependents.remove(dependent);
        }
    }
}

fn heard_of(what: Arc<What>, owner: &OwnerReference, dependent: &Key, uid: &str) -> Node {
    Node {
        what,
        key: Key::new(dependent.namespace.as_str(), owner.name.as_str()),
        owners: Vec::new(),
        dependents: BTreeSet::from([uid.to_string()]),
        deleting: false,
        foreground: false,
        orphaning: false,
        observed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    /// `a`, `b<a` (owned), `b<!a` (owned, blocking), `-a` (gone), `a~` (foreground), `a^` (orphaning).
    fn check(story: &str, expected: Expect) {
        let what = Arc::new(What { group: "".into(), version: "v1".into(), kind: "ConfigMap".into(), plural: "configmaps".into() });
        let mut graph = Graph::default();
        let mut lines = Vec::new();
        for word in story.split_whitespace() {
            let work = match word.strip_prefix('-') {
                Some(uid) => graph.remove(uid),
                None => graph.apply(&what, &meta(word), |_| Some(what.clone())),
            };
            lines.push(format!("{word}: {work:?}"));
        }
        expected.assert_eq(&lines.join("\n"));
    }

    fn meta(word: &str) -> Meta {
        let (name, owner) = word.split_once('<').unwrap_or((word, ""));
        let finalizers = match name.chars().last() {
            Some('~') => vec![FOREGROUND],
            Some('^') => vec![ORPHAN],
            _ => vec![],
        };
        let deleting = (!finalizers.is_empty()).then_some("2026-01-01T00:00:00Z");
        let name = name.trim_end_matches(['~', '^']);
        let owners = match owner.strip_prefix('!') {
            Some(owner) => json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner, "blockOwnerDeletion": true}]),
            None if owner.is_empty() => json!([]),
            None => json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner}]),
        };
        serde_json::from_value(json!({
            "name": name, "namespace": "x", "uid": name, "ownerReferences": owners, "finalizers": finalizers, "deletionTimestamp": deleting,
        }))
        .unwrap()
    }

    #[test]
    fn dependents_follow_their_owner() {
        let expected = expect![[r#"
            a: []
            b<a: []
            -a: [Delete("b")]"#]];
        check("a b<a -a", expected);
    }

    #[test]
    fn an_owner_that_was_never_seen_is_looked_for() {
        let expected = expect![[r#"
            b<a: [Delete("a")]
            -a: [Delete("b")]"#]];
        check("b<a -a", expected);
    }

    #[test]
    fn foreground_deletion_waits_for_blocking_dependents() {
        let expected = expect![[r#"
            a: []
            b<!a: []
            a~: [Delete("b"), Delete("a")]
            -b: [Delete("a")]"#]];
        check("a b<!a a~ -b", expected);
    }

    #[test]
    fn orphaning_is_asked_for_once() {
        let expected = expect![[r#"
            a: []
            b<a: []
            a^: [Orphan("a")]
            a^: []
            b: []"#]];
        check("a b<a a^ a^ b", expected);
    }
}
