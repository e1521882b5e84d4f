//! Printer columns of generic kinds, after the name.
use super::{at, text};
use jiff::Timestamp;
use machinery::object::Dynamic;
use machinery::table;
use serde_json::Value;

pub struct Shown {
    pub name: &'static str,
    pub kind: &'static str,
    pub cell: fn(&Dynamic, Timestamp) -> Value,
}

const fn shown(name: &'static str, cell: fn(&Dynamic, Timestamp) -> Value) -> Shown {
    Shown { name, kind: "string", cell }
}

const fn count(name: &'static str, cell: fn(&Dynamic, Timestamp) -> Value) -> Shown {
    Shown { name, kind: "integer", cell }
}

const fn flag(name: &'static str, cell: fn(&Dynamic, Timestamp) -> Value) -> Shown {
    Shown { name, kind: "boolean", cell }
}

pub const AGE: Shown = shown("Age", |object, now| table::age(object.metadata.creation_timestamp.as_ref(), now).into());
const CREATED: Shown = Shown {
    name: "Created At",
    kind: "date",
    cell: |object, _| serde_json::to_value(&object.metadata.creation_timestamp).unwrap_or_default(),
};

const PLAIN: &[Shown] = &[AGE];

/// The columns of a resource.
pub fn of(group: &str, plural: &str) -> &'static [Shown] {
    match (group, plural) {
        ("admissionregistration.k8s.io", plural) => admission(plural),
        ("apiextensions.k8s.io", _) => const { &[CREATED] },
        ("apiregistration.k8s.io", _) => SERVICES,
        ("certificates.k8s.io", "clustertrustbundles") => {
            const { &[shown("SignerName", |object, _| or(object, "spec.signerName", "<none>"))] }
        }
        ("certificates.k8s.io", "podcertificaterequests") => POD_CERTIFICATES,
        ("coordination.k8s.io", "leasecandidates") => CANDIDATES,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => FLOW_SCHEMAS,
        ("flowcontrol.apiserver.k8s.io", _) => PRIORITY_LEVELS,
        ("networking.k8s.io", "servicecidrs") => const { &[shown("CIDRs", |object, _| joined(at(object, "spec.cidrs"))), AGE] },
        ("networking.k8s.io", "ipaddresses") => const { &[shown("ParentRef", |object, _| parent(object))] },
        ("node.k8s.io", _) => const { &[shown("Handler", |object, _| or(object, "handler", "")), AGE] },
        ("resource.k8s.io", "resourceclaims") => const { &[shown("State", |object, _| claim_state(object).into()), AGE] },
        ("resource.k8s.io", "resourceslices") => SLICES,
        ("resource.k8s.io", "devicetaintrules") => TAINTS,
        ("storage.k8s.io", plural) => storage(plural),
        ("storagemigration.k8s.io", _) => MIGRATIONS,
        ("scheduling.k8s.io", "podgroups" | "compositepodgroups") => GROUPS,
        _ => PLAIN,
    }
}

fn or(object: &Dynamic, path: &str, absent: &str) -> Value {
    let found = text(at(object, path));
    if found.is_empty() { absent.into() } else { found.into() }
}

fn joined(list: &Value) -> Value {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().map(text).collect::<Vec<_>>().join(",").into()
}

fn length(object: &Dynamic, path: &str) -> Value {
    at(object, path).as_array().map_or(0, Vec::len).into()
}

/// The status of a condition, or of the first true one among several.
fn condition<'a>(object: &'a Dynamic, kind: &str) -> Option<&'a str> {
    let conditions = at(object, "status.conditions").as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind).and_then(|condition| condition["status"].as_str())
}

