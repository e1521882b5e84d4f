//! PersistentVolumeClaim: storage that someone asks for; also as a template in pods and stateful sets.
use crate::access::{ApiResources, Entries, List, Text, amount, canonical_resources, differences, same};
use crate::columns::{text, wide};
use crate::core::names::{ALL_VERBS, READ_WRITE, core};
use crate::core::pod::default_claim_spec;
use crate::core::resources::{is_native, quantity};
use crate::meta::{annotations, immutable, label_selector, labels, report};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimStatus, PersistentVolumeClaimTemplate,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names, Subresource};
use machinery::quantity::Quantity;
use machinery::table::{age_column, name_column};

pub const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const RESIZE_STATES: &[&str] =
    &["ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"];

pub static PERSISTENT_VOLUME_CLAIM: Kind<PersistentVolumeClaim> = Kind {
    default,
    on_create: |claim| {
        claim.status = Some(PersistentVolumeClaimStatus { phase: Some("Pending".into()), ..Default::default() });
        same_sources(claim);
    },
    on_update: |new, old| {
        new.status.clone_from(&old.status);
        same_sources(new);
    },
    validate: |claim, errors| errors.at("spec", |errors| check_spec(&spec(claim), errors)),
    validate_update,
    columns: &[
        name_column(),
        text("Status", |claim, _| {
            let phase = claim.status.as_ref().map_or("", |status| status.phase.text());
            if claim.metadata.deletion_timestamp.is_some() { "Terminating" } else { phase }.into()
        }),
        text("Volume", |claim, _| spec(claim).volume_name.text().into()),
        text("Capacity", |claim, _| {
            if spec(claim).volume_name.text().is_empty() {
                return "".into();
            }
            let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref());
            capacity.and_then(|list| list.get("storage")).map_or("0".to_string(), |size| amount(size).to_string()).into()
        }),
        text("Access Modes", |claim, _| {
            let modes = claim.status.as_ref().map_or(&[][..], |status| status.access_modes.list());
            if spec(claim).volume_name.text().is_empty() { "".into() } else { access_modes(modes).into() }
        }),
        text("StorageClass", |claim, _| class(claim).into()),
        text("VolumeAttributesClass", |claim, _| {
            spec(claim).volume_attributes_class_name.clone().unwrap_or_else(|| "<unset>".into()).into()
        }),
        age_column(),
        wide("VolumeMode", |claim, _| spec(claim).volume_mode.clone().unwrap_or_else(|| "<unset>".into()).into()),
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: READ_WRITE,
        prepare: |new, old| {
            new.spec.clone_from(&old.spec);
            new.metadata.generation = old.metadata.generation;
        },
        validate: |new, _, errors| check_status(new, errors),
    }],
    ..Kind::of(Names {
        short: &["pvc"],
        verbs: ALL_VERBS,
        ..core(
            "PersistentVolumeClaim",
            "persistentvolumeclaims",
            "persistentvolumeclaim",
            "persistentvolumeclaims",
            "io.k8s.api.core.v1.PersistentVolumeClaim",
        )
    })
};

fn spec(claim: &PersistentVolumeClaim) -> PersistentVolumeClaimSpec {
    claim.spec.clone().unwrap_or_default()
}

/// `RWO,ROX,RWX,RWOP`.
pub fn access_modes(modes: &[String]) -> String {
    let short = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let there = short.into_iter().filter(|(mode, _)| modes.iter().any(|known| known == mode)).map(|(_, short)| short);
    there.collect::<Vec<_>>().join(",")
}

/// The storage class, by field or by the annotation of old.
fn class(claim: &PersistentVolumeClaim) -> String {
    let annotation = claim.metadata.annotations.as_ref().and_then(|map| map.get(BETA_CLASS)).cloned();
    annotation.or_else(|| spec(claim).storage_class_name).unwrap_or_default()
}

fn default(claim: &mut PersistentVolumeClaim) {
    default_claim_spec(claim.spec.get_or_insert_default());
    let status = claim.status.get_or_insert_default();
    crate::access::fill(&mut status.phase, "Pending");
    canonical_resources(&mut status.capacity);
    canonical_resources(&mut status.allocated_resources);
}

