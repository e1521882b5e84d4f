//! CertificateSigningRequest: asks a signer for a certificate. Who asks, the API server writes into the spec from the request's identity
//! (never the client), and it checks the request's signature; here is what can be said without cryptography.
use crate::check::{OBJECT_VERBS, STATUS_VERBS, column};
use crate::meta::report;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus};
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Field, Kind, NameRule, Names, Subresource};
use machinery::table::{age_column, human, name_column, or_none};

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const SHORTEST_SECONDS: i32 = 600;
const MAX_DOMAIN_BYTES: usize = 253;
const MAX_SIGNER_BYTES: usize = 571;

pub static CERTIFICATESIGNINGREQUEST: Kind<CertificateSigningRequest> = Kind {
    on_create: |request| request.status = Some(CertificateSigningRequestStatus::default()),
    on_update: |new, old| {
        new.spec = old.spec.clone();
        new.status = old.status.clone();
    },
    validate,
    columns: &[
        name_column(),
        age_column(),
        column("SignerName", "string", |request, _| or_none(&request.spec.signer_name).into()),
        column("Requestor", "string", |request, _| request.spec.username.clone().unwrap_or_default().into()),
        column("RequestedDuration", "string", |request, _| match request.spec.expiration_seconds {
            Some(seconds) => human(SignedDuration::from_secs(seconds.into())).into(),
            None => "<none>".into(),
        }),
        column("Condition", "string", |request, _| state(request).into()),
    ],
    fields: &[Field { path: "spec.signerName", value: |request| request.spec.signer_name.clone() }],
    subresources: &[
        Subresource {
            name: "status",
            verbs: STATUS_VERBS,
            prepare: |new, old| {
                new.spec = old.spec.clone();
                keep_decisions(new, old);
            },
            validate: |new, old, errors| validate_status(new, old, Door::Status, errors),
        },
        Subresource {
            name: "approval",
            verbs: STATUS_VERBS,
            prepare: |new, old| {
                new.spec = old.spec.clone();
                let conditions = new.status.take().and_then(|status| status.conditions);
                new.status = Some(CertificateSigningRequestStatus { conditions, ..status(old) });
            },
            validate: |new, old, errors| validate_status(new, old, Door::Approval, errors),
        },
    ],
    name: NameRule::PathSegment,
    ..Kind::of(Names {
        group: "certificates.k8s.io",
        version: "v1",
        kind: "CertificateSigningRequest",
        plural: "certificatesigningrequests",
        singular: "certificatesigningrequest",
        short: &["csr"],
        categories: &[],
        namespaced: false,
        verbs: OBJECT_VERBS,
        storage: "certificatesigningrequests",
        schema: "io.k8s.api.certificates.v1.CertificateSigningRequest",
    })
};

/// The subresource by which a status is written: decisions come by one, certificates by the other.
#[derive(Clone, Copy, PartialEq)]
enum Door {
    Status,
    Approval,
}

fn status(request: &CertificateSigningRequest) -> CertificateSigningRequestStatus {
    request.status.clone().unwrap_or_default()
}

fn of_type<'a>(status: &'a CertificateSigningRequestStatus, name: &str) -> Vec<&'a CertificateSigningRequestCondition> {
    status.conditions.iter().flatten().filter(|condition| condition.type_ == name).collect()
}

/// Decisions as they are stored, if the client sent as many.
fn keep_decisions(new: &mut CertificateSigningRequest, old: &CertificateSigningRequest) {
    let old = status(old);
    let Some(conditions) = new.status.as_mut().and_then(|status| status.conditions.as_mut()) else { return };
    for name in ["Approved", "Denied"] {
        let stored = of_type(&old, name);
        let sent = conditions.iter_mut().filter(|condition| condition.type_ == name).collect::<Vec<_>>();
        if stored.len() == sent.len() {
            sent.into_iter().zip(stored).for_each(|(sent, stored)| sent.clone_from(stored));
        }
    }
}

fn state(request: &CertificateSigningRequest) -> String {
    let status = status(request);
    let has = |name: &str| !of_type(&status, name).is_empty();
    let decision = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    };
    let issued = status.certificate.as_ref().is_some_and(|certificate| !certificate.0.is_empty());
    format!("{decision}{}{}", if has("Failed") { ",Failed" } else { "" }, if issued { ",Issued" } else { "" })
}

fn validate(request: &CertificateSigningRequest, errors: &mut Errors) {
    errors.at("spec", |errors| {
        let spec = &request.spec;
        if !is_request(&spec.request.0) {
            errors.invalid("request", &spec.request, "PEM block type must be CERTIFICATE REQUEST");
        }
        let usages = spec.usages.as_deref().unwrap_or_default();
        if usages.is_empty() {
            errors.required("usages", "");
        }
        for (index, usage) in usages.iter().enumerate() {
            if !USAGES.contains(&usage.as_str()) {
                errors.not_supported(&format!("usages[{index}]"), usage, USAGES);
            }
            if usages[..index].contains(usage) {
                errors.duplicate(&format!("usages[{index}]"), usage);
            }
        }
        signer_name(&spec.signer_name, errors);
        if spec.expiration_seconds.is_some_and(|seconds| seconds < SHORTEST_SECONDS) {
            let why = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.invalid("expirationSeconds", spec.expiration_seconds, why);
        }
    });
}

/// Is the first PEM block a request? (What is in it, the API server checks.)
fn is_request(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    let Some((_, rest)) = text.split_once("-----BEGIN CERTIFICATE REQUEST-----") else { return false };
    let Some((body, _)) = rest.split_once("-----END CERTIFICATE REQUEST-----") else { return false };
    let body = body.split_whitespace().collect::<String>();
    !body.is_empty() && STANDARD.decode(body).is_ok()
}

