//! Decides what a deletion does to an object: pure, from the object, the kind and what the client wants.
use super::metadata::{FOREGROUND, ORPHAN};
use crate::request::Propagation;
use crate::request::options::Deletion;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use machinery::kind::DynKind;
use machinery::object::AnyObject;

/// What to do with an object that shall go.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is already on its way, and this request changes nothing.
    Pending,
    /// It is written again, marked as being deleted.
    Mark,
    Now,
}

pub fn plan(kind: &dyn DynKind, object: &mut dyn AnyObject, wanted: &Deletion, at: Timestamp) -> Plan {
    let graceful = match grace(kind, object, wanted.grace_period_seconds, at) {
        Grace::Pending => return Plan::Pending,
        Grace::No => false,
        Grace::Marked => true,
    };
    if kind.names().storage != "events" {
        choose_finalizers(kind, object.meta_mut(), wanted);
    }
    let meta = object.meta_mut();
    let own = !meta.finalizers.as_deref().unwrap_or_default().is_empty();
    let of_spec = has_own_finalizers(object);
    let waits = own || of_spec;
    if graceful {
        let zero = object.meta().deletion_grace_period_seconds == Some(0);
        return if zero && !waits { Plan::Now } else { Plan::Mark };
    }
    if !waits {
        return Plan::Now;
    }
    mark(object.meta_mut(), at);
    if of_spec {
        object.meta_mut().deletion_grace_period_seconds = None;
    }
    Plan::Mark
}

/// Namespaces wait for the finalizers in their spec as well, and say so in their phase.
fn has_own_finalizers(object: &mut dyn AnyObject) -> bool {
    let Some(namespace) = object.downcast_mut::<k8s_openapi::api::core::v1::Namespace>() else { return false };
    let waits = namespace.spec.as_ref().is_some_and(|spec| !spec.finalizers.as_deref().unwrap_or_default().is_empty());
    if waits {
        namespace.status.get_or_insert_default().phase = Some("Terminating".into());
    }
    waits
}

enum Grace {
    /// This kind goes at once.
    No,
    /// The marks are set.
    Marked,
    /// The marks that are there stay.
    Pending,
}

fn grace(kind: &dyn DynKind, object: &mut dyn AnyObject, asked: Option<i64>, at: Timestamp) -> Grace {
    let supports = kind.grace(object, asked);
    let meta = object.meta_mut();
    if let Some(deletion) = meta.deletion_timestamp.clone() {
        if supports.is_none() {
            return Grace::No;
        }
        let there = meta.deletion_grace_period_seconds.unwrap_or(0);
        if there == 0 {
            return Grace::No;
        }
        let Some(asked) = asked else { return Grace::Pending };
        if asked >= there {
            return Grace::Pending;
        }
        let sooner = deletion.0 - SignedDuration::from_secs(there) + SignedDuration::from_secs(asked);
        let (due, seconds) = match sooner < at {
            true => (at, if asked == 0 { 0 } else { 1 }),
            false => (sooner, asked),
        };
        meta.deletion_timestamp = Some(Time(due));
        meta.deletion_grace_period_seconds = Some(seconds);
        return Grace::Marked;
    }
    let Some(seconds) = supports else { return Grace::No };
    meta.deletion_timestamp = Some(whole(at + SignedDuration::from_secs(seconds)));
    meta.deletion_grace_period_seconds = Some(seconds);
    meta.generation = meta.generation.map(|generation| generation + i64::from(generation > 0));
    Grace::Marked
}

