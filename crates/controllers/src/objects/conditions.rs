//! Conditions of all kinds by one trait: find, set (a repeated one keeps its times), remove.
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSetCondition, DeploymentCondition, ReplicaSetCondition, StatefulSetCondition};
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::core::v1::{
    NamespaceCondition, NodeCondition, PersistentVolumeClaimCondition, PodCondition, ReplicationControllerCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub trait Condition: Clone {
    fn kind(&self) -> &str;
    fn status(&self) -> &str;
    fn reason(&self) -> &str;
    fn message(&self) -> &str;
    fn since(&self) -> Option<Timestamp>;
    fn set_since(&mut self, since: Option<Timestamp>);
    fn new(kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Self;
}

/// Text that the API may leave out.
trait Text {
    fn text(&self) -> &str;
}

impl Text for String {
    fn text(&self) -> &str {
        self
    }
}

impl Text for Option<String> {
    fn text(&self) -> &str {
        self.as_deref().unwrap_or_default()
    }
}

macro_rules! conditions {
    ($($kind:ident),*) => {$(
        impl Condition for $kind {
            fn kind(&self) -> &str {
                self.type_.text()
            }
            fn status(&self) -> &str {
                self.status.text()
            }
            fn reason(&self) -> &str {
                self.reason.text()
            }
            fn message(&self) -> &str {
                self.message.text()
            }
            fn since(&self) -> Option<Timestamp> {
                self.last_transition_time.as_ref().map(|at| at.0)
            }
            fn set_since(&mut self, since: Option<Timestamp>) {
                self.last_transition_time = since.map(Time);
            }
            // some kinds of conditions have fields that others lack
            #[allow(clippy::needless_update)]
            fn new(kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Self {
                let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
                $kind {
                    type_: kind.to_string().into(),
                    status: status.to_string().into(),
                    reason: some(reason),
                    message: some(message),
                    last_transition_time: Some(super::time(now)),
                    ..Default::default()
                }
            }
        }
    )*};
}

conditions!(
    DaemonSetCondition,
    DeploymentCondition,
    ReplicaSetCondition,
    StatefulSetCondition,
    JobCondition,
    NamespaceCondition,
    NodeCondition,
    PersistentVolumeClaimCondition,
    PodCondition,
    ReplicationControllerCondition
);

pub fn find<'a, C: Condition>(conditions: &'a Option<Vec<C>>, kind: &str) -> Option<&'a C> {
    conditions.iter().flatten().find(|condition| condition.kind() == kind)
}

pub fn is_true<C: Condition>(conditions: &Option<Vec<C>>, kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status() == "True")
}

/// Sets a condition at the end, as the original does, unless one of this status and reason is there already. Its transition
/// time stays while the status stays.
pub fn set<C: Condition>(conditions: &mut Option<Vec<C>>, mut condition: C) -> bool {
    if let Some(old) = find(conditions, condition.kind()) {
        if old.status() == condition.status() && old.reason() == condition.reason() {
            return false;
        }
        if old.status() == condition.status() {
            condition.set_since(old.since());
        }
    }
    let list = conditions.get_or_insert_default();
    list.retain(|old| old.kind() != condition.kind());
    list.push(condition);
    true
}

/// Sets a condition in its place; a new message counts as a change too.
pub fn put<C: Condition>(conditions: &mut Option<Vec<C>>, mut condition: C) -> bool {
    let list = conditions.get_or_insert_default();
    let Some(old) = list.iter_mut().find(|old| old.kind() == condition.kind()) else {
        list.push(condition);
        return true;
    };
    if old.status() == condition.status() {
        if old.reason() == condition.reason() && old.message() == condition.message() {
            return false;
        }
        condition.set_since(old.since());
    }
    *old = condition;
    true
}

/// Removes a condition; a list that becomes empty goes too, as the API leaves empty lists out.
pub fn remove<C: Condition>(conditions: &mut Option<Vec<C>>, kind: &str) {
    if let Some(list) = conditions {
        list.retain(|condition| condition.kind() != kind);
        if list.is_empty() {
            *conditions = None;
        }
    }
}
