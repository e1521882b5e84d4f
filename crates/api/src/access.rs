//! Reading optional fields of API types: what is absent reads as empty, as it does on the wire.
use machinery::quantity::Quantity;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

pub type ApiQuantity = k8s_openapi::apimachinery::pkg::api::resource::Quantity;
/// A resource list as the API has it.
pub type ApiResources = BTreeMap<String, ApiQuantity>;

pub trait Text {
    fn text(&self) -> &str;
}

impl Text for Option<String> {
    fn text(&self) -> &str {
        self.as_deref().unwrap_or_default()
    }
}

pub trait List<T> {
    fn list(&self) -> &[T];
}

impl<T> List<T> for Option<Vec<T>> {
    fn list(&self) -> &[T] {
        self.as_deref().unwrap_or_default()
    }
}

pub trait Flag {
    fn on(&self) -> bool;
}

impl Flag for Option<bool> {
    fn on(&self) -> bool {
        self.unwrap_or(false)
    }
}

pub trait Entries<K, V> {
    fn entries<'a>(&'a self) -> impl Iterator<Item = (&'a K, &'a V)>
    where
        K: 'a,
        V: 'a;
}

impl<K: Ord, V> Entries<K, V> for Option<BTreeMap<K, V>> {
    fn entries<'a>(&'a self) -> impl Iterator<Item = (&'a K, &'a V)>
    where
        K: 'a,
        V: 'a,
    {
        self.iter().flatten()
    }
}

/// The value of a quantity; zero for a text that is none (decoding refuses those).
pub fn amount(quantity: &ApiQuantity) -> Quantity {
    Quantity::try_from(quantity).unwrap_or(Quantity::ZERO)
}

/// Writes quantities in their canonical form, rounded up to thousandths.
pub fn canonical_resources(list: &mut Option<ApiResources>) {
    for quantity in list.iter_mut().flat_map(BTreeMap::values_mut) {
        if let Ok(mut value) = Quantity::try_from(&*quantity) {
            value.round_up_to_milli();
            *quantity = ApiQuantity::from(&value);
        }
    }
}

/// Writes one quantity in its canonical form.
pub fn canonical(quantity: &mut Option<ApiQuantity>) {
    if let Some(value) = quantity.as_ref().and_then(|quantity| Quantity::try_from(quantity).ok()) {
        *quantity = Some(ApiQuantity::from(&value));
    }
}

/// Fills an empty or absent text.
pub fn fill(field: &mut Option<String>, value: &str) {
    if field.text().is_empty() {
        *field = Some(value.into());
    }
}

/// Equal, where absent and empty are the same.
pub fn same<T: PartialEq + Serialize>(one: &T, other: &T) -> bool {
    one == other || bare(one) == bare(other)
}

/// The value without what is empty.
pub fn bare(value: &impl Serialize) -> Value {
    fn strip(value: Value) -> Value {
        let kept = |value: &Value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => true,
        };
        match value {
            Value::Array(items) => Value::Array(items.into_iter().map(strip).collect()),
            Value::Object(map) => map.into_iter().map(|(key, value)| (key, strip(value))).filter(|(_, value)| kept(value)).collect(),
            other => other,
        }
    }
    strip(serde_json::to_value(value).unwrap_or_default())
}

/// Where two values differ, one line each (`spec.nodeName: "a" became "b"`), at most ten.
pub fn differences(old: &impl Serialize, new: &impl Serialize) -> String {
    fn walk(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
        match (old, new) {
            _ if old == new || lines.len() >= 10 => {}
            (Value::Object(one), Value::Object(other)) => {
                let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
                for key in keys {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(&path, one.get(key).unwrap_or(&Value::Null), other.get(key).unwrap_or(&Value::Null), lines);
                }
            }
            (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
                for (index, (one, other)) in one.iter().zip(other).enumerate() {
                    walk(&format!("{path}[{index}]"), one, other, lines);
                }
            }
            _ => lines.push(format!("  {path}: {old} became {new}")),
        }
    }
    let mut lines = Vec::new();
    walk("", &bare(old), &bare(new), &mut lines);
    lines.join("\n")
}
