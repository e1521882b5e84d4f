//! The roles and bindings that every cluster has, and their reconciliation at the start: missing ones are made, missing rules,
//! labels and subjects are added, nothing is taken away, and what an administrator marked with
//! `rbac.authorization.kubernetes.io/autoupdate: "false"` stays as it is.
use super::GROUP;
use super::rule::{Rule, uncovered};
use crate::own_writes::{find, put};
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use machinery::object::Resource;
use machinery::status::Status;
use std::collections::BTreeMap;
use stdx::random::Random;
use store::{Durability, Error, Expect, Op, Store};

const TABLE: &str = include_str!("defaults.txt");
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const LABEL_PREFIX: &str = "rbac.authorization.k8s.io/";
/// An object that keeps changing under our hands is left to the next start.
const MAX_ATTEMPTS: usize = 5;

/// All defaults, typed; aggregated roles already hold what the default roles give them.
#[derive(Default)]
pub struct Defaults {
    pub cluster_roles: Vec<ClusterRole>,
    pub cluster_role_bindings: Vec<ClusterRoleBinding>,
    pub roles: Vec<Role>,
    pub role_bindings: Vec<RoleBinding>,
}

pub fn defaults() -> Defaults {
    let mut all = Defaults::default();
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).peekable();
    while let Some(head) = lines.next() {
        let mut rules = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
            rules.push(rule(line));
        }
        all.add(head, rules);
    }
    all.aggregate();
    all
}

impl Defaults {
    fn add(&mut self, head: &str, rules: Vec<PolicyRule>) {
        let mut words = head.split(' ');
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest: Vec<&str> = words.collect();
        let metadata = meta(name, &rest);
        match kind {
            "clusterrole" => {
                let selectors: Vec<LabelSelector> = rest.iter().filter_map(|word| word.strip_prefix("aggregate:")).map(selector).collect();
                let rule = AggregationRule { cluster_role_selectors: Some(selectors.clone()) };
                let aggregation_rule = (!selectors.is_empty()).then_some(rule);
                self.cluster_roles.push(ClusterRole { metadata, rules: Some(rules), aggregation_rule });
            }
            "role" => self.roles.push(Role { metadata, rules: Some(rules) }),
            "clusterrolebinding" => {
                let (role_ref, subjects) = binding(&rest);
                self.cluster_role_bindings.push(ClusterRoleBinding { metadata, role_ref, subjects });
            }
            _ => {
                let (role_ref, subjects) = binding(&rest);
                self.role_bindings.push(RoleBinding { metadata, role_ref, subjects });
            }
        }
    }

    /// Fills the aggregated roles, in several rounds because `admin` takes in `edit`, which takes in `view`.
    fn aggregate(&mut self) {
        for _ in 0..3 {
            let all = self.cluster_roles.clone();
            for role in self.cluster_roles.iter_mut().filter(|role| role.aggregation_rule.is_some()) {
                let selectors = role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
                let mut rules: Vec<PolicyRule> = Vec::new();
                for selector in selectors {
                    let chosen =
                        all.iter().filter(|other| other.metadata.name != role.metadata.name && selected(selector, &other.metadata));
                    for rule in chosen.flat_map(|other| other.rules.iter().flatten()) {
                        if !rules.contains(rule) {
                            rules.push(rule.clone());
                        }
                    }
                }
                role.rules = Some(rules);
            }
        }
    }
}

fn selected(selector: &LabelSelector, meta: &ObjectMeta) -> bool {
    let labels = meta.labels.as_ref();
    selector.match_labels.iter().flatten().all(|(key, value)| labels.is_some_and(|labels| labels.get(key) == Some(value)))
}

fn selector(label: &str) -> LabelSelector {
    let labels = BTreeMap::from([(format!("{LABEL_PREFIX}{label}"), "true".to_string())]);
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

fn meta(name: &str, rest: &[&str]) -> ObjectMeta {
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_string()), name),
        None => (None, name),
    };
    let mut labels = BTreeMap::from([("kubernetes.io/bootstrapping".to_string(), "rbac-defaults".to_string())]);
    labels
        .extend(rest.iter().filter_map(|word| word.strip_prefix("label:")).map(|label| (format!("{LABEL_PREFIX}{label}"), "true".into())));
    let annotations = BTreeMap::from([(AUTOUPDATE.to_string(), "true".to_string())]);
    ObjectMeta { name: Some(name.into()), namespace, labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }
}

