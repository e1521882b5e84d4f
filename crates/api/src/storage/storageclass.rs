//! StorageClass: how volumes of a kind are provisioned. Only metadata, expansion and topologies change later.
use crate::check::{OBJECT_VERBS, column};
use crate::meta::{immutable, report};
use k8s_openapi::api::core::v1::TopologySelectorTerm;
use k8s_openapi::api::storage::v1::StorageClass;
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Column, Kind, Names};
use machinery::table::age_column;

const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETER_BYTES: usize = 256 * 1024;
const DEFAULT_CLASS: [&str; 2] = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub static STORAGECLASS: Kind<StorageClass> = Kind {
    default: |class| {
        class.reclaim_policy.get_or_insert_with(|| "Delete".into());
        class.volume_binding_mode.get_or_insert_with(|| "Immediate".into());
    },
    validate,
    validate_update: |new, old, errors| {
        immutable(errors, "parameters", &new.parameters, &old.parameters);
        immutable(errors, "provisioner", &new.provisioner, &old.provisioner);
        immutable(errors, "reclaimPolicy", &new.reclaim_policy, &old.reclaim_policy);
        immutable(errors, "volumeBindingMode", &new.volume_binding_mode, &old.volume_binding_mode);
    },
    columns: &[
        Column { name: "Name", kind: "string", format: "name", priority: 0, cell: |class, _| shown_name(class).into() },
        column("Provisioner", "string", |class, _| class.provisioner.as_str().into()),
        column("ReclaimPolicy", "string", |class, _| class.reclaim_policy.as_deref().unwrap_or("Delete").into()),
        column("VolumeBindingMode", "string", |class, _| class.volume_binding_mode.as_deref().unwrap_or("Immediate").into()),
        column("AllowVolumeExpansion", "string", |class, _| class.allow_volume_expansion.unwrap_or(false).into()),
        age_column(),
    ],
    ..Kind::of(Names {
        group: "storage.k8s.io",
        version: "v1",
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short: &["sc"],
        categories: &[],
        namespaced: false,
        verbs: OBJECT_VERBS,
        storage: "storageclasses",
        schema: "io.k8s.api.storage.v1.StorageClass",
    })
};

/// Is it the one for claims that name none?
pub fn is_default(class: &StorageClass) -> bool {
    let annotations = class.metadata.annotations.as_ref();
    DEFAULT_CLASS.iter().any(|key| annotations.and_then(|annotations| annotations.get(*key)).is_some_and(|value| value == "true"))
}

fn shown_name(class: &StorageClass) -> String {
    let name = class.metadata.name.clone().unwrap_or_default();
    if is_default(class) { format!("{name} (default)") } else { name }
}

fn validate(class: &StorageClass, errors: &mut Errors) {
    match class.provisioner.as_str() {
        "" => errors.required("provisioner", ""),
        provisioner => report(errors, "provisioner", provisioner.to_lowercase(), content::label_key(&provisioner.to_lowercase())),
    }
    let parameters = class.parameters.iter().flatten();
    if parameters.clone().count() > MAX_PARAMETERS {
        errors.too_long("parameters", MAX_PARAMETERS);
    } else {
        parameters
            .clone()
            .filter(|(key, _)| key.is_empty())
            .for_each(|(key, _)| errors.invalid("parameters", key, "field can not be empty."));
        if parameters.map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_PARAMETER_BYTES {
            errors.too_long("parameters", MAX_PARAMETER_BYTES);
        }
    }
    match class.reclaim_policy.as_deref() {
        None | Some("" | "Delete" | "Retain") => {}
        Some(other) => errors.not_supported("reclaimPolicy", other, &["Delete", "Retain"]),
    }
    match class.volume_binding_mode.as_deref() {
        None => errors.required("volumeBindingMode", ""),
        Some("Immediate" | "WaitForFirstConsumer") => {}
        Some(other) => errors.not_supported("volumeBindingMode", other, &["Immediate", "WaitForFirstConsumer"]),
    }
    validate_topologies(class.allowed_topologies.as_deref().unwrap_or_default(), errors);
}

fn validate_topologies(terms: &[TopologySelectorTerm], errors: &mut Errors) {
    for (index, term) in terms.iter().enumerate() {
        let requirements = term.match_label_expressions.as_deref().unwrap_or_default();
        errors.each(
            &format!("allowedTopologies[{index}].matchLabelExpressions"),
            requirements.iter().enumerate(),
            |errors, (at, requirement)| {
                if requirement.values.is_empty() {
                    errors.required("values", "");
                }
                for (place, value) in
                    requirement.values.iter().enumerate().filter(|(place, value)| requirement.values[..*place].contains(value))
                {
                    errors.duplicate(&format!("values[{place}]"), value);
                }
                report(errors, "key", &requirement.key, content::label_key(&requirement.key));
                if requirements[..at].iter().any(|earlier| earlier.key == requirement.key) {
                    errors.duplicate("key", &requirement.key);
                }
            },
        );
        if terms[..index].contains(term) {
            errors.duplicate(&format!("allowedTopologies[{index}].matchLabelExpressions"), "");
        }
    }
}

#[cfg(test)]
pub const MINIMAL: &str =
    r#"{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"fast"},"provisioner":"example.com/disk"}"#;
