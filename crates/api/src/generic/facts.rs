//! What differs between generic kinds, as data: selectable fields, how they are updated.
use machinery::kind::NameRule;
use machinery::object::Dynamic;

pub struct Facts {
    group: &'static str,
    plurals: &'static [&'static str],
    pub fields: &'static [&'static str],
    /// Does the server count changes of what is wanted in `metadata.generation`?
    pub generation: bool,
    pub spec_immutable: bool,
    pub create_on_update: bool,
    pub unconditional_update: bool,
    pub name: NameRule,
    pub default: fn(&mut Dynamic),
}

const PLAIN: Facts = Facts {
    group: "",
    plurals: &[],
    fields: &[],
    generation: false,
    spec_immutable: false,
    create_on_update: false,
    unconditional_update: true,
    name: NameRule::DnsSubdomain,
    default: |_| {},
};

static DEFAULT: Facts = PLAIN;

static ALL: &[Facts] = &[
    Facts {
        group: "admissionregistration.k8s.io",
        plurals: &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
        generation: true,
        unconditional_update: false,
        ..PLAIN
    },
    Facts {
        group: "apiextensions.k8s.io",
        plurals: &["customresourcedefinitions"],
        generation: true,
        unconditional_update: false,
        ..PLAIN
    },
    Facts { group: "apiregistration.k8s.io", plurals: &["apiservices"], unconditional_update: false, ..PLAIN },
    Facts { group: "apps", plurals: &["statefulsets", "daemonsets", "deployments", "replicasets"], generation: true, ..PLAIN },
    Facts { group: "batch", plurals: &["jobs"], generation: true, fields: &["status.successful"], ..PLAIN },
    Facts { group: "batch", plurals: &["cronjobs"], generation: true, ..PLAIN },
    Facts { group: "autoscaling", plurals: &["horizontalpodautoscalers"], generation: true, ..PLAIN },
    Facts { group: "certificates.k8s.io", plurals: &["certificatesigningrequests"], fields: &["spec.signerName"], ..PLAIN },
    Facts {
        group: "certificates.k8s.io",
        plurals: &["clustertrustbundles"],
        fields: &["spec.signerName"],
        unconditional_update: false,
        // `signer.example.org:foo:one`: the part before the last colon is the signer's.
        name: NameRule::PathSegment,
        ..PLAIN
    },
    Facts {
        group: "certificates.k8s.io",
        plurals: &["podcertificaterequests"],
        fields: &["spec.signerName", "spec.podName", "spec.nodeName"],
        unconditional_update: false,
        ..PLAIN
    },
    Facts { group: "coordination.k8s.io", plurals: &["leasecandidates"], create_on_update: true, unconditional_update: false, ..PLAIN },
    Facts { group: "flowcontrol.apiserver.k8s.io", plurals: &["flowschemas", "prioritylevelconfigurations"], generation: true, ..PLAIN },
    Facts { group: "internal.apiserver.k8s.io", plurals: &["storageversions"], unconditional_update: false, ..PLAIN },
    Facts {
        group: "lifecycle.k8s.io",
        plurals: &["evictions", "evictionrequests"],
        generation: true,
        unconditional_update: false,
        ..PLAIN
    },
    Facts { group: "networking.k8s.io", plurals: &["networkpolicies", "ingresses", "ingressclasses"], generation: true, ..PLAIN },
    // The name is the address, with colons in version 6.
    Facts { group: "networking.k8s.io", plurals: &["ipaddresses"], name: NameRule::PathSegment, ..PLAIN },
    Facts { group: "node.k8s.io", plurals: &["runtimeclasses"], create_on_update: true, unconditional_update: false, ..PLAIN },
    Facts { group: "resource.k8s.io", plurals: &["deviceclasses", "devicetaintrules"], generation: true, ..PLAIN },
    Facts {
        group: "resource.k8s.io",
        plurals: &["resourceslices"],
        generation: true,
        fields: &["spec.nodeName", "spec.driver", "spec.pool.name"],
        ..PLAIN
    },
    Facts { group: "resource.k8s.io", plurals: &["resourceclaims", "resourceclaimtemplates"], spec_immutable: true, ..PLAIN },
    Facts {
        group: "resource.k8s.io",
        plurals: &["resourcepoolstatusrequests"],
        spec_immutable: true,
        unconditional_update: false,
        ..PLAIN
    },
    Facts { group: "scheduling.k8s.io", plurals: &["podgroups", "compositepodgroups", "workloads"], unconditional_update: false, ..PLAIN },
    Facts {
        group: "storage.k8s.io",
        plurals: &["csidrivers", "csistoragecapacities", "volumeattachments", "csinodes"],
        unconditional_update: false,
        ..PLAIN
    },
    Facts { group: "storagemigration.k8s.io", plurals: &["storageversionmigrations"], unconditional_update: false, ..PLAIN },
];

pub fn of(group: &str, plural: &str) -> &'static Facts {
    ALL.iter().find(|facts| facts.group == group && facts.plurals.contains(&plural)).unwrap_or(&DEFAULT)
}