fn rule(line: &str) -> PolicyRule {
    let words: Vec<&str> = line.split_whitespace().collect();
    let list = |word: &str| word.split(',').map(|item| if item == "core" { String::new() } else { item.into() }).collect::<Vec<String>>();
    let verbs = list(words[0]);
    if words[1] == "url" {
        return PolicyRule { verbs, non_resource_urls: Some(list(words[2])), ..PolicyRule::default() };
    }
    let resource_names = words.get(4).map(|names| list(names));
    PolicyRule { verbs, api_groups: Some(list(words[1])), resources: Some(list(words[2])), resource_names, non_resource_urls: None }
}

fn binding(rest: &[&str]) -> (RoleRef, Option<Vec<Subject>>) {
    let (kind, name) = rest[0].split_once(':').unwrap_or_default();
    let role = RoleRef { api_group: Some(GROUP.into()), kind: kind.into(), name: name.into() };
    let subjects: Vec<Subject> = rest[1..].iter().map(|word| subject(word)).collect();
    (role, (!subjects.is_empty()).then_some(subjects))
}

fn subject(word: &str) -> Subject {
    let (kind, name) = word.split_once(':').unwrap_or_default();
    match (kind, name.split_once('/')) {
        ("ServiceAccount", Some((namespace, name))) => {
            Subject { api_group: None, kind: kind.into(), name: name.into(), namespace: Some(namespace.into()) }
        }
        _ => Subject { api_group: Some(GROUP.into()), kind: kind.into(), name: name.into(), namespace: None },
    }
}

/// One of the four kinds, as far as reconciliation needs it.
trait Bootstrap: Resource {
    const PREFIX: &'static str;
    /// Adds what is missing in `self`; tells whether anything was.
    fn add_missing(&mut self, wanted: &Self) -> bool;
    /// It cannot be brought in line by adding: it is made anew.
    fn must_be_replaced(&self, _: &Self) -> bool {
        false
    }
}

fn add_rules(own: &mut Option<Vec<PolicyRule>>, wanted: &Option<Vec<PolicyRule>>) -> bool {
    let rules = |rules: &Option<Vec<PolicyRule>>| rules.iter().flatten().map(Rule::from).collect::<Vec<Rule>>();
    let missing = uncovered(&rules(own), &rules(wanted));
    own.get_or_insert_default().extend(missing.iter().map(PolicyRule::from));
    !missing.is_empty()
}

fn add_subjects(own: &mut Option<Vec<Subject>>, wanted: &Option<Vec<Subject>>) -> bool {
    let missing: Vec<Subject> =
        wanted.iter().flatten().filter(|subject| !own.iter().flatten().any(|own| own == *subject)).cloned().collect();
    let any = !missing.is_empty();
    if any {
        own.get_or_insert_default().extend(missing);
    }
    any
}

impl Bootstrap for ClusterRole {
    const PREFIX: &'static str = "/registry/clusterroles/";
    fn add_missing(&mut self, wanted: &ClusterRole) -> bool {
        // What an aggregated role holds is its controller's matter.
        let aggregated = wanted.aggregation_rule.is_some() && self.aggregation_rule.is_some();
        let rules = !aggregated && add_rules(&mut self.rules, &wanted.rules);
        let selectors = aggregation(self, wanted);
        rules || selectors
    }
}

/// Adds missing selectors, and takes away an aggregation that was not meant.
fn aggregation(own: &mut ClusterRole, wanted: &ClusterRole) -> bool {
    let Some(wanted) = &wanted.aggregation_rule else { return own.aggregation_rule.take().is_some() };
    let selectors = own.aggregation_rule.get_or_insert_default().cluster_role_selectors.get_or_insert_default();
    let before = selectors.len();
    for selector in wanted.cluster_role_selectors.iter().flatten() {
        if !selectors.contains(selector) {
            selectors.push(selector.clone());
        }
    }
    selectors.len() > before
}

