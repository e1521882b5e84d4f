//! Pulling from registries (the OCI distribution protocol): mirrors first, basic and token authentication, digests checked while the
//! bytes come in.
use super::config::{Descriptor, Index, Manifest, architecture, media};
use super::digest;
use super::http::{self, Ask};
use super::reference::Reference;
use super::store::{DOCUMENT_LIMIT_BYTES, Image, Store};
use crate::problem::{Doing, Outcome, Problem};
use ::http::{Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cri::v1::AuthConfig;
use futures::{StreamExt, TryStreamExt};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// How many layers of an image come at once.
const PARALLEL_LAYERS: usize = 3;
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Where images come from.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Registries {
    /// For a registry's name, the addresses to ask first: `registry.k8s.io: [http://127.0.0.1:5055]`.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries (host or host:port) that are asked over plain HTTP. Loopback addresses always are.
    pub plain_http: Vec<String>,
}

impl Registries {
    /// The addresses to ask for images of `registry`, and whether each is a mirror.
    fn endpoints(&self, registry: &str) -> Vec<(String, bool)> {
        let mirrors = self.mirrors.get(registry).into_iter().flatten().map(|one| (one.trim_end_matches('/').to_owned(), true));
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        let loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
        let scheme = if loopback || self.plain_http.iter().any(|one| one == registry) { "http" } else { "https" };
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        mirrors.chain([(format!("{scheme}://{host}"), false)]).collect()
    }
}

/// Pulls an image into the store.
pub async fn pull(store: &Arc<Store>, registries: &Registries, reference: &Reference, auth: Option<&AuthConfig>) -> Outcome<Image> {
    let _busy = store.busy()?;
    let mut failures = Vec::new();
    for (base, is_mirror) in registries.endpoints(&reference.registry) {
        let session = Session {
            mirror_of: is_mirror.then(|| reference.registry.clone()),
            repository: reference.repository.clone(),
            auth: auth.cloned(),
            bearer: Mutex::default(),
            base,
        };
        match session.pull(store, reference).await {
            Ok(image) => return Ok(image),
            Err(problem) => failures.push((session.base, problem)),
        }
    }
    Err(sum_up(failures))
}

/// One problem out of those of every address. What a mirror does not have while the registry cannot be reached is not found.
fn sum_up(mut failures: Vec<(String, Problem)>) -> Problem {
    if let [_] = failures.as_slice() {
        return failures.remove(0).1;
    }
    let missing = failures.iter().any(|(_, problem)| matches!(problem, Problem::NotFound(_)));
    let text = failures.iter().map(|(base, problem)| format!("{base}: {problem}")).collect::<Vec<_>>().join("; ");
    if missing { Problem::NotFound(text) } else { Problem::Failed(text) }
}

/// The status of a failed pull, in words that name the image.
pub fn status(name: &str, problem: Problem) -> cri::Status {
    let whole = Reference::parse(name).map_or_else(|_| name.to_owned(), |reference| reference.to_string());
    match problem {
        Problem::NotFound(why) => {
            tracing::debug!(image = whole, why, "image not found");
            cri::Status::not_found(format!("failed to pull and unpack image {whole:?}: failed to resolve image: {whole}: not found"))
        }
        other => cri::Status::unknown(format!("failed to pull and unpack image {whole:?}: {other}")),
    }
}

/// One repository at one address.
struct Session {
    base: String,
    mirror_of: Option<String>,
    repository: String,
    auth: Option<AuthConfig>,
    /// The authorization that the registry has asked for and got.
    bearer: Mutex<Option<String>>,
}

impl Session {
    async fn pull(&self, store: &Arc<Store>, reference: &Reference) -> Outcome<Image> {
        let (manifest_digest, manifest) = self.manifest(store, reference.wanted()).await?;
        let documents = std::iter::once(&manifest.config).chain(&manifest.layers);
        let missing: Vec<Descriptor> = documents.filter(|blob| !store.has_blob(&blob.digest)).cloned().collect();
        futures::stream::iter(missing.into_iter().map(|blob| async move { self.blob(store, &blob).await }))
            .buffer_unordered(PARALLEL_LAYERS)
            .try_collect::<()>()
            .await?;
        let (store, names) = (store.clone(), vec![reference.clone()]);
        tokio::task::spawn_blocking(move || store.add(&manifest_digest, &names, false)).await.map_err(Problem::failed)?
    }

    /// The manifest for this machine; through an index where the name stands for several.
    async fn manifest(&self, store: &Store, wanted: &str) -> Outcome<(String, Manifest)> {
        let (digest, text) = self.document(wanted).await?;
        let index: Index = serde_json::from_slice(&text).map_err(|error| Problem::failed(format_args!("manifest: {error}")))?;
        if index.manifests.is_empty() {
            return keep_manifest(store, digest, &text);
        }
        let chosen = choose(&index).ok_or_else(|| Problem::not_found(format_args!("no match for platform linux/{}", architecture())))?;
        let (digest, text) = self.document(&chosen.digest).await?;
        keep_manifest(store, digest, &text)
    }

    async fn document(&self, wanted: &str) -> Outcome<(String, Vec<u8>)> {
        let response = self.get(&format!("manifests/{wanted}"), ACCEPT).await?;
        let text = http::read(response, DOCUMENT_LIMIT_BYTES).await?;
        let found = digest::of(&text);
        if wanted.starts_with("sha256:") && found != wanted {
            return Err(Problem::failed(format_args!("manifest has digest {found}, expected {wanted}")));
        }
        Ok((found, text))
    }

    async fn blob(&self, store: &Store, blob: &Descriptor) -> Outcome<()> {
        digest::hex(&blob.digest)?;
        let response = self.get(&format!("blobs/{}", blob.digest), "").await?;
        let mut incoming = store.incoming()?;
        let mut body = response.into_body();
        while let Some(part) = http::next(&mut body).await? {
            incoming.writer.write_all(&part).doing("write a blob")?;
            if blob.size > 0 && incoming.writer.bytes > blob.size {
                return Err(Problem::failed(format_args!("blob {} is longer than {} bytes", blob.digest, blob.size)));
            }
        }
        store.keep_blob(incoming, Some(&blob.digest)).map(drop)
    }

    async fn get(&self, path: &str, accept: &'static str) -> Outcome<Response<Incoming>> {
        let namespace = self.mirror_of.as_ref().map(|registry| format!("?ns={registry}")).unwrap_or_default();
        let text = format!("{}/v2/{}/{path}{namespace}", self.base, self.repository);
        let uri = text.parse().map_err(|error| Problem::invalid(format_args!("{text:?}: {error}")))?;
        let authorization = self.bearer.lock().clone();
        let mut ask = Ask { uri, accept, authorization, form: None };
        let mut response = http::send(&ask).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            ask.authorization = Some(self.authorize(&response).await?);
            self.bearer.lock().clone_from(&ask.authorization);
            response = http::send(&ask).await?;
        }
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::NOT_FOUND => Err(Problem::not_found(format_args!("{text}: not found"))),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Problem::failed("pull access denied, repository does not exist or may require authorization: authorization failed"))
            }
            status => Err(Problem::failed(format_args!("{text}: unexpected status from GET request: {status}"))),
        }
    }

    /// What to send as `Authorization`, as the registry's challenge asks.
    async fn authorize(&self, response: &Response<Incoming>) -> Outcome<String> {
        let challenge = response.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (kind, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if let Some(token) = self.auth.as_ref().map(|auth| auth.registry_token.clone()).filter(|token| !token.is_empty()) {
            return Ok(format!("Bearer {token}"));
        }
        let basic = self.auth.as_ref().and_then(basic);
        if kind.eq_ignore_ascii_case("basic") {
            return basic.ok_or_else(|| {
                Problem::failed("pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials")
            });
        }
        if !kind.eq_ignore_ascii_case("bearer") {
            return Err(Problem::failed(format_args!("the registry asks for authentication of an unknown kind {kind:?}")));
        }
        self.fetch_token(&parameters(rest), basic).await
    }

    async fn fetch_token(&self, parameters: &BTreeMap<String, String>, basic: Option<String>) -> Outcome<String> {
        let of = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        let own_scope = format!("repository:{}:pull", self.repository);
        let scope = if of("scope").is_empty() { &own_scope } else { of("scope") };
        let refresh = self.auth.as_ref().map(|auth| auth.identity_token.as_str()).filter(|token| !token.is_empty());
        let query = format!("service={}&scope={}", encode(of("service")), encode(scope));
        let separator = if of("realm").contains('?') { '&' } else { '?' };
        let text = if refresh.is_some() { of("realm").to_owned() } else { format!("{}{separator}{query}", of("realm")) };
        let uri: ::http::Uri = text.parse().map_err(|error| Problem::failed(format_args!("token server {text:?}: {error}")))?;
        if self.base.starts_with("https://") && uri.scheme_str() != Some("https") {
            return Err(Problem::failed("the registry asks to send credentials without TLS"));
        }
        let form = refresh.map(|token| format!("grant_type=refresh_token&client_id=coxswain&refresh_token={}&{query}", encode(token)));
        let response = http::send(&Ask { uri, accept: "application/json", authorization: basic, form }).await?;
        if !response.status().is_success() {
            return Err(Problem::failed(format_args!("failed to fetch the token: unexpected status {}", response.status())));
        }
        let text = http::read(response, DOCUMENT_LIMIT_BYTES).await?;
        let answer: Token = serde_json::from_slice(&text).map_err(|error| Problem::failed(format_args!("token: {error}")))?;
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        Ok(format!("Bearer {token}"))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Token {
    token: String,
    access_token: String,
}

fn keep_manifest(store: &Store, digest: String, text: &[u8]) -> Outcome<(String, Manifest)> {
    let manifest: Manifest = serde_json::from_slice(text).map_err(|error| Problem::failed(format_args!("manifest: {error}")))?;
    if manifest.config.digest.is_empty() {
        return Err(Problem::failed(format_args!("manifest of type {:?} is not supported", manifest.media_type)));
    }
    store.put_blob(text)?;
    Ok((digest, manifest))
}

/// The entry of an index that fits this machine.
pub fn choose(index: &Index) -> Option<&Descriptor> {
    let fits =
        |one: &&Descriptor| one.platform.as_ref().is_none_or(|platform| platform.os == "linux" && platform.architecture == architecture());
    let is_image = |one: &&Descriptor| {
        [media::OCI_MANIFEST, media::DOCKER_MANIFEST, media::OCI_INDEX, media::DOCKER_INDEX, ""].contains(&one.media_type.as_str())
    };
    index.manifests.iter().filter(is_image).find(fits)
}

fn basic(auth: &AuthConfig) -> Option<String> {
    if !auth.username.is_empty() {
        return Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", auth.username, auth.password))));
    }
    (!auth.auth.is_empty()).then(|| format!("Basic {}", auth.auth))
}

/// `realm="…",service="…"`.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name.trim().trim_start_matches(',').trim().to_ascii_lowercase(), value.to_owned());
        rest = after.trim_start_matches(',');
    }
    found
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read() {
        let found = parameters(r#"realm="https://auth/token",service="reg, one",scope=repository:a:pull"#);
        assert_eq!([&found["realm"], &found["service"], &found["scope"]], ["https://auth/token", "reg, one", "repository:a:pull"]);
    }

    #[test]
    fn mirrors_come_first_and_loopback_is_plain() {
        let registries =
            Registries { mirrors: [("r.io".to_string(), vec!["http://m/".to_string()])].into(), plain_http: vec!["p:1".into()] };
        let ends = |name: &str| registries.endpoints(name).into_iter().map(|(base, _)| base).collect::<Vec<_>>().join(" ");
        assert_eq!(
            ["r.io", "p:1", "127.0.0.1:5", "docker.io"].map(ends),
            ["http://m https://r.io", "http://p:1", "http://127.0.0.1:5", "https://registry-1.docker.io"]
        );
    }
}