fn whole(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// Marks an object that only waits for finalizers.
fn mark(meta: &mut ObjectMeta, at: Timestamp) {
    if meta.deletion_timestamp.is_none() {
        meta.generation = meta.generation.map(|generation| generation + i64::from(generation > 0));
    }
    if meta.deletion_timestamp.as_ref().is_none_or(|deletion| deletion.0 > at) {
        meta.deletion_timestamp = Some(whole(at));
    }
    meta.deletion_grace_period_seconds = Some(0);
}

/// The garbage collector's two finalizers, as the options, the object or the kind's custom want them.
fn choose_finalizers(kind: &dyn DynKind, meta: &mut ObjectMeta, wanted: &Deletion) {
    let has = |name: &str| meta.finalizers.iter().flatten().any(|own| own == name);
    let (orphan, foreground) = match (wanted.orphan_dependents, wanted.propagation) {
        (Some(orphan), _) => (orphan, false),
        (None, Some(policy)) => (policy == Propagation::Orphan, policy == Propagation::Foreground),
        (None, None) => match meta.finalizers.iter().flatten().find(|own| matches!(own.as_str(), ORPHAN | FOREGROUND)) {
            Some(first) => (first == ORPHAN, first == FOREGROUND),
            None => (orphans_by_custom(kind), false),
        },
    };
    if (has(ORPHAN), has(FOREGROUND)) == (orphan, foreground) {
        return;
    }
    let mut finalizers = meta.finalizers.take().unwrap_or_default();
    finalizers.retain(|own| own != ORPHAN && own != FOREGROUND);
    finalizers.extend(orphan.then(|| ORPHAN.to_string()));
    finalizers.extend(foreground.then(|| FOREGROUND.to_string()));
    meta.finalizers = Some(finalizers).filter(|finalizers| !finalizers.is_empty());
}

/// Kinds whose dependents stay unless the client says otherwise: a rule from before there was a garbage collector.
fn orphans_by_custom(kind: &dyn DynKind) -> bool {
    let names = kind.names();
    matches!((names.group, names.plural), ("batch", "jobs") | ("", "replicationcontrollers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    use machinery::kind::{Kind, Names};
    use machinery::object::Resource;
    use serde_json::{Value, json};

    const fn names() -> Names {
        Names {
            group: "",
            version: "v1",
            kind: "X",
            plural: "xs",
            singular: "x",
            short: &[],
            categories: &[],
            namespaced: true,
            verbs: &[],
            storage: "xs",
            schema: "",
        }
    }

    static GRACEFUL: Kind<Pod> = Kind { grace: |_, asked| Some(asked.unwrap_or(30)), ..Kind::of(names()) };
    static AT_ONCE: Kind<ConfigMap> = Kind::of(names());

    fn check<T: Resource>(kind: &Kind<T>, metadata: Value, wanted: &Deletion, expect: (Plan, Value)) {
        let mut object: T = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        let plan = plan(kind, &mut object, wanted, "2026-01-01T00:00:10Z".parse().unwrap());
        assert_eq!((plan, serde_json::to_value(object.metadata()).unwrap()), expect, "{metadata} {wanted:?}");
    }

    #[test]
    fn an_object_goes_at_once_waits_or_is_already_going() {
        let asked = |seconds| Deletion { grace_period_seconds: Some(seconds), ..Deletion::default() };
        let foreground = Deletion { propagation: Some(Propagation::Foreground), ..Deletion::default() };
        let going =
            |seconds, at: &str| json!({"deletionGracePeriodSeconds": seconds, "deletionTimestamp": format!("2026-01-01T00:00:{at}Z")});
        check(&AT_ONCE, json!({}), &Deletion::default(), (Plan::Now, json!({})));
        let waits =
            json!({"deletionGracePeriodSeconds": 0, "deletionTimestamp": "2026-01-01T00:00:10Z", "finalizers": ["foregroundDeletion"]});
        check(&AT_ONCE, json!({}), &foreground, (Plan::Mark, waits));
        check(&GRACEFUL, json!({}), &Deletion::default(), (Plan::Mark, going(30, "40")));
        check(&GRACEFUL, json!({}), &asked(0), (Plan::Now, going(0, "10")));
        check(&GRACEFUL, going(30, "40"), &Deletion::default(), (Plan::Pending, going(30, "40")));
        check(&GRACEFUL, going(30, "40"), &asked(60), (Plan::Pending, going(30, "40")));
        check(&GRACEFUL, going(30, "40"), &asked(5), (Plan::Mark, going(5, "15")));
        check(&GRACEFUL, going(30, "35"), &asked(2), (Plan::Mark, going(1, "10")));
    }
}
