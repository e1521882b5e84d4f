//! Projected volumes: several sources in one folder, each path once.
use super::remote::file_mode;
use super::volumes::{downward_file, key_to_path};
use crate::access::{List, Text};
use crate::forms::{id, local_path};
use crate::meta::label_selector;
use k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, KeyToPath, PodCertificateProjection, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};
use machinery::errors::Errors;

const TOKEN_MIN_SECONDS: i64 = 600;
const TOKEN_MAX_SECONDS: i64 = 1 << 32;
const KEY_TYPES: &[&str] = &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
const CERTIFICATE_MIN_SECONDS: i32 = 3600;
const CERTIFICATE_MAX_SECONDS: i32 = 91 * 24 * 3600;
const KUBERNETES_CERTIFICATE_MAX_SECONDS: i32 = 24 * 3600;

pub fn check(volume: &ProjectedVolumeSource, errors: &mut Errors) {
    file_mode(errors, "defaultMode", volume.default_mode);
    id(errors, "defaultUser", volume.default_user);
    let mut paths: Vec<String> = Vec::new();
    for (index, source) in volume.sources.list().iter().enumerate() {
        let at = format!("sources[{index}]");
        errors.at(&at, |errors| one_source(source, errors));
        if let Some(token) = &source.service_account_token {
            token_path(token, errors);
        }
        for (path, owner) in paths_of(source) {
            if paths.contains(&path) {
                errors.invalid("", owner, "conflicting duplicate paths");
            } else {
                paths.push(path);
            }
        }
    }
}

/// The paths that a source fills, each with what the original shows when it is taken.
fn paths_of(source: &VolumeProjection) -> Vec<(String, String)> {
    let named = |items: &[KeyToPath], name: &str| {
        items.iter().filter(|item| !item.path.is_empty()).map(|item| (item.path.clone(), name.to_string())).collect::<Vec<_>>()
    };
    let same = |path: &str| (path.to_string(), path.to_string());
    let mut all = Vec::new();
    if let Some(secret) = &source.secret {
        all.extend(named(secret.items.list(), &secret.name));
    }
    if let Some(map) = &source.config_map {
        all.extend(named(map.items.list(), &map.name));
    }
    if let Some(downward) = &source.downward_api {
        all.extend(downward.items.list().iter().filter(|file| !file.path.is_empty()).map(|file| same(&file.path)));
    }
    if let Some(bundle) = &source.cluster_trust_bundle {
        all.push(same(&bundle.path));
    }
    if let Some(certificate) = &source.pod_certificate {
        let fields = [&certificate.credential_bundle_path, &certificate.key_path, &certificate.certificate_chain_path];
        all.extend(fields.into_iter().map(Text::text).filter(|path| !path.is_empty()).map(same));
    }
    all
}

fn one_source(source: &VolumeProjection, errors: &mut Errors) {
    if let Some(secret) = &source.secret {
        errors.at("secret", |errors| items(&secret.name, secret.items.list(), errors));
    }
    if let Some(map) = &source.config_map {
        errors.at("configMap", |errors| items(&map.name, map.items.list(), errors));
    }
    if let Some(downward) = &source.downward_api {
        errors.at("downwardAPI", |errors| downward.items.list().iter().for_each(|file| downward_file(file, errors)));
    }
    if let Some(token) = &source.service_account_token {
        errors.at("serviceAccountToken", |errors| service_account_token(token, errors));
    }
    if let Some(bundle) = &source.cluster_trust_bundle {
        errors.at("clusterTrustBundle", |errors| trust_bundle(bundle, errors));
    }
    if let Some(certificate) = &source.pod_certificate {
        errors.at("podCertificate", |errors| pod_certificate(certificate, errors));
    }
    let there = [
        source.secret.is_some(),
        source.config_map.is_some(),
        source.downward_api.is_some(),
        source.service_account_token.is_some(),
        source.cluster_trust_bundle.is_some(),
        source.pod_certificate.is_some(),
    ];
    if there.into_iter().filter(|there| *there).count() > 1 {
        errors.forbidden("", "may not specify more than 1 volume type per source");
    }
}

