//! Bootstrap tokens: `<id>.<secret>` of a secret in `kube-system`, for joining nodes.
use client::Identity;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use machinery::status::Status;
use store::Store;

const GROUP: &str = "system:bootstrappers";

/// The id of a text of the right form.
pub fn token_id(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let fits = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (fits(id, 6) && fits(secret, 16)).then_some((id, secret))
}

/// `None`: not a good token, whatever the reason.
pub async fn authenticate(store: &dyn Store, token: &str, now: Timestamp) -> Result<Option<Identity>, Status> {
    let Some((id, secret)) = token_id(token) else { return Ok(None) };
    let key = format!("/registry/secrets/kube-system/bootstrap-token-{id}");
    let Some(object) = crate::own_writes::find::<Secret>(store, &key).await? else { return Ok(None) };
    Ok(checked(&object, id, secret, now))
}

fn checked(object: &Secret, id: &str, secret: &str, now: Timestamp) -> Option<Identity> {
    let data = |key: &str| object.data.as_ref()?.get(key).and_then(|value| std::str::from_utf8(&value.0).ok());
    let own = data("token-secret")?;
    let same = super::same_secret(own.as_bytes(), secret.as_bytes());
    let usable = object.metadata.deletion_timestamp.is_none() && object.type_.as_deref() == Some("bootstrap.kubernetes.io/token");
    let usable = usable && data("token-id") == Some(id) && data("usage-bootstrap-authentication") == Some("true");
    let expired = match data("expiration") {
        None | Some("") => false,
        // A time that cannot be read is over.
        Some(text) => text.parse::<Timestamp>().map_or(true, |end| end <= now),
    };
    if !same || !usable || expired {
        return None;
    }
    let mut groups = vec![GROUP.to_string()];
    for group in data("auth-extra-groups").unwrap_or_default().split(',').filter(|group| !group.is_empty()) {
        let rest = group.strip_prefix("system:bootstrappers:")?;
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b':' || b == b'-';
        if rest.is_empty() || rest.len() > 256 || !rest.bytes().all(inner) || rest.ends_with([':', '-']) {
            return None;
        }
        if !groups.iter().any(|own| own == group) {
            groups.push(group.into());
        }
    }
    groups.sort();
    Some(Identity { user: format!("system:bootstrap:{id}"), groups, ..Identity::default() })
}
