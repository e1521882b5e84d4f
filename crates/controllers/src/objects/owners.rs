//! Owner references: who controls an object, and the claiming of orphans that match a selector.
use super::{is_deleting, labels, name, namespace, uid};
use crate::driver::{Caches, Plan, Step, Target};
use crate::objects::selectors::Selector;
use client::{Delta, Patch};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use machinery::meta::Key;
use machinery::object::Resource;
use serde_json::json;
use std::sync::Arc;

/// Name of the index by the controlling owner.
pub const OWNER: &str = "owner";

/// Index values: the uid of the controlling owner, or the namespace of an orphan.
pub fn by_owner<T: Resource>(object: &T) -> Vec<String> {
    let meta = object.metadata();
    vec![match controller_of(meta) {
        Some(owner) => owner.uid.clone(),
        None => orphans_in(namespace(meta)),
    }]
}

pub fn orphans_in(namespace: &str) -> String {
    format!("orphan/{namespace}")
}

pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

pub fn is_controlled_by(meta: &ObjectMeta, owner: &ObjectMeta) -> bool {
    controller_of(meta).is_some_and(|reference| reference.uid == uid(owner))
}

/// A reference by which `owner` controls.
pub fn controller<T: Resource>(owner: &T) -> OwnerReference {
    OwnerReference {
        api_version: T::API_VERSION.into(),
        kind: T::KIND.into(),
        name: name(owner.metadata()).into(),
        uid: uid(owner.metadata()).into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The key of the controlling owner, if it is of kind `O`.
pub fn owner_key<O: Resource>(meta: &ObjectMeta) -> Option<Key> {
    let owner = controller_of(meta)?;
    let group = |version: &str| version.rsplit_once('/').map_or(String::new(), |(group, _)| group.to_string());
    (owner.kind == O::KIND && group(&owner.api_version) == O::GROUP).then(|| Key::new(namespace(meta), owner.name.as_str()))
}

/// Keys of the owners (of kind `O`) of what changed; a change of owner wakes both. Orphans wake whoever could adopt them.
pub fn wake_owner<O: Resource, T: Resource>(caches: &Caches, delta: &Delta<T>, selector: fn(&O) -> Selector) -> Vec<Key> {
    let new = delta.object().metadata();
    let mut keys: Vec<Key> = owner_key::<O>(new).into_iter().collect();
    if let Delta::Updated { old, .. } = delta {
        keys.extend(owner_key::<O>(old.metadata()).filter(|key| !keys.contains(key)));
    }
    if controller_of(new).is_none() && !matches!(delta, Delta::Deleted(_)) {
        let sets = caches.of::<O>().by_index("namespace", namespace(new));
        let matching = sets.iter().filter(|set| selector(set).selects(labels(new)));
        keys.extend(matching.map(|set| Key::of(set.metadata())));
    }
    keys
}

/// Everything that `owner` controls or could adopt.
pub fn candidates<T: Resource>(caches: &Caches, owner: &ObjectMeta) -> Vec<Arc<T>> {
    let cache = caches.of::<T>();
    let mut all = cache.by_index(OWNER, uid(owner));
    all.extend(cache.by_index(OWNER, &orphans_in(namespace(owner))));
    all.retain(|object| namespace(object.metadata()) == namespace(owner));
    all
}

/// Sorts out what belongs to `owner`: keeps what it controls and matches, lets go what no longer matches, adopts orphans.
/// Gives what is its own afterwards.
pub fn claim<O: Resource, T: Resource>(plan: &mut Plan, owner: &O, selector: &Selector, candidates: &[Arc<T>]) -> Vec<Arc<T>> {
    let deleting = is_deleting(owner.metadata());
    let mut own = Vec::new();
    for object in candidates {
        let meta = object.metadata();
        let matches = selector.selects(labels(meta));
        match controller_of(meta) {
            Some(reference) if reference.uid != uid(owner.metadata()) => {}
            Some(_) if matches => own.push(object.clone()),
            Some(_) if deleting => {}
            Some(_) => plan.steps.push(release(&**object, uid(owner.metadata()))),
            None if matches && !deleting && !is_deleting(meta) => {
                plan.steps.push(adopt(&**object, controller(owner)));
                own.push(object.clone());
            }
            None => {}
        }
    }
    own
}

fn adopt<T: Resource>(object: &T, owner: OwnerReference) -> Step {
    let mut owners = object.metadata().owner_references.clone().unwrap_or_default();
    owners.retain(|old| old.uid != owner.uid);
    owners.push(owner);
    set_owners(object, owners)
}

fn release<T: Resource>(object: &T, owner: &str) -> Step {
    let mut owners = object.metadata().owner_references.clone().unwrap_or_default();
    owners.retain(|old| old.uid != owner);
    set_owners(object, owners)
}

/// The uid and resourceVersion are the preconditions.
fn set_owners<T: Resource>(object: &T, owners: Vec<OwnerReference>) -> Step {
    let meta = object.metadata();
    let change = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "ownerReferences": owners}});
    Step::Patch { target: Target::of(object), subresource: "", patch: Patch::Merge(change), tell: None }
}