fn items(name: &str, items: &[KeyToPath], errors: &mut Errors) {
    if name.is_empty() {
        errors.required("name", "");
    }
    errors.each("items", items, |errors, item| key_to_path(item, errors));
}

fn service_account_token(token: &ServiceAccountTokenProjection, errors: &mut Errors) {
    match token.expiration_seconds {
        None => errors.required("expirationSeconds", ""),
        Some(seconds) if seconds < TOKEN_MIN_SECONDS => {
            errors.invalid("expirationSeconds", seconds, "may not specify a duration less than 10 minutes");
        }
        Some(seconds) if seconds > TOKEN_MAX_SECONDS => {
            errors.invalid("expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds");
        }
        Some(_) => {}
    }
    id(errors, "user", token.user);
}

/// The original reports a token's path at the volume.
fn token_path(token: &ServiceAccountTokenProjection, errors: &mut Errors) {
    match token.path.as_str() {
        "" => errors.required("path", ""),
        path => local_path(errors, "path", path),
    }
}

fn trust_bundle(bundle: &ClusterTrustBundleProjection, errors: &mut Errors) {
    match (&bundle.name, &bundle.signer_name) {
        (Some(_), Some(_)) => errors.invalid("", bundle, "only one of name and signerName may be used"),
        (Some(name), None) => {
            if name.is_empty() {
                errors.required("name", "must be a valid object name");
            }
            if bundle.label_selector.is_some() {
                errors.invalid("labelSelector", &bundle.label_selector, "labelSelector must be unset if name is specified");
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                errors.required("signerName", "must be a valid signer name");
            }
            label_selector(errors, "labelSelector", bundle.label_selector.as_ref());
        }
        (None, None) => errors.required("", "either name or signerName must be specified"),
    }
    if bundle.path.is_empty() {
        errors.required("path", "");
    }
    local_path(errors, "path", &bundle.path);
}

fn pod_certificate(certificate: &PodCertificateProjection, errors: &mut Errors) {
    if !certificate.signer_name.contains('/') {
        errors.invalid(
            "signerName",
            &certificate.signer_name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        );
    }
    if !KEY_TYPES.contains(&certificate.key_type.as_str()) {
        errors.not_supported("keyType", &certificate.key_type, KEY_TYPES);
    }
    if let Some(seconds) = certificate.max_expiration_seconds {
        let kubernetes = certificate.signer_name.starts_with("kubernetes.io/");
        let max = if kubernetes { KUBERNETES_CERTIFICATE_MAX_SECONDS } else { CERTIFICATE_MAX_SECONDS };
        if seconds < CERTIFICATE_MIN_SECONDS {
            errors.invalid("maxExpirationSeconds", seconds, "if provided, maxExpirationSeconds must be >= 3600");
        }
        if seconds > max {
            errors.invalid("maxExpirationSeconds", seconds, &format!("if provided, maxExpirationSeconds must be <= {max}"));
        }
    }
    let mut paths = 0;
    for (field, path) in [
        ("credentialBundlePath", &certificate.credential_bundle_path),
        ("keyPath", &certificate.key_path),
        ("certificateChainPath", &certificate.certificate_chain_path),
    ] {
        if !path.text().is_empty() {
            paths += 1;
            local_path(errors, field, path.text());
        }
    }
    if paths == 0 {
        errors.required("", "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
}

/// A pod without a service account has no token to project.
pub fn without_account(volume: &Volume, errors: &mut Errors) {
    let sources = volume.projected.as_ref().map_or(&[][..], |projected| projected.sources.list());
    errors.each("projected.sources", sources, |errors, source| {
        if source.service_account_token.is_some() {
            errors.forbidden("serviceAccountToken", "must not be specified when serviceAccountName is not set");
        }
    });
}
