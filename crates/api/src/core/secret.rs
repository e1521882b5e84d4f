//! Secret: what pods may know and others should not. Values never appear in an error.
use crate::access::{Entries, Flag, Text, fill, same};
use crate::columns::text;
use crate::core::configmap::{MAX_BYTES, frozen, keys};
use crate::core::names::core;
use crate::meta::immutable;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use machinery::errors::Errors;
use machinery::kind::{Field, Kind};
use machinery::table::{age_column, name_column};

const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

pub static SECRET: Kind<Secret> = Kind {
    default,
    on_update: |new, old| {
        if new.type_.text().is_empty() {
            new.type_.clone_from(&old.type_);
        }
    },
    validate,
    validate_update: |new, old, errors| {
        immutable(errors, "type", &new.type_, &old.type_);
        if old.immutable.on() {
            frozen(errors, "immutable", new.immutable.on());
            frozen(errors, "data", same(&new.data, &old.data));
        }
    },
    columns: &[
        name_column(),
        text("Type", |secret, _| secret.type_.text().into()),
        text("Data", |secret, _| secret.data.entries().count().into()),
        age_column(),
    ],
    fields: &[Field { path: "type", value: |secret| secret.type_.text().into() }],
    ..Kind::of(core("Secret", "secrets", "secret", "secrets", "io.k8s.api.core.v1.Secret"))
};

/// `stringData` is for writing only: it becomes `data`, over what is there.
fn default(secret: &mut Secret) {
    if let Some(texts) = secret.string_data.take() {
        let data = secret.data.get_or_insert_default();
        data.extend(texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))));
    }
    fill(&mut secret.type_, "Opaque");
}

fn validate(secret: &Secret, errors: &mut Errors) {
    if keys(errors, "data", &secret.data) > MAX_BYTES {
        errors.too_long("data", MAX_BYTES);
    }
    let value = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.as_slice());
    let required = |errors: &mut Errors, key: &str| errors.required(&format!("data[{key}]"), "");
    match secret.type_.text() {
        ACCOUNT_TOKEN if secret.metadata.annotations.entries().all(|(key, value)| key != ACCOUNT_NAME || value.is_empty()) => {
            errors.required(&format!("metadata.annotations[{ACCOUNT_NAME}]"), "");
        }
        "kubernetes.io/dockercfg" => docker(errors, ".dockercfg", value(".dockercfg")),
        "kubernetes.io/dockerconfigjson" => docker(errors, ".dockerconfigjson", value(".dockerconfigjson")),
        "kubernetes.io/basic-auth" if value("username").is_none() && value("password").is_none() => {
            required(errors, "username");
            required(errors, "password");
        }
        "kubernetes.io/ssh-auth" if value("ssh-privatekey").unwrap_or_default().is_empty() => required(errors, "ssh-privatekey"),
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"].into_iter().filter(|key| value(key).is_none()) {
                required(errors, key);
            }
        }
        _ => {}
    }
}

fn docker(errors: &mut Errors, key: &str, value: Option<&[u8]>) {
    let field = format!("data[{key}]");
    match value.map(serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>) {
        None => errors.required(&field, ""),
        Some(Err(error)) => errors.invalid(&field, "<secret contents redacted>", &error.to_string()),
        Some(Ok(_)) => {}
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"x"}}"#;
