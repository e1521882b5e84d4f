//! ResourceQuota: how much a namespace may hold.
use crate::access::{ApiResources, Entries, List, amount, canonical_resources};
use crate::columns::text;
use crate::core::names::{READ_WRITE, core};
use crate::core::resources;
use crate::meta::IMMUTABLE;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus};
use machinery::errors::Errors;
use machinery::kind::{Kind, Names, Subresource};
use machinery::table::{age_column, name_column};
use std::collections::BTreeSet;

const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];
const COMPUTE: &[&str] = &["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

pub static RESOURCE_QUOTA: Kind<ResourceQuota> = Kind {
    default: |quota| {
        if let Some(spec) = &mut quota.spec {
            canonical_resources(&mut spec.hard);
        }
        if let Some(status) = &mut quota.status {
            canonical_resources(&mut status.hard);
            canonical_resources(&mut status.used);
        }
    },
    on_create: |quota| quota.status = Some(ResourceQuotaStatus::default()),
    on_update: |new, old| new.status.clone_from(&old.status),
    validate,
    validate_update: |new, old, errors| {
        let scopes = |quota: &ResourceQuota| quota.spec.iter().flat_map(|spec| spec.scopes.list()).cloned().collect::<BTreeSet<_>>();
        if scopes(new) != scopes(old) {
            errors.invalid("spec.scopes", new.spec.as_ref().and_then(|spec| spec.scopes.as_ref()), IMMUTABLE);
        }
    },
    columns: &[
        name_column(),
        text("Request", |quota, _| used(quota, false).into()),
        text("Limit", |quota, _| used(quota, true).into()),
        age_column(),
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: READ_WRITE,
        prepare: |new, old| new.spec.clone_from(&old.spec),
        validate: |new, _, errors| {
            let Some(status) = &new.status else { return };
            amounts(errors, "status.hard", &status.hard);
            amounts(errors, "status.used", &status.used);
        },
    }],
    ..Kind::of(Names {
        short: &["quota"],
        ..core("ResourceQuota", "resourcequotas", "resourcequota", "resourcequotas", "io.k8s.api.core.v1.ResourceQuota")
    })
};

/// `cpu: 1/2, pods: 3/10`, either of limits or of all else.
fn used(quota: &ResourceQuota, limits: bool) -> String {
    let Some(status) = &quota.status else { return String::new() };
    let told = |(name, hard): (&String, _)| {
        let used = status.used.as_ref().and_then(|used| used.get(name)).map_or("0".into(), |used| amount(used).to_string());
        format!("{name}: {used}/{}", amount(hard))
    };
    let shown = status.hard.entries().filter(|(name, _)| name.starts_with("limits.") == limits);
    shown.map(told).collect::<Vec<_>>().join(", ")
}

fn amounts(errors: &mut Errors, field: &str, list: &Option<ApiResources>) {
    for (name, quantity) in list.entries() {
        errors.key(field, name, |errors| {
            resources::name(errors, name);
            if !name.contains('/') && !is_quota_resource(name) {
                errors.invalid("", name, "must be a standard resource for quota");
            }
            resources::quantity(errors, name, quantity);
        });
    }
}

/// A resource that quotas know by itself.
fn is_quota_resource(name: &str) -> bool {
    resources::is_standard(name) && name != "storage"
}

fn validate(quota: &ResourceQuota, errors: &mut Errors) {
    let Some(spec) = &quota.spec else { return };
    amounts(errors, "spec.hard", &spec.hard);
    errors.at("spec", |errors| {
        let scopes = spec.scopes.list();
        for scope in scopes {
            if !SCOPES.contains(&scope.as_str()) {
                errors.invalid("scopes", scopes, "unsupported scope");
            }
            for _ in out_of_scope(spec, scope) {
                errors.invalid("scopes", scopes, "unsupported scope applied to resource");
            }
        }
        conflicts(errors, "scopes", scopes, scopes);
        if spec.scope_selector.is_some() {
            errors.at("scopeSelector", |errors| selector(spec, errors));
        }
    });
}

/// Resources of the quota that cannot be counted by scope.
fn out_of_scope<'a>(spec: &'a ResourceQuotaSpec, scope: &'a str) -> impl Iterator<Item = &'a String> {
    let counted = move |name: &str| match scope {
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => name == "persistentvolumeclaims" || name == "requests.storage",
        scope if SCOPES.contains(&scope) => COMPUTE.contains(&name),
        _ => true,
    };
    spec.hard.entries().map(|(name, _)| name).filter(move |name| is_quota_resource(name) && !counted(name))
}

fn conflicts(errors: &mut Errors, field: &str, scopes: &[String], shown: &[String]) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|one| scopes.iter().any(|scope| scope == one)) {
            errors.invalid(field, shown, "conflicting scopes");
        }
    }
}

fn selector(spec: &ResourceQuotaSpec, errors: &mut Errors) {
    const ONLY_EXISTS: &[&str] = &["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];
    let requirements = spec.scope_selector.as_ref().map_or(&[][..], |selector| selector.match_expressions.list());
    errors.at("matchExpressions", |errors| {
        for requirement in requirements {
            let (scope, operator, values) = (requirement.scope_name.as_str(), requirement.operator.as_str(), requirement.values.list());
            if !SCOPES.contains(&scope) {
                errors.invalid("scopeName", scope, "unsupported scope");
            }
            for _ in out_of_scope(spec, scope) {
                errors.invalid("", &spec.scope_selector, "unsupported scope applied to resource");
            }
            if ONLY_EXISTS.contains(&scope) && operator != "Exists" {
                let why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                           ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
                errors.invalid("operator", operator, why);
            }
            match operator {
                "In" | "NotIn" if values.is_empty() => {
                    errors.required("values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
                }
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                    errors.invalid("values", values, why);
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
                other => errors.invalid("operator", other, "not a valid selector operator"),
            }
        }
        let scopes: Vec<String> = requirements.iter().map(|requirement| requirement.scope_name.clone()).collect();
        conflicts(errors, "", &scopes, spec.scopes.list());
    });
}

#[cfg(test)]
pub const MINIMAL: &str =
    r#"{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"a","namespace":"x"},"spec":{"hard":{"pods":"2"}}}"#;
