//! StatefulSet: pods of one template with names, volumes and an order of their own.
use super::template;
use crate::check::{
    OBJECT_VERBS, STATUS_VERBS, amount, at_most, at_most_all, column, int_or_percent, not_decremented, not_negatives, selector_text, wide,
};
use crate::core::pod::default_pod_template;
use crate::meta::{immutable, not_negative, report};
use k8s_openapi::api::apps::v1::{
    RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetStatus,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::content;
use machinery::errors::Errors;
use machinery::kind::{Kind, NameRule, Names, Scale, Subresource};
use machinery::table::{age_column, name_column};

pub static STATEFULSET: Kind<StatefulSet> = Kind {
    default,
    on_create: |set| {
        set.status = Some(StatefulSetStatus { available_replicas: Some(0), ..StatefulSetStatus::default() });
        set.metadata.generation = Some(1);
    },
    on_update: |new, old| {
        new.status = old.status.clone();
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + i64::from(new.spec != old.spec));
    },
    validate: |set, errors| errors.at("spec", |errors| validate(&set.spec, errors)),
    validate_update: |new, old, errors| errors.at("spec", |errors| validate_update(&new.spec, &old.spec, errors)),
    warnings: |set| {
        let negative = set.spec.revision_history_limit.is_some_and(|limit| limit < 0);
        let told = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
        negative.then(|| told.into()).into_iter().collect()
    },
    columns: &[
        name_column(),
        column("Ready", "string", |set, _| {
            format!("{}/{}", status(set).ready_replicas.unwrap_or(0), set.spec.replicas.unwrap_or(0)).into()
        }),
        age_column(),
        wide("Containers", |set, _| template::container_names(Some(&set.spec.template))),
        wide("Images", |set, _| template::images(Some(&set.spec.template))),
    ],
    subresources: &[Subresource {
        name: "status",
        verbs: STATUS_VERBS,
        prepare: |new, old| new.spec = old.spec.clone(),
        validate: |new, old, errors| errors.at("status", |errors| validate_status(&status(new), &status(old), errors)),
    }],
    scale: Some(Scale {
        replicas: |set| set.spec.replicas.unwrap_or(0),
        set_replicas: |set, replicas| set.spec.replicas = Some(replicas),
        status_replicas: |set| status(set).replicas,
        selector: |set| selector_text(&set.spec.selector),
    }),
    name: NameRule::DnsLabel,
    ..Kind::of(Names {
        group: "apps",
        version: "v1",
        kind: "StatefulSet",
        plural: "statefulsets",
        singular: "statefulset",
        short: &["sts"],
        categories: &["all"],
        namespaced: true,
        verbs: OBJECT_VERBS,
        storage: "statefulsets",
        schema: "io.k8s.api.apps.v1.StatefulSet",
    })
};

fn status(set: &StatefulSet) -> StatefulSetStatus {
    set.status.clone().unwrap_or_default()
}

fn default(set: &mut StatefulSet) {
    let spec = &mut set.spec;
    let unset = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    if unset(&spec.pod_management_policy) {
        spec.pod_management_policy = Some("OrderedReady".into());
    }
    let strategy = spec.update_strategy.get_or_insert_default();
    if unset(&strategy.type_) {
        strategy.type_ = Some("RollingUpdate".into());
        strategy.rolling_update.get_or_insert_default();
    }
    if let (Some("RollingUpdate"), Some(rolling)) = (strategy.type_.as_deref(), &mut strategy.rolling_update) {
        rolling.partition.get_or_insert(0);
        rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
    }
    let retention = spec.persistent_volume_claim_retention_policy.get_or_insert_default();
    for policy in [&mut retention.when_deleted, &mut retention.when_scaled] {
        if unset(policy) {
            *policy = Some("Retain".into());
        }
    }
    spec.service_name.get_or_insert_default();
    spec.replicas.get_or_insert(1);
    spec.revision_history_limit.get_or_insert(10);
    default_pod_template(&mut spec.template);
    for claim in spec.volume_claim_templates.iter_mut().flatten() {
        let spec = claim.spec.get_or_insert_default();
        spec.volume_mode.get_or_insert_with(|| "Filesystem".into());
        claim.status.get_or_insert_default().phase.get_or_insert_with(|| "Pending".into());
    }
}