/// `example.com/signer`.
fn signer_name(name: &str, errors: &mut Errors) {
    let field = "signerName";
    if name == "kubernetes.io/legacy-unknown" {
        return errors.invalid(field, name, "the legacy signerName is not allowed via this API version");
    }
    let (domain, path) = match name.split('/').collect::<Vec<_>>()[..] {
        [""] => return errors.required(field, ""),
        [domain, path] => (domain, path),
        _ => return errors.invalid(field, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'"),
    };
    if domain.len() > MAX_DOMAIN_BYTES {
        errors.too_long(field, MAX_DOMAIN_BYTES);
    }
    for (text, check) in [(domain, content::dns_label as fn(&str) -> Vec<String>), (path, content::dns_subdomain)] {
        let wrong = text.split('.').map(|label| (label, check(label))).find(|(_, problems)| !problems.is_empty());
        if let Some((label, problems)) = wrong {
            report(errors, field, text, problems.iter().map(|problem| format!("validating label {label:?}: {problem}")).collect());
        }
        if text == domain && !domain.contains('.') {
            errors.invalid(field, domain, "should be a domain with at least two segments separated by dots");
        }
    }
    if name.len() > MAX_SIGNER_BYTES {
        errors.too_long(field, MAX_SIGNER_BYTES);
    }
}

fn validate_status(new: &CertificateSigningRequest, old: &CertificateSigningRequest, door: Door, errors: &mut Errors) {
    let (new, old) = (status(new), status(old));
    errors.at("status", |errors| {
        conditions(&new, &old, errors);
        for name in ["Approved", "Denied", "Failed"] {
            let (after, before) = (of_type(&new, name), of_type(&old, name));
            let mut refuse = |what: &str| errors.forbidden("conditions", &format!("updates may not {what} a condition of type {name:?}"));
            match after.len().cmp(&before.len()) {
                std::cmp::Ordering::Less => refuse("remove"),
                _ if door == Door::Approval || name == "Failed" => {}
                std::cmp::Ordering::Greater => refuse("add"),
                std::cmp::Ordering::Equal if after != before => refuse("modify"),
                std::cmp::Ordering::Equal => {}
            }
        }
        let bytes = |status: &CertificateSigningRequestStatus| status.certificate.clone().unwrap_or_default().0;
        let (after, before) = (bytes(&new), bytes(&old));
        if after == before {
            return;
        }
        match door {
            Door::Approval => errors.forbidden("certificate", "updates may not set certificate content"),
            Door::Status if !before.is_empty() => errors.forbidden("certificate", "updates may not modify existing certificate content"),
            Door::Status => certificate(&after, errors),
        }
    });
}

fn conditions(new: &CertificateSigningRequestStatus, old: &CertificateSigningRequestStatus, errors: &mut Errors) {
    let conditions = new.conditions.as_deref().unwrap_or_default();
    let both = |status: &CertificateSigningRequestStatus| !of_type(status, "Approved").is_empty() && !of_type(status, "Denied").is_empty();
    for (index, condition) in conditions.iter().enumerate() {
        errors.at(&format!("conditions[{index}]"), |errors| {
            if condition.type_.is_empty() {
                errors.required("type", "");
            }
            let decided = ["Approved", "Denied", "Failed"].contains(&condition.type_.as_str());
            let allowed: &[&str] = if decided { &["True"] } else { &["False", "True", "Unknown"] };
            match condition.status.as_str() {
                "" => errors.required("status", ""),
                other if !allowed.contains(&other) => errors.not_supported("status", other, allowed),
                _ => {}
            }
            if conditions[..index].iter().any(|earlier| earlier.type_ == condition.type_) {
                errors.duplicate("type", &condition.type_);
            }
        });
    }
    if both(new) && !both(old) {
        let last = conditions.iter().rev().find(|condition| ["Approved", "Denied"].contains(&condition.type_.as_str()));
        let value = last.map_or("", |condition| condition.type_.as_str());
        errors.invalid("conditions", value, "Approved and Denied conditions are mutually exclusive");
    }
}

/// PEM blocks of certificates and nothing else between their lines.
fn certificate(pem: &[u8], errors: &mut Errors) {
    let text = String::from_utf8_lossy(pem);
    let begins = text.lines().filter_map(|line| line.strip_prefix("-----BEGIN ")).map(|line| line.trim_end_matches("-----"));
    let problem = match begins.clone().find(|kind| *kind != "CERTIFICATE") {
        Some(other) => Some(format!("only CERTIFICATE PEM blocks are allowed, found {other:?}")),
        None => begins.clone().next().is_none().then(|| "must contain at least one CERTIFICATE PEM block".to_string()),
    };
    if let Some(problem) = problem {
        errors.invalid("certificate", "<certificate data>", &problem);
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"ann"},"spec":{
    "request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISE1IQUNBUUF3RGpFTU1Bb0dBMVVFQXd3RFlXNXVNRmt3RXdZSEtvWkl6ajBDQVFZSUtvWkl6ajBEQVFjRApRZ0FFYUQwRStKZUJxVGxGOHN1Q0h4SjBSQzNBWXZSNEhHQjVXS0VNUlljVndtdytzM0JTU3Fkb2hucTV2SEg4CnhwUktySHBTY0tqS0xBcXJwbVV6bXJTNGtxQUFNQW9HQ0NxR1NNNDlCQU1DQTBjQU1FUUNJR2VyVlhPT1l3N2QKa2ZGVHZCUzZienliL2V1SlBGTHBCemppZTJ2RW12VmNBaUJzbE1OeVRROUxqMDROWlZCMXFMckJVYTY5SmVhcgoxUHBuR25uellCeVN6QT09Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=","signerName":"kubernetes.io/kube-apiserver-client","usages":["client auth"]}}"#;
