//! Logins for an image from the docker configurations in pull secrets. Pure.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Login {
    pub server: String,
    pub user: String,
    pub password: String,
    pub identity_token: String,
}

const HUB: &str = "index.docker.io";

/// Logins that fit the image, the most specific first.
pub fn for_image(image: &str, secrets: &[Arc<Secret>]) -> Vec<Login> {
    let target = target(image);
    let mut found: Vec<(usize, Login)> = Vec::new();
    for (server, entry) in secrets.iter().flat_map(|secret| entries(secret)) {
        let place = place(&server);
        if fits(&place, &target) {
            let login = login(server, &entry);
            if !found.iter().any(|(_, known)| *known == login) {
                found.push((place.len(), login));
            }
        }
    }
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, login)| login).collect()
}

fn entries(secret: &Secret) -> Vec<(String, Value)> {
    let data =
        |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).and_then(|bytes| serde_json::from_slice::<Value>(&bytes.0).ok());
    let auths = match (data(".dockerconfigjson"), data(".dockercfg")) {
        (Some(mut config), _) => config["auths"].take(),
        (None, Some(config)) => config,
        (None, None) => return Vec::new(),
    };
    match auths {
        Value::Object(map) => map.into_iter().collect(),
        _ => Vec::new(),
    }
}

fn login(server: String, entry: &Value) -> Login {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_string();
    let mut login = Login { server, user: text("username"), password: text("password"), identity_token: text("identitytoken") };
    let pair = STANDARD.decode(text("auth").trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')).filter(|_| login.user.is_empty()) {
        (login.user, login.password) = (user.into(), password.trim_end_matches('\0').into());
    }
    login
}

/// Registry and repository of an image.
fn target(image: &str) -> String {
    let name = image.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => name,
    };
    match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            let host = if host == "docker.io" { HUB } else { host };
            format!("{host}/{rest}")
        }
        Some(_) => format!("{HUB}/{name}"),
        None => format!("{HUB}/library/{name}"),
    }
}

/// A key of the configuration without scheme and version.
fn place(server: &str) -> String {
    let bare = server.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or(bare.strip_suffix("/v2")).unwrap_or(bare);
    match bare.split_once('/') {
        Some(("docker.io", rest)) => format!("{HUB}/{rest}"),
        None if bare == "docker.io" => HUB.into(),
        _ => bare.into(),
    }
}

fn fits(place: &str, target: &str) -> bool {
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let (target_host, target_path) = target.split_once('/').unwrap_or((target, ""));
    let (parts, target_parts): (Vec<&str>, Vec<&str>) = (host.split('.').collect(), target_host.split('.').collect());
    let same = parts.len() == target_parts.len() && parts.iter().zip(&target_parts).all(|(part, other)| glob(part, other));
    same && (path.is_empty() || target_path == path || target_path.starts_with(&format!("{path}/")))
}

/// One label with `*`.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_login_comes_first() {
        let config = r#"{"auths":{"https://reg.example.com":{"auth":"dTpw"},"reg.example.com/team":{"username":"t","password":"q"},"*.other.io":{"username":"x"}}}"#;
        let data = [(".dockerconfigjson".to_string(), k8s_openapi::ByteString(config.into()))];
        let secret = Arc::new(Secret { data: Some(data.into()), ..Secret::default() });
        let users = |image: &str| {
            for_image(image, std::slice::from_ref(&secret)).into_iter().map(|login| login.user + ":" + &login.password).collect::<Vec<_>>()
        };
        assert_eq!(users("reg.example.com/team/app:1"), ["t:q", "u:p"]);
        assert_eq!(users("reg.example.com/else@sha256:00"), ["u:p"]);
        assert_eq!(users("a.other.io/x"), ["x:"]);
        assert!(users("nginx").is_empty());
    }
}
