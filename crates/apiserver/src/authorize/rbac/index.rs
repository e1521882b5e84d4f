//! RBAC as a lookup: which roles each user and group has, cluster-wide and per namespace. Kept by the changes of the four kinds;
//! a question touches only the subject's own bindings.
use super::rule::Rule;
use crate::follow::View;
use client::Identity;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject};
use machinery::object::Stored;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;

/// A role: an empty namespace for cluster roles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleKey {
    pub namespace: String,
    pub name: String,
}

/// The bindings of one scope: subject to the roles it has there, with the binding's name.
#[derive(Default)]
struct Grants {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

#[derive(PartialEq, Eq)]
struct Grant {
    binding: String,
    role: RoleKey,
}

#[derive(Default)]
pub struct Index {
    roles: HashMap<RoleKey, Arc<[Rule]>>,
    cluster: Grants,
    namespaces: HashMap<String, Grants>,
}

impl Index {
    /// Calls `visit` with the rules of each role that applies, until it answers true. Roles that do not exist are told by `missing`.
    pub fn any(&self, user: &Identity, namespace: &str, missing: &mut Vec<String>, mut visit: impl FnMut(&[Rule]) -> bool) -> bool {
        let scopes = [Some(&self.cluster), self.namespaces.get(namespace).filter(|_| !namespace.is_empty())];
        for grants in scopes.into_iter().flatten() {
            let own = grants.users.get(&user.user).into_iter();
            let by_group = user.groups.iter().filter_map(|group| grants.groups.get(group));
            for grant in own.chain(by_group).flatten() {
                match self.roles.get(&grant.role) {
                    Some(rules) if visit(rules) => return true,
                    Some(_) => {}
                    None => missing.push(not_found(&grant.role)),
                }
            }
        }
        false
    }

    /// The binding that allows what `allows` asks for, in the original's words.
    pub fn allowed_by(&self, user: &Identity, namespace: &str, allows: impl Fn(&[Rule]) -> bool) -> Option<String> {
        let own_namespace = self.namespaces.get(namespace).filter(|_| !namespace.is_empty());
        let scopes = [(Some(&self.cluster), ""), (own_namespace, namespace)];
        let subjects = std::iter::once(("User", &user.user)).chain(user.groups.iter().map(|group| ("Group", group)));
        for (kind, name) in subjects {
            for (grants, namespace) in &scopes {
                let Some(grants) = grants else { continue };
                let list = if kind == "User" { grants.users.get(name) } else { grants.groups.get(name) };
                let allowing = |grant: &&Grant| self.roles.get(&grant.role).is_some_and(|rules| allows(rules));
                if let Some(grant) = list.into_iter().flatten().find(allowing) {
                    return Some(told(grant, namespace, kind, name));
                }
            }
        }
        None
    }

    pub fn rules_for(&self, user: &Identity, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let (mut rules, mut missing) = (Vec::new(), Vec::new());
        self.any(user, namespace, &mut missing, |found| {
            rules.extend(found.iter().cloned());
            false
        });
        (rules, missing)
    }

    pub fn role(&self, key: &RoleKey) -> Option<Arc<[Rule]>> {
        self.roles.get(key).cloned()
    }

