//! How kinds of the core group are named, in short.
use machinery::kind::Names;

pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
pub const READ_WRITE: &[&str] = &["get", "patch", "update"];

/// A namespaced kind of the core group.
pub const fn core(kind: &'static str, plural: &'static str, singular: &'static str, storage: &'static str, schema: &'static str) -> Names {
    Names {
        group: "",
        version: "v1",
        kind,
        plural,
        singular,
        short: &[],
        categories: &[],
        namespaced: true,
        verbs: ALL_VERBS,
        storage,
        schema,
    }
}