/// `dataSource` and `dataSourceRef` say the same where both can.
fn same_sources(claim: &mut PersistentVolumeClaim) {
    use k8s_openapi::api::core::v1::{TypedLocalObjectReference, TypedObjectReference};
    let Some(spec) = &mut claim.spec else { return };
    match (&spec.data_source, &spec.data_source_ref) {
        (Some(source), None) => {
            let (api_group, kind, name) = (source.api_group.clone(), source.kind.clone(), source.name.clone());
            spec.data_source_ref = Some(TypedObjectReference { api_group, kind, name, namespace: None });
        }
        (None, Some(source)) if source.namespace.text().is_empty() => {
            let core = source.api_group.text().is_empty() && source.kind == "PersistentVolumeClaim";
            let snapshot = source.api_group.text() == "snapshot.storage.k8s.io" && source.kind == "VolumeSnapshot";
            if core || snapshot {
                let (api_group, kind, name) = (source.api_group.clone(), source.kind.clone(), source.name.clone());
                spec.data_source = Some(TypedLocalObjectReference { api_group, kind, name });
            }
        }
        _ => {}
    }
}

/// Checks a claim that stands as a template in another object.
pub fn check_template(template: &PersistentVolumeClaimTemplate, errors: &mut Errors) {
    if let Some(meta) = &template.metadata {
        errors.at("metadata", |errors| {
            annotations(errors, "annotations", meta.annotations.as_ref());
            labels(errors, "labels", meta.labels.as_ref());
            let rest = ObjectMeta { annotations: None, labels: None, ..meta.clone() };
            let fields = crate::access::bare(&rest);
            for field in fields.as_object().into_iter().flat_map(|fields| fields.keys()) {
                errors.forbidden(field, "cannot be set");
            }
        });
    }
    errors.at("spec", |errors| check_spec(&template.spec, errors));
}

/// Checks a claim's spec, which stands on the path.
pub fn check_spec(spec: &PersistentVolumeClaimSpec, errors: &mut Errors) {
    let modes = spec.access_modes.list();
    if modes.is_empty() {
        errors.required("accessModes", "at least 1 access mode is required");
    }
    label_selector(errors, "selector", spec.selector.as_ref());
    check_access_modes(modes, errors);
    let storage = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()).and_then(|list| list.get("storage"));
    match storage {
        None => errors.required("resources[storage]", ""),
        Some(size) if amount(size) <= Quantity::ZERO => {
            errors.invalid("resources[storage]", amount(size).to_string(), "must be greater than zero");
        }
        Some(size) => errors.key("resources", "storage", |errors| quantity(errors, "storage", size)),
    }
    for (field, name) in
        [("storageClassName", spec.storage_class_name.text()), ("volumeAttributesClassName", spec.volume_attributes_class_name.text())]
    {
        if !name.is_empty() {
            report(errors, field, name, content::dns_subdomain(name));
        }
    }
    if let Some(mode) = spec.volume_mode.as_deref().filter(|mode| !["Block", "Filesystem"].contains(mode)) {
        errors.not_supported("volumeMode", mode, &["Block", "Filesystem"]);
    }
    sources(spec, errors);
}

/// Checks access modes; `ReadWriteOncePod` stands alone.
pub fn check_access_modes(modes: &[String], errors: &mut Errors) {
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(&mode.as_str())) {
        errors.not_supported("accessModes", mode, ACCESS_MODES);
    }
    let single = modes.iter().any(|mode| mode == "ReadWriteOncePod");
    let other = modes.iter().any(|mode| mode != "ReadWriteOncePod" && ACCESS_MODES.contains(&mode.as_str()));
    if single && other {
        errors.forbidden("accessModes", "may not use ReadWriteOncePod with other access modes");
    }
}

