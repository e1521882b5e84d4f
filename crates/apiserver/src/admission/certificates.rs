//! CertificateApproval, CertificateSigning, ClusterTrustBundleAttest and CertificateSubjectRestriction: who may approve, sign and
//! vouch for a signer, and that nobody gets a client certificate of `system:masters` by request.
use super::object::{edit, view};
use super::{Context, Step, about, refuse, writes};
use crate::authorize::{Authorizers, MASTERS};
use crate::request::{AdmissionRequest, Attributes, Authorizer, Decision, Operation};
use async_trait::async_trait;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use machinery::object::AnyObject;
use machinery::status::Status;
use pki::SigningRequest;
use std::sync::Arc;

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub struct CertificateApproval {
    authorizers: Arc<Authorizers>,
}

pub struct CertificateSigning {
    authorizers: Arc<Authorizers>,
}

pub struct ClusterTrustBundleAttest {
    authorizers: Arc<Authorizers>,
}

pub struct CertificateSubjectRestriction;

impl CertificateApproval {
    pub fn new(context: &Context) -> CertificateApproval {
        CertificateApproval { authorizers: context.authorizers.clone() }
    }
}

impl CertificateSigning {
    pub fn new(context: &Context) -> CertificateSigning {
        CertificateSigning { authorizers: context.authorizers.clone() }
    }
}

impl ClusterTrustBundleAttest {
    pub fn new(context: &Context) -> ClusterTrustBundleAttest {
        ClusterTrustBundleAttest { authorizers: context.authorizers.clone() }
    }
}

/// For the signer itself, or for all signers of its domain.
async fn may(request: &AdmissionRequest<'_>, authorizers: &Authorizers, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_string(), format!("{domain}/*")] {
        let question = Attributes {
            user: request.attributes.user.clone(),
            verb: verb.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            is_resource: true,
            ..Attributes::default()
        };
        if authorizers.authorize(&question).await == Decision::Allow {
            return true;
        }
    }
    false
}

#[async_trait]
impl Step for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Update && about(request, GROUP, "certificatesigningrequests/approval")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        // The stored signer counts, whatever the request says.
        let Some(old) = request.old.and_then(view::<CertificateSigningRequest>) else { return Ok(()) };
        let signer = &old.spec.signer_name;
        match may(request, &self.authorizers, "approve", signer).await {
            true => Ok(()),
            false => Err(refuse(request, object, format!("user not permitted to approve requests with signerName {signer:?}"))),
        }
    }
}

#[async_trait]
impl Step for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Update && about(request, GROUP, "certificatesigningrequests/status")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let (Some(old), Some(new)) =
            (request.old.and_then(view::<CertificateSigningRequest>), object.and_then(view::<CertificateSigningRequest>))
        else {
            return Ok(());
        };
        let (before, after) = (old.status.clone().unwrap_or_default(), new.status.clone().unwrap_or_default());
        let same = before.certificate == after.certificate && before.conditions.unwrap_or_default() == after.conditions.unwrap_or_default();
        let signer = &old.spec.signer_name;
        match same || may(request, &self.authorizers, "sign", signer).await {
            true => Ok(()),
            false => Err(refuse(request, object, format!("user not permitted to sign requests with signerName {signer:?}"))),
        }
    }
}

#[async_trait]
impl Step for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        writes(request) && about(request, GROUP, "clustertrustbundles")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let signer = object.map(|object| object.to_value()["spec"]["signerName"].as_str().unwrap_or_default().to_string());
        let Some(signer) = signer.filter(|signer| !signer.is_empty()) else { return Ok(()) };
        match may(request, &self.authorizers, "attest", &signer).await {
            true => Ok(()),
            false => Err(refuse(request, object, format!("user not permitted to attest for signerName {signer:?}"))),
        }
    }
}

#[async_trait]
impl Step for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Create && about(request, GROUP, "certificatesigningrequests")
    }

    /// Who asks is who the request came from, whatever it says of itself: approvers and signers go by that.
    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        let user = &request.attributes.user;
        edit::<CertificateSigningRequest>(object, |csr| {
            csr.spec.username = Some(user.user.clone());
            csr.spec.uid = Some(user.uid.clone()).filter(|uid| !uid.is_empty());
            csr.spec.groups = Some(user.groups.clone()).filter(|groups| !groups.is_empty());
            csr.spec.extra = Some(user.extra.clone()).filter(|extra| !extra.is_empty());
            Ok(())
        })
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let Some(csr) = object.and_then(view::<CertificateSigningRequest>) else { return Ok(()) };
        if csr.spec.signer_name != CLIENT_SIGNER {
            return Ok(());
        }
        let parsed = SigningRequest::from_pem(&String::from_utf8_lossy(&csr.spec.request.0));
        let parsed = parsed.map_err(|error| refuse(request, object, format!("failed to parse CSR: {error}")))?;
        match parsed.subject.groups.iter().any(|group| group == MASTERS) {
            true => Err(refuse(request, object, format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"))),
            false => Ok(()),
        }
    }
}
