//! ServiceAccount: the identity of pods.
use crate::core::names::core;
use k8s_openapi::api::core::v1::{ObjectReference, ServiceAccount};
use machinery::kind::{Kind, Names};
use machinery::table::{age_column, name_column};

pub static SERVICE_ACCOUNT: Kind<ServiceAccount> = Kind {
    on_create: only_names,
    on_update: |new, _| only_names(new),
    columns: &[name_column(), age_column()],
    ..Kind::of(Names {
        short: &["sa"],
        ..core("ServiceAccount", "serviceaccounts", "serviceaccount", "serviceaccounts", "io.k8s.api.core.v1.ServiceAccount")
    })
};

/// Secrets are those of the account's own namespace: of a reference only the name counts.
fn only_names(account: &mut ServiceAccount) {
    for secret in account.secrets.iter_mut().flatten() {
        *secret = ObjectReference { name: secret.name.take(), ..ObjectReference::default() };
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"a","namespace":"x"}}"#;
