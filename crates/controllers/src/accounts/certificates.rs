//! Certificate signing requests: kubelets' client certificates are approved after the authorizer was asked, approved requests
//! are signed, and old requests go.
//! Reads requests; writes their approval, status, or takes them away; is woken by requests and by time.
use crate::driver::queue::Queue;
use crate::driver::run::{Done, Worker};
use crate::driver::{Caches, Controller, Moment, Plan, itself, reads};
use crate::objects::{created, name, seconds, time};
use client::{Client, Error, Informer, Informers};
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus};
use machinery::meta::Key;
use pki::authority::Authority;
use pki::csr::SigningRequest;
use serde_json::{Value, json};
use std::sync::{Arc, Weak};
use stdx::clock::Clock;

const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const HOUR_SECONDS: i64 = 3600;
const SHORTEST_SECONDS: i64 = 600;

pub static CLEANER: Controller = Controller {
    name: "csrcleaner",
    account: "certificate-controller",
    reads: || vec![reads::<CertificateSigningRequest>(itself)],
    writes: &["certificatesigningrequests"],
    workers: 1,
    always: false,
    plan: |caches: &Caches, key, moment| {
        caches.get::<CertificateSigningRequest>(key).map(|request| clean(&request, moment)).unwrap_or_default()
    },
};

/// Requests that are done go after an hour, those that nobody decides about after a day.
pub fn clean(request: &CertificateSigningRequest, moment: &Moment) -> Plan {
    let mut plan = Plan::default();
    let status = request.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let issued = status.certificate.is_some_and(|certificate| !certificate.0.is_empty());
    let since = |kind: &str| {
        let found = conditions.iter().find(|condition| condition.type_ == kind)?;
        found.last_update_time.as_ref().or(found.last_transition_time.as_ref()).map(|at| at.0)
    };
    let ends = [
        since("Denied").map(|at| at + seconds(HOUR_SECONDS)),
        since("Failed").map(|at| at + seconds(HOUR_SECONDS)),
        since("Approved").map(|at| at + seconds(if issued { HOUR_SECONDS } else { 24 * HOUR_SECONDS })),
        conditions
            .is_empty()
            .then(|| created(&request.metadata))
            .filter(|at| *at != Timestamp::MAX)
            .map(|at| at + seconds(24 * HOUR_SECONDS)),
    ];
    match ends.into_iter().flatten().min() {
        Some(at) if at <= moment.now => plan.delete(request),
        at => plan.wake_if(at),
    }
    plan
}

/// Signs for the cluster; how long a certificate is valid at most.
#[derive(Clone)]
pub struct Signer {
    pub authority: Arc<Authority>,
    pub longest: SignedDuration,
}

impl Signer {
    /// A signer with the same key and name as `ca`.
    pub fn of(ca: &Authority, longest: SignedDuration) -> Result<Signer, String> {
        let authority = Authority::load(ca.cert(), &ca.key().to_pem(), "the cluster's CA").map_err(|error| error.to_string())?;
        Ok(Signer { authority: Arc::new(authority), longest })
    }
}

/// Approves and signs. It asks the authorizer and holds the CA's key, so it does not plan from caches alone.
pub struct Certificates {
    client: Client,
    clock: Clock,
    signer: Option<Signer>,
    requests: Arc<Informer<CertificateSigningRequest>>,
}

impl Certificates {
    pub fn new(client: Client, clock: Clock, informers: &Informers, signer: Option<Signer>) -> Arc<Certificates> {
        Arc::new(Certificates { client, clock, signer, requests: informers.of() })
    }

    pub async fn follow(&self, queue: Weak<Queue>) {
        self.requests.synced().await;
        self.requests.subscribe(move |delta| {
            if let Some(queue) = queue.upgrade() {
                queue.add(Key::of(&delta.object().metadata));
            }
        });
    }

    async fn serve(&self, key: &Key) -> Result<(), String> {
        let Some(request) = self.requests.cache.get(key) else { return Ok(()) };
        match stage(&request) {
            Stage::Open => self.approve(&request).await,
            Stage::Approved => self.sign(&request).await,
            Stage::Done => Ok(()),
        }
    }

