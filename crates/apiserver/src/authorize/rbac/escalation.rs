//! Nobody hands out more than he has: roles may only be written, and bound, by those who hold all that is in them, or who may
//! `escalate` roles or `bind` the role.
use super::Rbac;
use super::index::{not_found, role_key};
use super::rule::{Rule, describe, quoted_list, uncovered};
use crate::admission::object::view;
use crate::authorize::MASTERS;
use crate::request::{AdmissionRequest, Attributes, Authorizer, Decision, Operation};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef};
use machinery::object::AnyObject;
use machinery::status::Status;

/// Checks a role or binding that is about to be written; other objects pass.
pub async fn check(request: &AdmissionRequest<'_>, object: &dyn AnyObject, rbac: &Rbac, authorizer: &dyn Authorizer) -> Result<(), Status> {
    let attributes = request.attributes;
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    if !writes || attributes.group != super::GROUP || !attributes.subresource.is_empty() || attributes.user.in_group(MASTERS) {
        return Ok(());
    }
    if request.old.is_some_and(|old| only_collects_garbage(object, old)) {
        return Ok(());
    }
    let name = object.meta().name.clone().unwrap_or_default();
    let refused = |why: String| request.forbidden(&name, &why);
    if let Some(role) = view::<ClusterRole>(object) {
        if may_escalate(attributes, authorizer).await {
            return Ok(());
        }
        confirm(attributes, rbac, &rules(&role.rules)).await?.map_err(refused)?;
        let old = request.old.and_then(view::<ClusterRole>);
        if aggregates(&role) || old.is_some_and(|old| aggregates(&old)) {
            let all = confirm(attributes, rbac, &everything()).await?;
            all.map_err(|_| refused("must have cluster-admin privileges to use the aggregationRule".into()))?;
        }
    } else if let Some(role) = view::<Role>(object) {
        if !may_escalate(attributes, authorizer).await {
            confirm(attributes, rbac, &rules(&role.rules)).await?.map_err(refused)?;
        }
    } else if let Some(binding) = view::<ClusterRoleBinding>(object) {
        check_binding(attributes, &binding.role_ref, "", rbac, authorizer).await?.map_err(refused)?;
    } else if let Some(binding) = view::<RoleBinding>(object) {
        check_binding(attributes, &binding.role_ref, &attributes.namespace, rbac, authorizer).await?.map_err(refused)?;
    }
    Ok(())
}

/// The inner result says why it is refused; the outer is a failure on the way.
async fn check_binding(
    attributes: &Attributes,
    role: &RoleRef,
    namespace: &str,
    rbac: &Rbac,
    authorizer: &dyn Authorizer,
) -> Result<Result<(), String>, Status> {
    let resource = match role.kind.as_str() {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        // Validation refuses it with the field's name.
        _ => return Ok(Ok(())),
    };
    let ask =
        Attributes { group: role.api_group.clone().unwrap_or_default(), ..question(attributes, "bind", resource, namespace, &role.name) };
    if authorizer.authorize(&ask).await == Decision::Allow {
        return Ok(Ok(()));
    }
    let key = role_key(role, namespace);
    let Some(rules) = rbac.role(&key).await? else {
        return Err(Status { message: not_found(&key), ..Status::not_found(super::GROUP, resource, &key.name) });
    };
    confirm(attributes, rbac, &rules).await
}

async fn confirm(attributes: &Attributes, rbac: &Rbac, asked: &[Rule]) -> Result<Result<(), String>, Status> {
    let user = &attributes.user;
    let (held, missing_roles) = rbac.rules_for(user, &attributes.namespace).await?;
    let missing = uncovered(&held, asked);
    if missing.is_empty() {
        return Ok(Ok(()));
    }
    let mut why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.user,
        quoted_list(&user.groups),
        describe(&missing).join("\n")
    );
    if !missing_roles.is_empty() {
        let shown = if missing_roles.len() == 1 { missing_roles[0].clone() } else { format!("[{}]", missing_roles.join(", ")) };
        why += &format!("; resolution errors: [{shown}]");
    }
    Ok(Err(why))
}

async fn may_escalate(attributes: &Attributes, authorizer: &dyn Authorizer) -> bool {
    let ask = question(attributes, "escalate", &attributes.resource, &attributes.namespace, &attributes.name);
    authorizer.authorize(&ask).await == Decision::Allow
}

fn question(attributes: &Attributes, verb: &str, resource: &str, namespace: &str, name: &str) -> Attributes {
    Attributes {
        user: attributes.user.clone(),
        verb: verb.into(),
        group: attributes.group.clone(),
        version: "*".into(),
        resource: resource.into(),
        namespace: namespace.into(),
        name: name.into(),
        is_resource: true,
        ..Attributes::default()
    }
}

fn rules(rules: &Option<Vec<PolicyRule>>) -> Vec<Rule> {
    rules.iter().flatten().map(Rule::from).collect()
}

fn everything() -> Vec<Rule> {
    let star = || vec!["*".to_string()];
    vec![
        Rule { verbs: star(), groups: star(), resources: star(), ..Rule::default() },
        Rule { verbs: star(), urls: star(), ..Rule::default() },
    ]
}

fn aggregates(role: &ClusterRole) -> bool {
    let selectors = role.aggregation_rule.as_ref().and_then(|rule| rule.cluster_role_selectors.as_ref());
    selectors.is_some_and(|selectors| !selectors.is_empty())
}

/// The garbage collector changes owners and finalizers of things that it could not create.
fn only_collects_garbage(new: &dyn AnyObject, old: &dyn AnyObject) -> bool {
    let mut copy = new.boxed_clone();
    let meta = copy.meta_mut();
    meta.owner_references = old.meta().owner_references.clone();
    meta.finalizers = old.meta().finalizers.clone();
    meta.managed_fields = old.meta().managed_fields.clone();
    copy.to_value() == old.to_value()
}
