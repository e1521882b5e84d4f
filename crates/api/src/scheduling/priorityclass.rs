//! PriorityClass: a name for how important pods are.
use crate::check::{OBJECT_VERBS, column};
use crate::meta::immutable;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use machinery::errors::Errors;
use machinery::kind::{Kind, Names};
use machinery::table::{age_column, name_column};

/// Above it are only the system's own.
pub const HIGHEST_USER_PRIORITY: i32 = 1_000_000_000;
/// The system's classes, which the API server makes itself.
pub const SYSTEM: [(&str, i32); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

pub static PRIORITYCLASS: Kind<PriorityClass> = Kind {
    default: |class| {
        class.preemption_policy.get_or_insert_with(|| "PreemptLowerPriority".into());
    },
    on_create: |class| class.metadata.generation = Some(1),
    validate,
    validate_update: |new, old, errors| {
        if new.value.unwrap_or(0) != old.value.unwrap_or(0) {
            errors.forbidden("value", "may not be changed in an update.");
        }
        immutable(errors, "preemptionPolicy", &new.preemption_policy, &old.preemption_policy);
    },
    columns: &[
        name_column(),
        column("Value", "integer", |class, _| class.value.unwrap_or(0).into()),
        column("Global-Default", "boolean", |class, _| class.global_default.unwrap_or(false).into()),
        age_column(),
        column("PreemptionPolicy", "string", |class, _| class.preemption_policy.clone().unwrap_or_default().into()),
    ],
    ..Kind::of(Names {
        group: "scheduling.k8s.io",
        version: "v1",
        kind: "PriorityClass",
        plural: "priorityclasses",
        singular: "priorityclass",
        short: &["pc"],
        categories: &[],
        namespaced: false,
        verbs: OBJECT_VERBS,
        storage: "priorityclasses",
        schema: "io.k8s.api.scheduling.v1.PriorityClass",
    })
};

fn validate(class: &PriorityClass, errors: &mut Errors) {
    let (name, value) = (class.metadata.name.as_deref().unwrap_or_default(), class.value.unwrap_or(0));
    if name.starts_with("system-") {
        if let Some(problem) = system_problem(name, value, class.global_default.unwrap_or(false)) {
            let why = format!("priority class names with 'system-' prefix are reserved for system use only. error: {problem}");
            errors.forbidden("metadata.name", &why);
        }
    } else if value > HIGHEST_USER_PRIORITY {
        errors.forbidden("value", &format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"));
    }
    match class.preemption_policy.as_deref() {
        None | Some("PreemptLowerPriority" | "Never") => {}
        Some("") => errors.required("preemptionPolicy", ""),
        Some(other) => errors.not_supported("preemptionPolicy", other, &["PreemptLowerPriority", "Never"]),
    }
}

fn system_problem(name: &str, value: i32, global_default: bool) -> Option<String> {
    match SYSTEM.iter().find(|(system, _)| *system == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, expected)) if value != *expected => Some(format!("value of {name} PriorityClass must be {expected}")),
        Some(_) => global_default.then(|| format!("globalDefault of {name} PriorityClass must be false")),
    }
}

#[cfg(test)]
pub const MINIMAL: &str = r#"{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"high"},"value":1000}"#;