    async fn approve(&self, request: &CertificateSigningRequest) -> Result<(), String> {
        if request.spec.signer_name != KUBELET_CLIENT {
            return Ok(());
        }
        let Ok(parsed) = parse(request) else { return Ok(()) };
        if kubelet_client_fault(&parsed, &usages(request)).is_some() {
            return Ok(());
        }
        let own = request.spec.username.as_deref() == Some(parsed.subject.user.as_str());
        let mut asked = Vec::new();
        if own {
            asked.push(("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."));
        }
        asked.push(("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."));
        for (subresource, message) in asked {
            if self.may(request, subresource).await.map_err(|error| error.to_string())? {
                let mut new = request.clone();
                push(&mut new, condition("Approved", "AutoApproved", message, self.clock.now()));
                return done(self.client.update_subresource(&new, "approval").await);
            }
        }
        tracing::debug!(name = name(&request.metadata), "a kubelet's request is not approved by the authorizer");
        Ok(())
    }

    async fn may(&self, request: &CertificateSigningRequest, subresource: &str) -> Result<bool, Error> {
        let spec = &request.spec;
        let attributes = json!({
            "group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create", "version": "*",
            "subresource": subresource,
        });
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": spec.extra, "resourceAttributes": attributes},
        });
        let answer: Value = self.client.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await?;
        Ok(answer["status"]["allowed"] == true)
    }

    async fn sign(&self, request: &CertificateSigningRequest) -> Result<(), String> {
        let Some(signer) = &self.signer else { return Ok(()) };
        let usages = usages(request);
        let parsed = parse(request)?;
        let fault = match request.spec.signer_name.as_str() {
            KUBELET_CLIENT => kubelet_client_fault(&parsed, &usages),
            KUBELET_SERVING => kubelet_serving_fault(&parsed, &usages),
            CLIENT => client_fault(&usages),
            _ => return Ok(()),
        };
        let mut new = request.clone();
        let now = self.clock.now();
        match fault {
            Some(fault) => push(&mut new, condition("Failed", "SignerValidationFailure", &fault, now)),
            None => {
                let usages: Vec<&str> = usages.iter().map(String::as_str).collect();
                let valid = duration(request.spec.expiration_seconds, signer.longest);
                let certificate = signer.authority.sign(&parsed, &usages, now, valid).map_err(|error| error.to_string())?;
                new.status.get_or_insert_default().certificate = Some(ByteString(certificate.into_bytes()));
            }
        }
        done(self.client.update_status(&new).await)
    }
}

impl Worker for Certificates {
    fn work<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Done> {
        Box::pin(async move { self.serve(key).await.map(|()| None) })
    }
}

#[derive(Debug, PartialEq)]
enum Stage {
    Open,
    Approved,
    Done,
}

fn stage(request: &CertificateSigningRequest) -> Stage {
    let empty = CertificateSigningRequestStatus::default();
    let status = request.status.as_ref().unwrap_or(&empty);
    let has = |kind: &str| status.conditions.iter().flatten().any(|condition| condition.type_ == kind && condition.status != "False");
    let issued = status.certificate.as_ref().is_some_and(|certificate| !certificate.0.is_empty());
    match (issued || has("Failed") || has("Denied"), has("Approved")) {
        (true, _) => Stage::Done,
        (false, true) => Stage::Approved,
        (false, false) => Stage::Open,
    }
}

/// A request that was decided about or is gone in the meantime needs nothing more.
fn done<T>(result: Result<T, Error>) -> Result<(), String> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn parse(request: &CertificateSigningRequest) -> Result<SigningRequest, String> {
    let text = std::str::from_utf8(&request.spec.request.0).map_err(|error| error.to_string())?;
    SigningRequest::from_pem(text).map_err(|error| error.to_string())
}

fn usages(request: &CertificateSigningRequest) -> Vec<String> {
    let mut usages = request.spec.usages.clone().unwrap_or_default();
    usages.sort();
    usages.dedup();
    usages
}

fn push(request: &mut CertificateSigningRequest, condition: CertificateSigningRequestCondition) {
    request.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
}

fn condition(kind: &str, reason: &str, message: &str, now: Timestamp) -> CertificateSigningRequestCondition {
    CertificateSigningRequestCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_update_time: Some(time(now)),
        last_transition_time: Some(time(now)),
    }
}