fn validate(spec: &StatefulSetSpec, errors: &mut Errors) {
    match spec.pod_management_policy.as_deref().unwrap_or_default() {
        "" => errors.required("podManagementPolicy", ""),
        "OrderedReady" | "Parallel" => {}
        other => errors.invalid("podManagementPolicy", other, "must be 'OrderedReady' or 'Parallel'"),
    }
    errors.at("updateStrategy", |errors| validate_strategy(spec.update_strategy.as_ref(), errors));
    if let Some(policy) = &spec.persistent_volume_claim_retention_policy {
        errors.at("persistentVolumeClaimRetentionPolicy", |errors| validate_retention(policy, errors));
    }
    not_negatives(errors, [("replicas", spec.replicas), ("minReadySeconds", spec.min_ready_seconds)]);
    not_negatives(errors, [("ordinals.start", spec.ordinals.as_ref().and_then(|ordinals| ordinals.start))]);
    if let Some(service) = spec.service_name.as_deref().filter(|service| !service.is_empty()) {
        report(errors, "serviceName", service, content::dns_label(service));
    }
    template::validate(errors, &spec.selector, &template_with_claims(spec), "StatefulSet", "statefulset");
}

/// The template as its pods will have it: claims are volumes there.
fn template_with_claims(spec: &StatefulSetSpec) -> PodTemplateSpec {
    let mut template = spec.template.clone();
    let Some(pod) = &mut template.spec else { return template };
    (pod.subdomain, pod.hostname) = (None, None);
    for name in spec.volume_claim_templates.iter().flatten().filter_map(|claim| claim.metadata.name.clone()) {
        let volumes = pod.volumes.get_or_insert_default();
        volumes.retain(|volume| volume.name != name);
        let claim = PersistentVolumeClaimVolumeSource { claim_name: name.clone(), read_only: None };
        volumes.push(Volume { name, persistent_volume_claim: Some(claim), ..Volume::default() });
    }
    template
}

fn validate_strategy(strategy: Option<&StatefulSetUpdateStrategy>, errors: &mut Errors) {
    let unset = StatefulSetUpdateStrategy::default();
    let strategy = strategy.unwrap_or(&unset);
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("", _) => errors.required("", ""),
        ("OnDelete", Some(rolling)) => errors.invalid("rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'"),
        ("OnDelete", None) | ("RollingUpdate", None) => {}
        ("RollingUpdate", Some(rolling)) => errors.at("rollingUpdate", |errors| validate_rolling(rolling, errors)),
        _ => errors.invalid("", strategy, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

fn validate_rolling(rolling: &RollingUpdateStatefulSetStrategy, errors: &mut Errors) {
    not_negatives(errors, [("partition", rolling.partition)]);
    if let Some(unavailable) = &rolling.max_unavailable {
        int_or_percent(errors, "maxUnavailable", unavailable);
        if amount(unavailable) == 0 {
            errors.invalid("maxUnavailable", unavailable, "cannot be 0");
        }
        at_most_all(errors, "maxUnavailable", unavailable);
    }
}

fn validate_retention(policy: &StatefulSetPersistentVolumeClaimRetentionPolicy, errors: &mut Errors) {
    for (field, value) in [("whenDeleted", &policy.when_deleted), ("whenScaled", &policy.when_scaled)] {
        let value = value.as_deref().unwrap_or_default();
        if value != "Retain" && value != "Delete" {
            errors.not_supported(field, value, &["Retain", "Delete"]);
        }
    }
}

fn validate_update(new: &StatefulSetSpec, old: &StatefulSetSpec, errors: &mut Errors) {
    immutable(errors, "selector", &new.selector, &old.selector);
    immutable(errors, "volumeClaimTemplates", &new.volume_claim_templates, &old.volume_claim_templates);
    immutable(errors, "serviceName", &new.service_name, &old.service_name);
    immutable(errors, "podManagementPolicy", &new.pod_management_policy, &old.pod_management_policy);
}

fn validate_status(new: &StatefulSetStatus, old: &StatefulSetStatus, errors: &mut Errors) {
    not_negatives(
        errors,
        [
            ("replicas", Some(new.replicas)),
            ("readyReplicas", new.ready_replicas),
            ("currentReplicas", new.current_replicas),
            ("updatedReplicas", new.updated_replicas),
            ("availableReplicas", new.available_replicas),
        ],
    );
    not_negative(errors, "observedGeneration", new.observed_generation.unwrap_or(0));
    not_negatives(errors, [("collisionCount", new.collision_count)]);
    let (all, why) = (Some(new.replicas), "cannot be greater than status.replicas");
    at_most(errors, "readyReplicas", new.ready_replicas, all, why);
    at_most(errors, "currentReplicas", new.current_replicas, all, why);
    at_most(errors, "updatedReplicas", new.updated_replicas, all, why);
    at_most(errors, "availableReplicas", new.available_replicas, all, why);
    at_most(errors, "availableReplicas", new.available_replicas, new.ready_replicas, "cannot be greater than status.readyReplicas");
    not_decremented(errors, "collisionCount", new.collision_count, old.collision_count);
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"web","namespace":"x"},"spec":{"serviceName":"web",
    "selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
