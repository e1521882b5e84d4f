//! Reading image references, as far as the default pull policy needs.

/// `Always` for the tag `latest`, also where it is only meant; `IfNotPresent` for all else.
pub fn pull_policy(image: &str) -> &'static str {
    if tag(image) == Some("latest") { "Always" } else { "IfNotPresent" }
}

/// The tag; `latest` if neither tag nor digest stands there; `None` for a digest alone or what is no reference.
fn tag(image: &str) -> Option<&str> {
    let (reference, digest) = match image.split_once('@') {
        Some((reference, digest)) => (reference, Some(digest)),
        None => (image, None),
    };
    let name_at = reference.rfind('/').map_or(0, |slash| slash + 1);
    let (path, tag) = match reference[name_at..].split_once(':') {
        Some((_, tag)) => (&reference[..reference.len() - tag.len() - 1], Some(tag)),
        None => (reference, None),
    };
    if !is_repository(path) || digest.is_some_and(|digest| !digest.contains(':')) {
        return None;
    }
    match (tag, digest) {
        (None, None) => Some("latest"),
        (tag, _) => tag,
    }
}

fn is_repository(path: &str) -> bool {
    let remote = match path.split_once('/') {
        Some((domain, rest)) if domain == "localhost" || domain.contains(['.', ':']) => rest,
        _ => path,
    };
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
    !remote.is_empty() && remote.bytes().all(allowed) && remote.split('/').all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_latest_is_always_pulled() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("host:5000/a/b", "Always"),
            ("host:5000/a/b:v1", "IfNotPresent"),
            ("nginx:1", "IfNotPresent"),
            ("nginx@sha256:abc", "IfNotPresent"),
            ("nginx:latest@sha256:abc", "Always"),
            ("Not/Valid", "IfNotPresent"),
            ("", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
