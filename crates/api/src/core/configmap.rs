//! ConfigMap: settings for pods.
use crate::access::{Entries, Flag, same};
use crate::columns::text;
use crate::core::names::core;
use crate::forms::config_key;
use crate::meta::report;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names};
use machinery::table::{age_column, name_column};
use std::collections::BTreeMap;

/// What a ConfigMap or a Secret may hold at most.
pub const MAX_BYTES: usize = 1024 * 1024;

pub static CONFIG_MAP: Kind<ConfigMap> = Kind {
    validate,
    validate_update: |new, old, errors| {
        if old.immutable.on() {
            frozen(errors, "immutable", new.immutable.on());
            frozen(errors, "data", same(&new.data, &old.data));
            frozen(errors, "binaryData", same(&new.binary_data, &old.binary_data));
        }
    },
    columns: &[name_column(), text("Data", |map, _| (map.data.entries().count() + map.binary_data.entries().count()).into()), age_column()],
    ..Kind::of(Names { short: &["cm"], ..core("ConfigMap", "configmaps", "configmap", "configmaps", "io.k8s.api.core.v1.ConfigMap") })
};

/// Refuses a change of what is immutable.
pub fn frozen(errors: &mut Errors, field: &str, kept: bool) {
    if !kept {
        errors.forbidden(field, "field is immutable when `immutable` is set");
    }
}

/// Checks keys; gives the size of all values.
pub fn keys(errors: &mut Errors, field: &str, data: &Option<BTreeMap<String, ByteString>>) -> usize {
    for (key, _) in data.entries() {
        errors.key(field, key, |errors| report(errors, "", key, config_key(key)));
    }
    data.entries().map(|(_, value)| value.0.len()).sum()
}

fn validate(map: &ConfigMap, errors: &mut Errors) {
    for (key, _) in map.data.entries() {
        errors.key("data", key, |errors| {
            report(errors, "", key, config_key(key));
            if map.binary_data.as_ref().is_some_and(|binary| binary.contains_key(key)) {
                errors.invalid("", key, "duplicate of key present in binaryData");
            }
        });
    }
    let size: usize = map.data.entries().map(|(_, value)| value.len()).sum();
    if size + keys(errors, "binaryData", &map.binary_data) > MAX_BYTES {
        errors.too_long("", MAX_BYTES);
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"x"}}"#;