fn admission(plural: &str) -> &'static [Shown] {
    const PARAM_KIND: Shown = shown("ParamKind", |object, _| match at(object, "spec.paramKind") {
        Value::Null => "<unset>".into(),
        kind => format!("{}/{}", text(&kind["apiVersion"]), text(&kind["kind"])).into(),
    });
    const PARAM_REF: Shown = shown("ParamRef", |object, _| {
        let (name, namespace) = (text(at(object, "spec.paramRef.name")), text(at(object, "spec.paramRef.namespace")));
        match (name.as_str(), namespace.as_str()) {
            ("", _) => "<unset>".into(),
            (name, "") => format!("*/{name}").into(),
            (name, namespace) => format!("{namespace}/{name}").into(),
        }
    });
    match plural {
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => {
            const { &[count("Webhooks", |object, _| length(object, "webhooks")), AGE] }
        }
        "validatingadmissionpolicies" => const { &[count("Validations", |object, _| length(object, "spec.validations")), PARAM_KIND, AGE] },
        "mutatingadmissionpolicies" => const { &[count("Mutations", |object, _| length(object, "spec.mutations")), PARAM_KIND, AGE] },
        _ => const { &[shown("PolicyName", |object, _| or(object, "spec.policyName", "")), PARAM_REF, AGE] },
    }
}

fn storage(plural: &str) -> &'static [Shown] {
    match plural {
        "csidrivers" => DRIVERS,
        "csinodes" => const { &[count("Drivers", |object, _| length(object, "spec.drivers")), AGE] },
        "csistoragecapacities" => {
            const {
                &[
                    shown("StorageClassName", |object, _| or(object, "storageClassName", "")),
                    shown("Capacity", |object, _| or(object, "capacity", "<unset>")),
                ]
            }
        }
        "volumeattachments" => ATTACHMENTS,
        "volumeattributesclasses" => const { &[shown("DriverName", |object, _| or(object, "driverName", "")), AGE] },
        _ => PLAIN,
    }
}

const SERVICES: &[Shown] = &[
    shown("Service", |object, _| match at(object, "spec.service") {
        Value::Null => "Local".into(),
        service => format!("{}/{}", text(&service["namespace"]), text(&service["name"])).into(),
    }),
    shown("Available", |object, _| condition(object, "Available").unwrap_or("Unknown").into()),
    AGE,
];

const POD_CERTIFICATES: &[Shown] = &[
    shown("PodName", |object, _| or(object, "spec.podName", "")),
    shown("ServiceAccountName", |object, _| or(object, "spec.serviceAccountName", "")),
    shown("NodeName", |object, _| or(object, "spec.nodeName", "")),
    shown("SignerName", |object, _| or(object, "spec.signerName", "")),
    shown("State", |object, _| {
        let reached = ["Failed", "Denied", "Issued"].into_iter().find(|state| condition(object, state).is_some());
        reached.unwrap_or("Pending").into()
    }),
];

const CANDIDATES: &[Shown] = &[
    shown("LeaseName", |object, _| or(object, "spec.leaseName", "")),
    shown("BinaryVersion", |object, _| or(object, "spec.binaryVersion", "")),
    shown("EmulationVersion", |object, _| or(object, "spec.emulationVersion", "")),
    AGE,
];

const FLOW_SCHEMAS: &[Shown] = &[
    shown("PriorityLevel", |object, _| or(object, "spec.priorityLevelConfiguration.name", "")),
    shown("MatchingPrecedence", |object, _| at(object, "spec.matchingPrecedence").as_i64().unwrap_or(0).into()),
    shown("DistinguisherMethod", |object, _| or(object, "spec.distinguisherMethod.type", "<none>")),
    AGE,
    shown("MissingPL", |object, _| condition(object, "Dangling").unwrap_or("?").into()),
];

const PRIORITY_LEVELS: &[Shown] = &[
    shown("Type", |object, _| or(object, "spec.type", "")),
    shown("NominalConcurrencyShares", |object, _| number(object, "spec.limited.nominalConcurrencyShares")),
    shown("Queues", |object, _| number(object, "spec.limited.limitResponse.queuing.queues")),
    shown("HandSize", |object, _| number(object, "spec.limited.limitResponse.queuing.handSize")),
    shown("QueueLengthLimit", |object, _| number(object, "spec.limited.limitResponse.queuing.queueLengthLimit")),
    AGE,
];

