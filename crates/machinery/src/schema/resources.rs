//! The resources of the API: names, verbs and subresources as discovery tells them. Generated, read once at first use.
use std::sync::OnceLock;

#[derive(Debug)]
pub struct Resource {
    /// `""` is the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: Vec<&'static str>,
    pub categories: Vec<&'static str>,
    pub namespaced: bool,
    pub verbs: Vec<&'static str>,
    pub subresources: Vec<Subresource>,
    /// The message in the schema table, `io.k8s.api.apps.v1.Deployment`.
    pub schema: &'static str,
}

#[derive(Debug)]
pub struct Subresource {
    pub name: &'static str,
    /// What it takes and gives; may be of another group (`autoscaling/v1 Scale`, `policy/v1 Eviction`).
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub verbs: Vec<&'static str>,
}

/// All resources, in the order of discovery.
pub fn resources() -> &'static [Resource] {
    static RESOURCES: OnceLock<Vec<Resource>> = OnceLock::new();
    RESOURCES.get_or_init(|| parse(super::RESOURCES))
}

/// Lines: `R group version kind plural singular short-names categories scope verbs schema` and
/// `S name group version kind verbs`, about the resource above.
fn parse(text: &'static str) -> Vec<Resource> {
    let mut all: Vec<Resource> = Vec::new();
    for line in text.lines() {
        let columns: Vec<&'static str> = line.split('\t').collect();
        match columns.as_slice() {
            ["R", group, version, kind, plural, singular, short, categories, scope, verbs, schema] => all.push(Resource {
                group,
                version,
                kind,
                plural,
                singular,
                short_names: list(short),
                categories: list(categories),
                namespaced: *scope == "namespaced",
                verbs: list(verbs),
                subresources: Vec::new(),
                schema,
            }),
            ["S", name, group, version, kind, verbs] => {
                let subresource = Subresource { name, group, version, kind, verbs: list(verbs) };
                all.last_mut().expect("a resource stands above").subresources.push(subresource);
            }
            _ => {}
        }
    }
    all
}

fn list(text: &'static str) -> Vec<&'static str> {
    text.split(',').filter(|item| !item.is_empty()).collect()
}
