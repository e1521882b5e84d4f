//! Image names: `[registry/]repository[:tag][@digest]`, made whole as everyone does: no registry means docker.io, no folder there
//! means `library`, no tag means `latest`.
use super::digest;
use crate::problem::{Outcome, Problem};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

const NAME_LIMIT: usize = 255;

impl Reference {
    pub fn parse(text: &str) -> Outcome<Reference> {
        let bad = |why: &str| Problem::invalid(format_args!("invalid reference format: {text:?}: {why}"));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                digest::hex(digest)?;
                (rest, Some(digest.to_owned()))
            }
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first.to_owned(), rest.to_owned()),
            Some(_) => ("docker.io".to_owned(), name.to_owned()),
            None => ("docker.io".to_owned(), format!("library/{name}")),
        };
        let registry = if registry == "index.docker.io" { "docker.io".into() } else { registry };
        if name.is_empty() || name.len() > NAME_LIMIT {
            return Err(bad("the name is empty or too long"));
        }
        let part_fits = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
        };
        if !repository.split('/').all(part_fits) {
            return Err(bad("repository name must be lowercase letters, digits and separators"));
        }
        if !registry.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c)) {
            return Err(bad("bad registry"));
        }
        let tag_fits = |tag: &String| (1..=128).contains(&tag.len()) && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !tag.iter().all(tag_fits) {
            return Err(bad("bad tag"));
        }
        let tag = if tag.is_none() && digest.is_none() { Some("latest".into()) } else { tag };
        Ok(Reference { registry, repository, tag, digest })
    }

    /// `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What to ask a registry for.
    pub fn wanted(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// `registry/repository@digest`.
    pub fn with_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name())
    }

    /// The name under which the image is kept: by tag where there is one.
    pub fn tagged(&self) -> Option<String> {
        self.tag.as_ref().map(|tag| format!("{}:{tag}", self.name()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name())?;
        self.tag.iter().try_for_each(|tag| write!(formatter, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(formatter, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn names_are_made_whole() {
        let cases = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("coxswain/hello", "docker.io/coxswain/hello:latest"),
            ("localhost/x:1", "localhost/x:1"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ];
        for (text, whole) in cases {
            assert_eq!(Reference::parse(text).unwrap().to_string(), whole);
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for text in ["", "UPPER", "a/../b", "x:", "x:a b", "x@sha256:12", "a//b", &"x".repeat(300)] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
