//! TaintToleration keeps pods off nodes whose taints they do not tolerate, and prefers nodes without such taints.
use crate::cluster::Row;
use crate::framework::{Before, Event, Normal, Plugin, Verdict};
use k8s_openapi::api::core::v1::{Taint, Toleration};

pub static TAINT_TOLERATION: Plugin<Vec<Toleration>> = Plugin {
    name: "TaintToleration",
    weight: 3,
    wakes_on: &[Event::NodeAdded, Event::NodeChanged],
    prefilter: |pod, _| Before::Go(pod.spec().and_then(|spec| spec.tolerations.clone()).unwrap_or_default()),
    filter: Some(filter),
    score: Some(|tolerations, row| untolerated(tolerations, row, &["PreferNoSchedule"]).count() as i64),
    normal: Normal::LowestIsBest,
};

#[allow(clippy::ptr_arg)] // a plugin's functions take its state as it is
fn filter(tolerations: &Vec<Toleration>, row: &Row) -> Verdict {
    match untolerated(tolerations, row, &["NoSchedule", "NoExecute"]).next() {
        None => Verdict::Fits,
        Some(taint) => {
            let value = taint.value.as_deref().unwrap_or_default();
            Verdict::never(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key))
        }
    }
}

/// Does the pod tolerate every taint that would keep it off?
pub fn tolerates_all(tolerations: &[Toleration], row: &Row) -> bool {
    untolerated(tolerations, row, &["NoSchedule", "NoExecute"]).next().is_none()
}

fn untolerated<'a>(tolerations: &'a [Toleration], row: &'a Row, effects: &'static [&str]) -> impl Iterator<Item = &'a Taint> {
    let matters = move |taint: &&Taint| effects.contains(&taint.effect.as_str());
    row.taints.iter().filter(matters).filter(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// An empty key with `Exists` tolerates everything, an empty effect every effect
/// (https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/).
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let (own, other) = (toleration.value.as_deref().unwrap_or_default(), taint.value.as_deref().unwrap_or_default());
    let numbers = || Some((other.parse::<i64>().ok()?, own.parse::<i64>().ok()?));
    let value_fits = match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Gt" => numbers().is_some_and(|(taint, toleration)| taint > toleration),
        "Lt" => numbers().is_some_and(|(taint, toleration)| taint < toleration),
        _ => own == other,
    };
    (effect.is_empty() || effect == taint.effect) && (key.is_empty() || key == taint.key) && value_fits
}