fn duration(asked: Option<i32>, longest: SignedDuration) -> SignedDuration {
    let shortest = SignedDuration::from_secs(SHORTEST_SECONDS);
    asked.map_or(longest, |seconds| SignedDuration::from_secs(seconds.into()).max(shortest).min(longest))
}

fn are(usages: &[String], wanted: &[&str]) -> bool {
    let without: Vec<&str> = wanted.iter().copied().filter(|usage| *usage != "key encipherment").collect();
    let own: Vec<&str> = usages.iter().map(String::as_str).collect();
    own == wanted || own == without
}

fn kubelet_client_fault(request: &SigningRequest, usages: &[String]) -> Option<String> {
    let wanted = ["client auth", "digital signature", "key encipherment"];
    if request.subject.groups != ["system:nodes"] {
        return Some("subject organization is not system:nodes".into());
    }
    if !request.dns.is_empty() {
        return Some("DNS subjectAltNames are not allowed".into());
    }
    if !request.emails.is_empty() {
        return Some("Email subjectAltNames are not allowed".into());
    }
    if !request.ips.is_empty() {
        return Some("IP subjectAltNames are not allowed".into());
    }
    if !request.uris.is_empty() {
        return Some("URI subjectAltNames are not allowed".into());
    }
    if !request.subject.user.starts_with("system:node:") {
        return Some("subject common name does not begin with system:node:".into());
    }
    (!are(usages, &wanted)).then(|| format!("usages did not match [{}]", wanted.join(" ")))
}

fn kubelet_serving_fault(request: &SigningRequest, usages: &[String]) -> Option<String> {
    let wanted = ["digital signature", "key encipherment", "server auth"];
    if request.subject.groups != ["system:nodes"] {
        return Some("subject organization is not system:nodes".into());
    }
    if request.dns.is_empty() && request.ips.is_empty() {
        return Some("DNS or IP subjectAltName is required".into());
    }
    if !request.emails.is_empty() {
        return Some("Email subjectAltNames are not allowed".into());
    }
    if !request.uris.is_empty() {
        return Some("URI subjectAltNames are not allowed".into());
    }
    if !are(usages, &wanted) {
        return Some(format!("usages did not match [{}]", wanted.join(" ")));
    }
    (!request.subject.user.starts_with("system:node:")).then(|| "subject common name does not begin with system:node:".into())
}

fn client_fault(usages: &[String]) -> Option<String> {
    let allowed = ["client auth", "digital signature", "key encipherment"];
    match usages.iter().find(|usage| !allowed.contains(&usage.as_str())) {
        Some(usage) => Some(format!("invalid usage for client certificate: {usage}")),
        None if usages.iter().any(|usage| usage == "client auth") => None,
        None => Some("missing required usage for client certificate: client auth".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[test]
    fn old_requests_go() {
        let mut world = World::new(&[&CLEANER]);
        world.put(json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "r"},
            "spec": {"request": "", "signerName": CLIENT},
        }));
        world.advance(24 * HOUR_SECONDS - 1);
        assert_eq!(world.all("certificates.k8s.io/v1", "CertificateSigningRequest").len(), 1);
        world.advance(2);
        assert_eq!(world.all("certificates.k8s.io/v1", "CertificateSigningRequest").len(), 0);
    }

    #[test]
    fn a_kubelet_asks_for_itself_and_nothing_else() {
        let key = pki::key::Key::generate().unwrap();
        let request = |user: &str, groups: &[&str], dns: &[String]| {
            let pem = pki::csr::create(&key, &pki::authority::Subject::new(user, groups), dns, &[]).unwrap();
            SigningRequest::from_pem(&pem).unwrap()
        };
        let usages = ["client auth", "digital signature"].map(String::from);
        let own = request("system:node:n", &["system:nodes"], &[]);
        assert_eq!(kubelet_client_fault(&own, &usages), None);
        assert!(kubelet_client_fault(&request("admin", &["system:nodes"], &[]), &usages).is_some());
        assert!(kubelet_client_fault(&request("system:node:n", &["system:masters"], &[]), &usages).is_some());
        assert!(kubelet_client_fault(&request("system:node:n", &["system:nodes"], &["x".into()]), &usages).is_some());
        assert!(kubelet_serving_fault(&own, &["digital signature".into(), "server auth".into()]).is_some());
        assert_eq!(client_fault(&usages), None);
    }
}