    fn bind(&mut self, namespace: &str, name: &str, role: &RoleRef, subjects: &[Subject], add: bool) {
        let role = role_key(role, namespace);
        let grants = if namespace.is_empty() { &mut self.cluster } else { self.namespaces.entry(namespace.into()).or_default() };
        for subject in subjects {
            let Some((map, key)) = grants.place(subject, namespace) else { continue };
            let list = map.entry(key.clone()).or_default();
            list.retain(|grant| grant.binding != name);
            if add {
                list.push(Grant { binding: name.into(), role: role.clone() });
            } else if list.is_empty() {
                map.remove(&key);
            }
        }
        if !namespace.is_empty() && self.namespaces[namespace].users.is_empty() && self.namespaces[namespace].groups.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    fn take(&mut self, stored: &Stored, add: bool) {
        let mut parts = stored.key.trim_start_matches("/registry/").split('/');
        match parts.next().unwrap_or_default() {
            "clusterroles" => {
                let Some(role) = read::<ClusterRole>(stored) else { return };
                self.set_role("", role.metadata.name, role.rules.unwrap_or_default().iter().map(Rule::from).collect(), add);
            }
            "roles" => {
                let Some(role) = read::<Role>(stored) else { return };
                let namespace = role.metadata.namespace.unwrap_or_default();
                self.set_role(&namespace, role.metadata.name, role.rules.unwrap_or_default().iter().map(Rule::from).collect(), add);
            }
            "clusterrolebindings" => {
                let Some(binding) = read::<ClusterRoleBinding>(stored) else { return };
                let name = binding.metadata.name.unwrap_or_default();
                self.bind("", &name, &binding.role_ref, &binding.subjects.unwrap_or_default(), add);
            }
            "rolebindings" => {
                let Some(binding) = read::<RoleBinding>(stored) else { return };
                let (namespace, name) = (binding.metadata.namespace.unwrap_or_default(), binding.metadata.name.unwrap_or_default());
                self.bind(&namespace, &name, &binding.role_ref, &binding.subjects.unwrap_or_default(), add);
            }
            _ => {}
        }
    }

    fn set_role(&mut self, namespace: &str, name: Option<String>, rules: Vec<Rule>, add: bool) {
        let key = RoleKey { namespace: namespace.into(), name: name.unwrap_or_default() };
        match add {
            true => self.roles.insert(key, rules.into()),
            false => self.roles.remove(&key),
        };
    }
}

impl View for Index {
    fn change(&mut self, old: Option<&Arc<Stored>>, new: Option<&Arc<Stored>>) {
        if let Some(old) = old {
            self.take(old, false);
        }
        if let Some(new) = new {
            self.take(new, true);
        }
    }
}

impl Grants {
    /// Where the roles of a subject stand. A service account is its user.
    fn place(&mut self, subject: &Subject, namespace: &str) -> Option<(&mut HashMap<String, Vec<Grant>>, String)> {
        match subject.kind.as_str() {
            "User" => Some((&mut self.users, subject.name.clone())),
            "Group" => Some((&mut self.groups, subject.name.clone())),
            "ServiceAccount" => {
                let namespace = subject.namespace.as_deref().filter(|own| !own.is_empty()).unwrap_or(namespace);
                let user = format!("system:serviceaccount:{namespace}:{}", subject.name);
                (!namespace.is_empty()).then_some((&mut self.users, user))
            }
            _ => None,
        }
    }
}

fn told(grant: &Grant, namespace: &str, kind: &str, name: &str) -> String {
    let binding = match namespace {
        "" => format!("ClusterRoleBinding \"{}\"", grant.binding),
        namespace => format!("RoleBinding \"{}/{namespace}\"", grant.binding),
    };
    let role = if grant.role.namespace.is_empty() { "ClusterRole" } else { "Role" };
    let subject = match name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) if kind == "User" => format!("ServiceAccount \"{name}/{namespace}\""),
        _ => format!("{kind} \"{name}\""),
    };
    format!("RBAC: allowed by {binding} of {role} \"{}\" to {subject}", grant.role.name)
}

/// The role that a binding in `namespace` (empty: a cluster role binding) refers to.
pub fn role_key(role: &RoleRef, namespace: &str) -> RoleKey {
    let namespace = if role.kind == "Role" { namespace.into() } else { String::new() };
    RoleKey { namespace, name: role.name.clone() }
}

pub fn not_found(role: &RoleKey) -> String {
    let kind = if role.namespace.is_empty() { "clusterrole" } else { "role" };
    format!("{kind}.rbac.authorization.k8s.io \"{}\" not found", role.name)
}

/// Not `Stored::decoded`: what the index keeps is all that anybody needs.
fn read<T: DeserializeOwned>(stored: &Stored) -> Option<T> {
    let read = serde_json::from_slice(&stored.json);
    read.inspect_err(|error| tracing::error!(key = %stored.key, %error, "an object of RBAC cannot be read")).ok()
}
