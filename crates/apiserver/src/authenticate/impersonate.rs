//! `Impersonate-*` headers: whoever may `impersonate` the user, each group, the uid and each extra is taken for him.
use super::front_proxy::extra_key;
use super::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::authorize::forbidden;
use crate::request::{Attributes, Authorizer, Decision};
use client::Identity;
use http::HeaderMap;
use machinery::status::Status;

const EXTRA: &str = "impersonate-extra-";
/// More headers than this are nobody's honest wish.
const MAX_HEADERS: usize = 1000;

/// Who the request is from in the end.
pub async fn impersonate(user: Identity, headers: &HeaderMap, authorizer: &dyn Authorizer) -> Result<Identity, Status> {
    let Some((wanted, questions)) = wanted(headers)? else { return Ok(user) };
    for question in questions {
        let question = Attributes { user: user.clone(), verb: "impersonate".into(), is_resource: true, ..question };
        if let Decision::Deny(reason) = authorizer.authorize(&question).await {
            return Err(forbidden(&question, &reason));
        }
    }
    Ok(wanted)
}

/// The wanted identity and what its parts are called in the API.
fn wanted(headers: &HeaderMap) -> Result<Option<(Identity, Vec<Attributes>)>, Status> {
    let all = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(String::from).collect::<Vec<_>>();
    let one = |name: &str| all(name).into_iter().next().unwrap_or_default();
    let (name, groups, uid) = (one("impersonate-user"), all("impersonate-group"), one("impersonate-uid"));
    let extras: Vec<(String, String)> = headers
        .iter()
        .filter_map(|(name, value)| Some((extra_key(name.as_str().strip_prefix(EXTRA)?), value.to_str().ok()?.to_string())))
        .collect();
    if name.is_empty() {
        return match groups.is_empty() && uid.is_empty() && extras.is_empty() {
            true => Ok(None),
            false => Err(Status::bad_request(format!("requested {} without impersonating a user", described(&groups, &extras, &uid)))),
        };
    }
    if groups.len() + extras.len() > MAX_HEADERS {
        return Err(Status::bad_request(format!("at most {MAX_HEADERS} groups and extras can be impersonated")));
    }
    let question = |group: &str, resource: &str, name: &str| Attributes {
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        name: name.into(),
        ..Attributes::default()
    };
    let mut questions = Vec::new();
    let mut wanted = Identity { user: name.clone(), uid: uid.clone(), groups: groups.clone(), ..Identity::default() };
    match service_account(&name) {
        Some((namespace, account)) => {
            questions.push(Attributes { namespace: namespace.into(), ..question("", "serviceaccounts", account) });
            if groups.is_empty() {
                wanted.groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
            }
        }
        None => questions.push(question("", "users", &name)),
    }
    questions.extend(groups.iter().map(|group| question("", "groups", group)));
    for (key, value) in extras {
        questions.push(Attributes { subresource: key.clone(), ..question("authentication.k8s.io", "userextras", &value) });
        wanted.extra.entry(key).or_default().push(value);
    }
    if !uid.is_empty() {
        questions.push(question("authentication.k8s.io", "uids", &uid));
    }
    add_special_group(&mut wanted);
    Ok(Some((wanted, questions)))
}

fn add_special_group(user: &mut Identity) {
    let has = |group: &str| user.in_group(group);
    if user.user != ANONYMOUS && !has(AUTHENTICATED) && !has(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.into());
    } else if user.user == ANONYMOUS && !has(UNAUTHENTICATED) {
        user.groups.push(UNAUTHENTICATED.into());
    }
}

/// Namespace and name of `system:serviceaccount:<namespace>:<name>`.
pub fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

fn described(groups: &[String], extras: &[(String, String)], uid: &str) -> String {
    let reference = |kind: &str, name: &str, version: &str, field: &str| format!("{{{kind}  {name}  {version}  {field}}}");
    let groups = groups.iter().map(|group| reference("Group", group, "", ""));
    let extras = extras.iter().map(|(key, value)| reference("UserExtra", value, "authentication.k8s.io/v1", key));
    let uid = (!uid.is_empty()).then(|| reference("UID", uid, "authentication.k8s.io/v1", ""));
    format!("[{}]", groups.chain(extras).chain(uid).collect::<Vec<_>>().join(" "))
}