fn number(object: &Dynamic, path: &str) -> Value {
    match at(object, path) {
        Value::Null => "<none>".into(),
        number => number.clone(),
    }
}

fn parent(object: &Dynamic) -> Value {
    let parent = at(object, "spec.parentRef");
    if parent.is_null() {
        return "<none>".into();
    }
    let resource = machinery::status::qualified(&text(&parent["group"]), &text(&parent["resource"])).to_lowercase();
    let parts = [resource, text(&parent["namespace"]), text(&parent["name"])];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/").into()
}

fn claim_state(object: &Dynamic) -> String {
    let mut states = Vec::new();
    let deleted = object.metadata.deletion_timestamp.is_some();
    if deleted {
        states.push("deleted");
    }
    if !at(object, "status.allocation").is_null() {
        states.push("allocated");
        if at(object, "status.reservedFor").as_array().is_some_and(|list| !list.is_empty()) {
            states.push("reserved");
        }
    } else if !deleted {
        states.push("pending");
    }
    states.join(",")
}

const SLICES: &[Shown] = &[
    shown("Node", |object, _| or(object, "spec.nodeName", "")),
    shown("Driver", |object, _| or(object, "spec.driver", "")),
    shown("Pool", |object, _| or(object, "spec.pool.name", "")),
    AGE,
];

const TAINTS: &[Shown] = &[
    shown("Key", |object, _| or(object, "spec.taint.key", "")),
    shown("Value", |object, _| or(object, "spec.taint.value", "")),
    shown("Effect", |object, _| or(object, "spec.taint.effect", "")),
    shown("TimeAdded", |object, now| {
        let added = serde_json::from_value(at(object, "spec.taint.timeAdded").clone()).ok();
        table::age(added.as_ref(), now).into()
    }),
    AGE,
];

const DRIVERS: &[Shown] = &[
    flag("AttachRequired", |object, _| at(object, "spec.attachRequired").as_bool().unwrap_or(true).into()),
    flag("PodInfoOnMount", |object, _| at(object, "spec.podInfoOnMount").as_bool().unwrap_or(false).into()),
    flag("StorageCapacity", |object, _| at(object, "spec.storageCapacity").as_bool().unwrap_or(false).into()),
    shown("TokenRequests", |object, _| match at(object, "spec.tokenRequests").as_array() {
        None => "<unset>".into(),
        Some(list) => list.iter().map(|request| text(&request["audience"])).collect::<Vec<_>>().join(",").into(),
    }),
    flag("RequiresRepublish", |object, _| at(object, "spec.requiresRepublish").as_bool().unwrap_or(false).into()),
    shown("Modes", |object, _| match joined(at(object, "spec.volumeLifecycleModes")) {
        Value::String(modes) if modes.is_empty() => "<none>".into(),
        modes => modes,
    }),
    AGE,
];

const ATTACHMENTS: &[Shown] = &[
    shown("Attacher", |object, _| or(object, "spec.attacher", "")),
    shown("PV", |object, _| or(object, "spec.source.persistentVolumeName", "")),
    shown("Node", |object, _| or(object, "spec.nodeName", "")),
    flag("Attached", |object, _| at(object, "status.attached").as_bool().unwrap_or(false).into()),
    AGE,
];

const MIGRATIONS: &[Shown] = &[
    shown("Resource", |object, _| {
        let resource = at(object, "spec.resource");
        machinery::status::qualified(&text(&resource["group"]), &text(&resource["resource"])).into()
    }),
    shown("Status", |object, _| {
        let reached = ["Succeeded", "Failed", "Running"].into_iter().find(|state| condition(object, state) == Some("True"));
        reached.unwrap_or("Unknown").into()
    }),
];

const GROUPS: &[Shown] = &[
    shown("Policy", |object, _| if at(object, "spec.schedulingPolicy.gang").is_null() { "Basic" } else { "Gang" }.into()),
    shown("Workload", |object, _| or(object, "spec.workloadRef.workloadName", "<none>")),
    AGE,
];
