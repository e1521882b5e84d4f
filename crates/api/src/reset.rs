//! Which fields a door takes back from whoever writes through it, so that no manager comes to own them by it: the status by the
//! object's own door, the rest by the status's. Exceptions are the original's.

type Paths = &'static [&'static [&'static str]];

const NOTHING: Paths = &[];
const STATUS: Paths = &[&["status"]];
const SPEC: Paths = &[&["spec"]];
const SPEC_AND_METADATA: Paths = &[&["metadata"], &["spec"]];

/// Resources whose status door takes back the metadata as well.
const METADATA_TOO: &[(&str, &str)] = &[
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("certificates.k8s.io", "podcertificaterequests"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    ("internal.apiserver.k8s.io", "storageversions"),
    ("networking.k8s.io", "servicecidrs"),
    ("resource.k8s.io", "devicetaintrules"),
    ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "resourcepoolstatusrequests"),
    ("scheduling.k8s.io", "compositepodgroups"),
    ("scheduling.k8s.io", "podgroups"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "volumeattachments"),
    ("storagemigration.k8s.io", "storageversionmigrations"),
];

/// For a write to the object itself (empty `subresource`) or to one of its subresources. `has_status`: is there a status door?
pub fn reset_fields(group: &str, plural: &str, subresource: &str, has_status: bool) -> Paths {
    match (group, plural, subresource) {
        ("certificates.k8s.io", "certificatesigningrequests", "") => &[&["spec"], &["status"]],
        ("certificates.k8s.io", "certificatesigningrequests", "status") => &[&["spec"], &["status", "conditions"]],
        ("certificates.k8s.io", "certificatesigningrequests", "approval") => &[&["spec"], &["status", "certificate"]],
        ("apps", "deployments", "status") => &[&["metadata", "labels"], &["spec"]],
        ("", "pods", "status") => &[&["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"], &["spec"]],
        (group, plural, "status") if METADATA_TOO.contains(&(group, plural)) => SPEC_AND_METADATA,
        (_, _, "status") => SPEC,
        _ if has_status => STATUS,
        _ => NOTHING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_name_resources_that_exist() {
        for (group, plural) in METADATA_TOO {
            let served = crate::registry().all().iter().map(|entry| entry.kind.names());
            let known = served.into_iter().any(|names| (names.group, names.plural) == (*group, *plural));
            assert!(known || *plural == "storageversions" || *plural == "resourcepoolstatusrequests", "{group} {plural}");
        }
        assert_eq!(reset_fields("apps", "daemonsets", "status", true), SPEC);
        assert_eq!(reset_fields("", "configmaps", "", false), NOTHING);
    }
}
