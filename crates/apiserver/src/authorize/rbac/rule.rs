//! One policy rule: what it allows, and whether some rules cover others. Pure.
use crate::request::Attributes;
use k8s_openapi::api::rbac::v1::PolicyRule;
use std::collections::{BTreeSet, HashMap};

/// A rule as RBAC knows it; `*` is written out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    pub verbs: Vec<String>,
    pub groups: Vec<String>,
    pub resources: Vec<String>,
    pub names: Vec<String>,
    pub urls: Vec<String>,
}

impl Rule {
    pub fn allows(&self, attributes: &Attributes) -> bool {
        if !has_or_all(&self.verbs, &attributes.verb) {
            return false;
        }
        if !attributes.is_resource {
            return self.urls.iter().any(|url| url == "*" || url_covers(url, &attributes.path));
        }
        has_or_all(&self.groups, &attributes.group)
            && self.resources.iter().any(|resource| resource_matches(resource, attributes))
            && (self.names.is_empty() || self.names.contains(&attributes.name))
    }

    /// As the original prints it in refusals.
    pub fn compact(&self) -> String {
        let parts = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ];
        let given = parts.iter().filter(|(_, values)| !values.is_empty());
        let shown: Vec<String> = given.map(|(name, values)| format!("{name}:{}", quoted_list(values))).collect();
        format!("{{{}}}", shown.join(", "))
    }

    /// The same as rules of one verb, one group, one resource and at most one name each.
    fn pieces(&self) -> Vec<Rule> {
        let one = |text: &String| vec![text.clone()];
        let names: Vec<Vec<String>> = if self.names.is_empty() { vec![Vec::new()] } else { self.names.iter().map(one).collect() };
        let mut pieces = Vec::new();
        for group in &self.groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    for names in &names {
                        let (verbs, groups, resources) = (one(verb), one(group), one(resource));
                        pieces.push(Rule { verbs, groups, resources, names: names.clone(), urls: Vec::new() });
                    }
                }
            }
        }
        for url in &self.urls {
            for verb in &self.verbs {
                pieces.push(Rule { verbs: one(verb), urls: one(url), ..Rule::default() });
            }
        }
        pieces
    }

    fn covers(&self, piece: &Rule) -> bool {
        has_all_or_star(&self.verbs, &piece.verbs)
            && has_all_or_star(&self.groups, &piece.groups)
            && piece.resources.iter().all(|resource| covers_resource(&self.resources, resource))
            && piece.urls.iter().all(|url| self.urls.iter().any(|own| url_covers(own, url)))
            && (self.names.is_empty() || (!piece.names.is_empty() && piece.names.iter().all(|name| self.names.contains(name))))
    }
}

impl From<&PolicyRule> for Rule {
    fn from(rule: &PolicyRule) -> Rule {
        Rule {
            verbs: rule.verbs.clone(),
            groups: rule.api_groups.clone().unwrap_or_default(),
            resources: rule.resources.clone().unwrap_or_default(),
            names: rule.resource_names.clone().unwrap_or_default(),
            urls: rule.non_resource_urls.clone().unwrap_or_default(),
        }
    }
}

impl From<&Rule> for PolicyRule {
    fn from(rule: &Rule) -> PolicyRule {
        let given = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        PolicyRule {
            verbs: rule.verbs.clone(),
            api_groups: given(&rule.groups),
            resources: given(&rule.resources),
            resource_names: given(&rule.names),
            non_resource_urls: given(&rule.urls),
        }
    }
}

/// What of `asked` is not covered by `held`, in the smallest pieces.
pub fn uncovered(held: &[Rule], asked: &[Rule]) -> Vec<Rule> {
    let pieces = asked.iter().flat_map(Rule::pieces);
    pieces.filter(|piece| !held.iter().any(|rule| rule.covers(piece))).collect()
}

/// Puts pieces of the same group, resource and name together again, and prints them sorted, without repetitions.
pub fn describe(pieces: &[Rule]) -> Vec<String> {
    let mut merged: Vec<Rule> = Vec::new();
    let mut places = HashMap::new();
    for piece in pieces {
        if !piece.urls.is_empty() {
            merged.push(piece.clone());
            continue;
        }
        let place = *places.entry((piece.groups.clone(), piece.resources.clone(), piece.names.clone())).or_insert(merged.len());
        match merged.get_mut(place) {
            Some(rule) => rule.verbs.extend(piece.verbs.iter().cloned()),
            None => merged.push(piece.clone()),
        }
    }
    merged.iter().map(Rule::compact).collect::<BTreeSet<_>>().into_iter().collect()
}

fn has_or_all(list: &[String], asked: &str) -> bool {
    list.iter().any(|own| own == "*" || own == asked)
}

fn has_all_or_star(own: &[String], asked: &[String]) -> bool {
    own.iter().any(|own| own == "*") || asked.iter().all(|asked| own.contains(asked))
}

fn resource_matches(rule: &str, attributes: &Attributes) -> bool {
    let Attributes { resource, subresource, .. } = attributes;
    if rule == "*" {
        return true;
    }
    match rule.split_once('/') {
        None => subresource.is_empty() && rule == resource,
        Some((of, sub)) => !subresource.is_empty() && sub == subresource && (of == "*" || of == resource),
    }
}

fn covers_resource(own: &[String], asked: &str) -> bool {
    let by_subresource = || asked.split_once('/').is_some_and(|(_, sub)| own.contains(&format!("*/{sub}")));
    own.iter().any(|own| own == "*" || own == asked) || by_subresource()
}

fn url_covers(own: &str, asked: &str) -> bool {
    own == asked || own.ends_with('*') && asked.starts_with(own.trim_end_matches('*'))
}

/// `["a" "b"]`.
pub fn quoted_list(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", quoted.join(" "))
}
