//! Lease: who holds something, and until when.
use crate::check::{OBJECT_VERBS, column};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use machinery::errors::Errors;
use machinery::kind::{Kind, Names};
use machinery::table::{age_column, name_column};

pub static LEASE: Kind<Lease> = Kind {
    on_create: |lease| without_election(lease, &LeaseSpec::default()),
    on_update: |new, old| without_election(new, &old.spec.clone().unwrap_or_default()),
    validate: |lease, errors| {
        if let Some(spec) = &lease.spec {
            errors.at("spec", |errors| validate(spec, errors));
        }
    },
    columns: &[
        name_column(),
        column("Holder", "string", |lease, _| lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default().into()),
        age_column(),
    ],
    create_on_update: true,
    unconditional_update: false,
    ..Kind::of(Names {
        group: "coordination.k8s.io",
        version: "v1",
        kind: "Lease",
        plural: "leases",
        singular: "lease",
        short: &[],
        categories: &[],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "leases",
        schema: "io.k8s.api.coordination.v1.Lease",
    })
};

/// Coordinated leader election (KEP-4355) is off by default: its fields are dropped unless they were there before.
fn without_election(lease: &mut Lease, old: &LeaseSpec) {
    let Some(spec) = &mut lease.spec else { return };
    if old.strategy.is_none() {
        spec.strategy = None;
    }
    if old.preferred_holder.is_none() {
        spec.preferred_holder = None;
    }
}

fn validate(spec: &LeaseSpec, errors: &mut Errors) {
    if spec.lease_duration_seconds.is_some_and(|seconds| seconds <= 0) {
        errors.invalid("leaseDurationSeconds", spec.lease_duration_seconds, "must be greater than 0");
    }
    if spec.lease_transitions.is_some_and(|transitions| transitions < 0) {
        errors.invalid("leaseTransitions", spec.lease_transitions, "must be greater than or equal to 0");
    }
    let named = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    if named(&spec.preferred_holder) && !named(&spec.strategy) {
        errors.forbidden("preferredHolder", "may only be specified if `strategy` is defined");
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"node","namespace":"x"},"spec":{"holderIdentity":"me","leaseDurationSeconds":40}}"#;
