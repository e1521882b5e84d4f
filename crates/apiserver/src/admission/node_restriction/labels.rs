//! Which labels a kubelet may set on its node: those that describe it, none that would steer workloads to it.
use std::collections::BTreeMap;

const OWN: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
const OWN_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

type Labels = Option<BTreeMap<String, String>>;

/// Labels that were changed and may not be, sorted.
pub fn forbidden(new: &Labels, old: &Labels) -> Vec<String> {
    let get = |labels: &Labels, key: &String| labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    let keys: std::collections::BTreeSet<&String> = new.iter().flatten().chain(old.iter().flatten()).map(|(key, _)| key).collect();
    let changed = keys.into_iter().filter(|key| get(new, key) != get(old, key));
    changed.filter(|key| is_forbidden(key)).cloned().collect()
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map(|(domain, _)| domain).unwrap_or_default();
    let within = |root: &str| domain == root || domain.strip_suffix(root).is_some_and(|rest| rest.ends_with('.'));
    let kubernetes = within("kubernetes.io") || within("k8s.io");
    let own = OWN.contains(&label) || OWN_DOMAINS.iter().any(|root| within(root));
    within("node-restriction.kubernetes.io") || (kubernetes && !own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_kubernetes_are_mostly_not_the_kubelets() {
        for label in ["example.com/x", "x", "kubernetes.io/hostname", "node.kubernetes.io/x", "a.kubelet.kubernetes.io/x"] {
            assert!(!is_forbidden(label), "{label}");
        }
        for label in ["kubernetes.io/x", "node-role.kubernetes.io/control-plane", "a.node-restriction.kubernetes.io/x", "k8s.io/x"] {
            assert!(is_forbidden(label), "{label}");
        }
        let map = |pairs: &[(&str, &str)]| Some(pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect());
        let (old, new) = (map(&[("kubernetes.io/x", "1"), ("k8s.io/y", "1")]), map(&[("kubernetes.io/x", "1")]));
        assert_eq!(forbidden(&new, &old), ["k8s.io/y"]);
    }
}
