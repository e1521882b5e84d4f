//! What the API server serves, from aggregated discovery: two requests, whatever the number of groups.
use super::plan::What;
use client::{Body, Client, Error};
use http::{Request, header};
use serde::Deserialize;
use std::collections::HashMap;

const MAX_ANSWER_BYTES: usize = 32 << 20;
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// One resource at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    pub what: What,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    /// Whether this is the version that the group prefers for it.
    pub preferred: bool,
}

impl Served {
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Named,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    #[serde(default)]
    response_kind: Option<Kind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

/// All resources of all versions; versions of a group in the order of its preference.
pub async fn discover(client: &Client) -> Result<Vec<Served>, Error> {
    let mut served = Vec::new();
    for path in ["/api", "/apis"] {
        let groups: Groups = get(client, path).await?;
        groups.items.into_iter().for_each(|group| add_group(&mut served, group));
    }
    Ok(served)
}

fn add_group(served: &mut Vec<Served>, group: Group) {
    let mut seen: HashMap<String, ()> = HashMap::new();
    for version in group.versions {
        for resource in version.resources {
            let Some(kind) = resource.response_kind else { continue };
            let preferred = seen.insert(resource.resource.clone(), ()).is_none();
            let what = What {
                group: group.metadata.name.clone().into(),
                version: version.version.clone().into(),
                kind: kind.kind.into(),
                plural: resource.resource.into(),
            };
            served.push(Served { what, namespaced: resource.scope == "Namespaced", verbs: resource.verbs, preferred });
        }
    }
}

async fn get<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<T, Error> {
    let request = Request::builder().uri(path).header(header::ACCEPT, ACCEPT).body(Body::Empty);
    let response = client.call(request.map_err(|error| Error::Transport(error.to_string()))?).await;
    let code = response.status();
    let bytes = response.into_body().bytes(MAX_ANSWER_BYTES).await.map_err(|error| Error::Transport(error.to_string()))?;
    if !code.is_success() {
        return Err(Error::Transport(format!("discovery at {path} answered {code}")));
    }
    serde_json::from_slice(&bytes.unwrap_or_default()).map_err(|error| Error::Decode(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_is_the_preferred_one() {
        let group = serde_json::json!({"metadata": {"name": "apps"}, "versions": [
            {"version": "v1", "resources": [{"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced", "verbs": ["get"]}]},
            {"version": "v1beta1", "resources": [{"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced", "verbs": []}]},
        ]});
        let mut served = Vec::new();
        add_group(&mut served, serde_json::from_value(group).unwrap());
        assert_eq!(
            served.iter().map(|one| (one.what.version.as_ref(), one.preferred)).collect::<Vec<_>>(),
            [("v1", true), ("v1beta1", false)]
        );
    }
}
