//! What holds a namespace that is being deleted, in its conditions. Pure.
use crate::driver::discovery::Served;
use crate::objects::conditions::{Condition, put};
use client::Error;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use std::collections::BTreeMap;

/// What was found while emptying a namespace.
#[derive(Debug, Default)]
pub struct Findings {
    pub discovery: Option<String>,
    errors: Vec<String>,
    /// Objects that remain, by resource.
    remaining: BTreeMap<String, usize>,
    /// Objects that remain, by finalizer.
    finalizers: BTreeMap<String, usize>,
}

impl Findings {
    pub fn add(&mut self, resource: &Served, result: Result<Vec<Vec<String>>, Error>) {
        match result {
            Err(error) => self.errors.push(error.to_string()),
            Ok(rest) if rest.is_empty() => {}
            Ok(rest) => {
                *self.remaining.entry(format!("{}.{}", resource.what.plural, resource.what.group)).or_default() += rest.len();
                for finalizer in rest.into_iter().flatten() {
                    *self.finalizers.entry(finalizer).or_default() += 1;
                }
            }
        }
    }

    pub fn remains(&self) -> bool {
        self.discovery.is_some() || !self.errors.is_empty() || !self.remaining.is_empty()
    }
}

pub fn write(namespace: &mut Namespace, findings: &Findings, now: Timestamp) {
    let list = &mut namespace.status.get_or_insert_default().conditions;
    for (kind, bad, fine) in all(findings) {
        let (status, (reason, message)) = match bad {
            Some(bad) => ("True", bad),
            None => ("False", (fine.0, fine.1.to_string())),
        };
        put(list, NamespaceCondition::new(kind, status, reason, &message, now));
    }
}

type Told = (&'static str, Option<(&'static str, String)>, (&'static str, &'static str));

fn all(findings: &Findings) -> [Told; 5] {
    let told = |what: &BTreeMap<String, usize>, word: &str| {
        let parts: Vec<String> = what.iter().map(|(name, count)| format!("{name} {word} {count} resource instances")).collect();
        parts.join(", ")
    };
    let mut errors = findings.errors.clone();
    errors.sort();
    let failed = (!errors.is_empty()).then(|| {
        let message = format!("Failed to delete all resource types, {} remaining: {}", errors.len(), errors.join(", "));
        ("ContentDeletionFailed", message)
    });
    let remaining = (!findings.remaining.is_empty())
        .then(|| ("SomeResourcesRemain", format!("Some resources are remaining: {}", told(&findings.remaining, "has"))));
    let finalizers = (!findings.finalizers.is_empty()).then(|| {
        let message = format!("Some content in the namespace has finalizers remaining: {}", told(&findings.finalizers, "in"));
        ("SomeFinalizersRemain", message)
    });
    [
        (
            "NamespaceDeletionDiscoveryFailure",
            findings.discovery.clone().map(|error| ("DiscoveryFailed", error)),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        ("NamespaceDeletionGroupVersionParsingFailure", None, ("ParsedGroupVersions", "All legacy kube types successfully parsed")),
        ("NamespaceDeletionContentFailure", failed, ("ContentDeleted", "All content successfully deleted, may be waiting on finalization")),
        ("NamespaceContentRemaining", remaining, ("ContentRemoved", "All content successfully removed")),
        ("NamespaceFinalizersRemaining", finalizers, ("ContentHasNoFinalizers", "All content-preserving finalizers finished")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::What;
    use expect_test::expect;

    #[test]
    fn says_what_holds_the_namespace() {
        let what = What { group: "".into(), version: "v1".into(), kind: "Pod".into(), plural: "pods".into() };
        let pods = Served { what, namespaced: true, verbs: Vec::new(), preferred: true };
        let mut findings = Findings::default();
        findings.add(&pods, Ok(vec![vec!["x/y".into()], vec![]]));
        let mut namespace = Namespace::default();
        write(&mut namespace, &findings, Timestamp::UNIX_EPOCH);
        let conditions = namespace.status.clone().unwrap().conditions.unwrap();
        let told: Vec<String> = conditions.iter().filter(|one| one.status == "True").map(|one| one.message.clone().unwrap()).collect();
        expect![[r#"
            Some resources are remaining: pods. has 2 resource instances
            Some content in the namespace has finalizers remaining: x/y in 1 resource instances"#]]
        .assert_eq(&told.join("\n"));
        let before = namespace.clone();
        write(&mut namespace, &findings, Timestamp::MAX);
        assert_eq!(namespace, before, "the same findings change nothing");
    }
}
