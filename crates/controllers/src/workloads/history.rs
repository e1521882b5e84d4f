//! Revisions of a set's pod template in ControllerRevisions: what DaemonSets and StatefulSets have in common, and what
//! `kubectl rollout history` and `undo` read.
use crate::driver::Plan;
use crate::objects::owners::{controller, is_controlled_by};
use crate::objects::{hash, is_deleting, name};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use machinery::object::Resource;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The label of pods by which they tell their revision.
pub const HASH_LABEL: &str = "controller-revision-hash";

/// A patch that restores the template.
pub fn data_of(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).expect("a template has a JSON form");
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

/// The template that a revision restores.
pub fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.0.get("spec")?.get("template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// The name that the revision of this template has, and its hash.
pub fn name_of<O: Resource>(owner: &O, template: &PodTemplateSpec, collisions: Option<i32>) -> (String, String) {
    let hash = hash::name_of(template, collisions.filter(|count| *count != 0));
    let base: String = name(owner.metadata()).chars().take(223).collect();
    (format!("{base}-{hash}"), hash)
}

/// The owner's revisions, oldest first.
pub fn own<O: Resource>(owner: &O, all: &[Arc<ControllerRevision>]) -> Vec<Arc<ControllerRevision>> {
    let mut own: Vec<Arc<ControllerRevision>> = all
        .iter()
        .filter(|revision| is_controlled_by(&revision.metadata, owner.metadata()) && !is_deleting(&revision.metadata))
        .cloned()
        .collect();
    own.sort_by_key(|revision| (revision.revision, revision.metadata.creation_timestamp.clone(), revision.metadata.name.clone()));
    own
}

pub fn new<O: Resource>(owner: &O, template: &PodTemplateSpec, collisions: Option<i32>, number: i64) -> ControllerRevision {
    let (name, hash) = name_of(owner, template, collisions);
    let mut labels: BTreeMap<String, String> = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(HASH_LABEL.into(), hash);
    let metadata = ObjectMeta {
        name: Some(name),
        namespace: owner.metadata().namespace.clone(),
        labels: Some(labels),
        annotations: owner.metadata().annotations.clone(),
        owner_references: Some(vec![controller(owner)]),
        ..ObjectMeta::default()
    };
    ControllerRevision { metadata, data: RawExtension(data_of(template)), revision: Some(number) }
}

/// What became of the current template's revision.
pub enum Current {
    Is(Arc<ControllerRevision>),
    /// Created by the plan.
    New(Box<ControllerRevision>),
    /// Its name is taken by something else.
    Collision,
}

/// Finds the revision of the template, or plans to create it, or to raise it above the others.
pub fn current<O: Resource>(
    plan: &mut Plan,
    owner: &O,
    template: &PodTemplateSpec,
    collisions: Option<i32>,
    own: &[Arc<ControllerRevision>],
    namesake: Option<&ControllerRevision>,
) -> Current {
    let data = data_of(template);
    let newest = own.iter().map(|revision| revision.revision.unwrap_or(0)).max().unwrap_or(0);
    let found = own.iter().rev().find(|revision| revision.data.0 == data);
    match found {
        Some(revision) if revision.revision.unwrap_or(0) < newest => {
            let mut raised = (**revision).clone();
            raised.revision = Some(newest + 1);
            plan.update(&**revision, raised);
            Current::Is(revision.clone())
        }
        Some(revision) => Current::Is(revision.clone()),
        None if namesake.is_some() => Current::Collision,
        None => {
            let new = new(owner, template, collisions, newest + 1);
            plan.create(new.clone());
            Current::New(Box::new(new))
        }
    }
}

/// Deletes what is neither live nor within the limit, oldest first.
pub fn truncate(plan: &mut Plan, own: &[Arc<ControllerRevision>], limit: Option<i32>, is_live: impl Fn(&ControllerRevision) -> bool) {
    let Some(limit) = limit.filter(|limit| *limit >= 0) else { return };
    let idle: Vec<&Arc<ControllerRevision>> = own.iter().filter(|revision| !is_live(revision)).collect();
    let surplus = idle.len().saturating_sub(limit as usize);
    idle.into_iter().take(surplus).for_each(|revision| plan.delete(&**revision));
}