impl Bootstrap for Role {
    const PREFIX: &'static str = "/registry/roles/";
    fn add_missing(&mut self, wanted: &Role) -> bool {
        add_rules(&mut self.rules, &wanted.rules)
    }
}

impl Bootstrap for ClusterRoleBinding {
    const PREFIX: &'static str = "/registry/clusterrolebindings/";
    fn add_missing(&mut self, wanted: &ClusterRoleBinding) -> bool {
        add_subjects(&mut self.subjects, &wanted.subjects)
    }
    fn must_be_replaced(&self, wanted: &ClusterRoleBinding) -> bool {
        self.role_ref != wanted.role_ref
    }
}

impl Bootstrap for RoleBinding {
    const PREFIX: &'static str = "/registry/rolebindings/";
    fn add_missing(&mut self, wanted: &RoleBinding) -> bool {
        add_subjects(&mut self.subjects, &wanted.subjects)
    }
    fn must_be_replaced(&self, wanted: &RoleBinding) -> bool {
        self.role_ref != wanted.role_ref
    }
}

/// Brings the store in line; tells how many objects were written. Everything that is missing is made in one transaction.
pub async fn reconcile(store: &dyn Store, now: Timestamp, random: &Random) -> Result<usize, Status> {
    for _ in 0..MAX_ATTEMPTS {
        let mut ops = Vec::new();
        let all = defaults();
        plan(store, all.cluster_roles, now, random, &mut ops).await?;
        plan(store, all.cluster_role_bindings, now, random, &mut ops).await?;
        plan(store, all.roles, now, random, &mut ops).await?;
        plan(store, all.role_bindings, now, random, &mut ops).await?;
        let count = ops.len();
        if count == 0 {
            return Ok(0);
        }
        match store.txn(ops, Durability::Synced).await {
            Ok(_) => return Ok(count),
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(Status::internal(error)),
        }
    }
    Err(Status::internal("the default roles keep changing"))
}

async fn plan<T: Bootstrap>(store: &dyn Store, wanted: Vec<T>, now: Timestamp, random: &Random, ops: &mut Vec<Op>) -> Result<(), Status> {
    for mut wanted in wanted {
        let meta = wanted.metadata();
        let name = meta.name.as_deref().unwrap_or_default();
        let key = match &meta.namespace {
            Some(namespace) => format!("{}{namespace}/{name}", T::PREFIX),
            None => format!("{}{name}", T::PREFIX),
        };
        let (mut object, expect): (Option<T>, Expect) = match find::<T>(store, &key).await? {
            Some(existing) => {
                let revision = existing.metadata().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0);
                let Some(object) = adjusted(&*existing, &wanted) else { continue };
                (object, Expect::Revision(revision))
            }
            None => (None, Expect::Absent),
        };
        let object = object.get_or_insert_with(|| {
            let meta = wanted.metadata_mut();
            meta.uid = Some(random.uuid());
            meta.creation_timestamp = Some(Time(Timestamp::from_second(now.as_second()).unwrap_or(now)));
            wanted.clone()
        });
        ops.push(put(&key, object, expect));
    }
    Ok(())
}

/// `None`: nothing to do. `Some(None)`: to be made anew.
fn adjusted<T: Bootstrap>(existing: &T, wanted: &T) -> Option<Option<T>> {
    let protected = existing.metadata().annotations.as_ref().and_then(|all| all.get(AUTOUPDATE)).is_some_and(|value| value == "false");
    if protected {
        return None;
    }
    if existing.must_be_replaced(wanted) {
        return Some(None);
    }
    let mut object = existing.clone();
    let mut changed = object.add_missing(wanted);
    let meta = object.metadata_mut();
    changed |= add_entries(&mut meta.labels, &wanted.metadata().labels);
    changed |= add_entries(&mut meta.annotations, &wanted.metadata().annotations);
    changed.then_some(Some(object))
}

fn add_entries(own: &mut Option<BTreeMap<String, String>>, wanted: &Option<BTreeMap<String, String>>) -> bool {
    let mut changed = false;
    for (key, value) in wanted.iter().flatten() {
        let own = own.get_or_insert_default();
        // What an administrator set to another value stays.
        if !own.contains_key(key) {
            own.insert(key.clone(), value.clone());
            changed = true;
        }
    }
    changed
}
