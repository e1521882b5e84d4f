//! Small accessors over API objects that several controllers share. Pure.
pub mod affinity;
pub mod conditions;
pub mod hash;
pub mod owners;
pub mod pods;
pub mod selectors;
pub mod taints;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use std::time::Duration;

/// A time as the API has it: without a fraction of a second.
pub fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

pub fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.max(0) as u64)
}

/// A count as the API has it where zero is left out.
pub fn count(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

/// A number of `total`, given as such or in percent.
pub fn scaled(value: &IntOrString, total: i32, round_up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = percent * i64::from(total);
            (if round_up { (product + 99).div_euclid(100) } else { product.div_euclid(100) }) as i32
        }
    }
}

pub fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

pub fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

pub fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

pub fn labels(meta: &ObjectMeta) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    meta.labels.as_ref().unwrap_or(&NONE)
}

pub fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

pub fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

pub fn is_deleting(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

pub fn created(meta: &ObjectMeta) -> Timestamp {
    meta.creation_timestamp.as_ref().map_or(Timestamp::MAX, |at| at.0)
}

pub fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|own| own == finalizer)
}

/// Adds the labels; gives whether that changed anything.
pub fn set_entry(map: &mut Option<BTreeMap<String, String>>, key: &str, value: &str) -> bool {
    let map = map.get_or_insert_default();
    if map.get(key).is_some_and(|old| old == value) {
        return false;
    }
    map.insert(key.into(), value.into());
    true
}

/// The index of objects by namespace.
pub fn by_namespace<T: machinery::object::Resource>(object: &T) -> Vec<String> {
    object.metadata().namespace.clone().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        let quarter = IntOrString::String("25%".into());
        assert_eq!([scaled(&quarter, 10, true), scaled(&quarter, 10, false), scaled(&IntOrString::Int(7), 3, true)], [3, 2, 7]);
    }
}