fn sources(spec: &PersistentVolumeClaimSpec, errors: &mut Errors) {
    let one = |errors: &mut Errors, field: &str, group: &str, kind: &str, name: &str| {
        errors.at(field, |errors| {
            if name.is_empty() {
                errors.required("name", "");
            }
            if kind.is_empty() {
                errors.required("kind", "");
            }
            if group.is_empty() && kind != "PersistentVolumeClaim" {
                errors.invalid("", kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
            }
            if !group.is_empty() {
                report(errors, "apiGroup", group, content::dns_subdomain(group));
            }
        });
    };
    if let Some(source) = &spec.data_source {
        one(errors, "dataSource", source.api_group.text(), &source.kind, &source.name);
    }
    let Some(reference) = &spec.data_source_ref else { return };
    one(errors, "dataSourceRef", reference.api_group.text(), &reference.kind, &reference.name);
    let namespace = reference.namespace.text();
    if !namespace.is_empty() {
        errors.at("dataSourceRef", |errors| report(errors, "namespace", namespace, content::dns_label(namespace)));
    }
    match &spec.data_source {
        Some(_) if !namespace.is_empty() => {
            errors.invalid("", "dataSource", "may not be specified when dataSourceRef.namespace is specified")
        }
        Some(source) if (&source.api_group, &source.kind, &source.name) != (&reference.api_group, &reference.kind, &reference.name) => {
            errors.invalid("", "dataSource", "must match dataSourceRef");
        }
        _ => {}
    }
}

fn storage(list: Option<&ApiResources>) -> Quantity {
    list.and_then(|list| list.get("storage")).map_or(Quantity::ZERO, amount)
}

fn validate_update(new: &PersistentVolumeClaim, old: &PersistentVolumeClaim, errors: &mut Errors) {
    let (now, before) = (spec(new), spec(old));
    let beta = |claim: &PersistentVolumeClaim| {
        claim.metadata.annotations.as_ref().and_then(|map| map.get(BETA_CLASS)).cloned().unwrap_or_default()
    };
    let mut kept = now.clone();
    if before.volume_name.text().is_empty() {
        kept.volume_name.clone_from(&before.volume_name);
    }
    let (old_beta, new_beta) = (beta(old), beta(new));
    let takes_over = before.storage_class_name.is_none() && (old_beta.is_empty() || now.storage_class_name.text() == old_beta);
    if takes_over {
        kept.storage_class_name = None;
    }
    let replaced = takes_over && now.storage_class_name.is_some() && new_beta.is_empty();
    if !replaced && new_beta != old_beta {
        errors.at("metadata.annotations", |errors| immutable(errors, BETA_CLASS, &new_beta, &old_beta));
    }
    if new.status.as_ref().is_some_and(|status| status.phase.text() == "Bound") {
        let before_size = before.resources.as_ref().and_then(|own| own.requests.as_ref()).and_then(|list| list.get("storage"));
        if let (Some(size), Some(requests)) = (before_size, kept.resources.as_mut().and_then(|own| own.requests.as_mut())) {
            requests.insert("storage".into(), size.clone());
        }
        kept.volume_attributes_class_name.clone_from(&before.volume_attributes_class_name);
    }
    if !same(&kept, &before) {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.forbidden("spec", &format!("{why}\n{}", differences(&before, &kept)));
    }
    let requests = |spec: &PersistentVolumeClaimSpec| storage(spec.resources.as_ref().and_then(|own| own.requests.as_ref()));
    let there = storage(old.status.as_ref().and_then(|status| status.capacity.as_ref()));
    if requests(&now) < requests(&before) && requests(&now) <= there {
        errors.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
    }
    immutable(errors, "volumeMode", &now.volume_mode, &before.volume_mode);
    attributes_class(&now, &before, old, errors);
}

fn attributes_class(now: &PersistentVolumeClaimSpec, before: &PersistentVolumeClaimSpec, old: &PersistentVolumeClaim, errors: &mut Errors) {
    const FIELD: &str = "spec.volumeAttributesClassName";
    let current = old.status.as_ref().and_then(|status| status.current_volume_attributes_class_name.as_ref());
    if now.volume_attributes_class_name == before.volume_attributes_class_name || current.is_none() {
        return;
    }
    match now.volume_attributes_class_name.as_deref() {
        None => errors.forbidden(FIELD, "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil"),
        Some("") => errors.forbidden(FIELD, "update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil"),
        Some(_) => {}
    }
}

fn check_status(claim: &PersistentVolumeClaim, errors: &mut Errors) {
    let Some(status) = &claim.status else { return };
    let resource = |errors: &mut Errors, name: &str| {
        let problems = content::label_key(name);
        if problems.is_empty() && is_native(name) && name != "storage" {
            errors.not_supported("", name, &["storage"]);
        }
        report(errors, "", name, problems);
    };
    errors.at("status", |errors| {
        for (name, size) in status.capacity.entries().filter(|(_, size)| amount(size) < Quantity::ZERO) {
            errors.key("capacity", name, |errors| errors.invalid("", amount(size).value(), "must be a valid resource quantity"));
        }
        for (name, state) in status.allocated_resource_statuses.entries() {
            errors.at("allocatedResourceStatuses", |errors| {
                resource(errors, name);
                if !RESIZE_STATES.contains(&state.as_str()) {
                    errors.not_supported("", name, RESIZE_STATES);
                }
            });
        }
        for (name, size) in status.allocated_resources.entries() {
            errors.at("allocatedResources", |errors| resource(errors, name));
            errors.key("allocatedResources", name, |errors| quantity(errors, "storage", size));
        }
    });
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"a","namespace":"x"},"spec":{
    "accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#;
