//! Registries.
/// Where images come from.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Registries {
    /// For a registry's name, the addresses to ask first: `registry.k8s.io: [http://127.0.0.1:5055]`.
    pub mirrors: std::collections::BTreeMap<String, Vec<String>>,
    /// Registries (host or host:port) that are asked over plain HTTP. Loopback addresses always are.
    pub plain_http: Vec<String>,
}

use super::reference::Reference;
use super::store::{Image, Store};
use crate::problem::{Outcome, Problem};

pub async fn pull(_: &std::sync::Arc<Store>, _: &Registries, reference: &Reference, _: Option<&cri::v1::AuthConfig>) -> Outcome<Image> {
    Err(Problem::not_found(reference))
}

pub fn status(name: &str, problem: Problem) -> cri::Status {
    cri::Status::unknown(format!("failed to pull image {name:?}: {problem}"))
}
