//! Names of resources (`cpu`, `hugepages-2Mi`, `example.com/gpu`) and the checks of amounts that every place with a resource list shares.
use crate::access::{ApiQuantity, amount};
use crate::meta::{NOT_NEGATIVE, report};
use machinery::content;
use machinery::errors::Errors;
use machinery::quantity::Quantity;

const CONTAINER: &[&str] = &["cpu", "memory", "ephemeral-storage"];
const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
const INTEGER: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

pub fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_huge_page(name) || name.starts_with("requests.hugepages-")
}

/// Without a domain, or of kubernetes.io.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

pub fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && content::label_key(&format!("requests.{name}")).is_empty()
}

pub fn is_overcommittable(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// May stand at the level of a pod.
pub fn is_pod_level(name: &str) -> bool {
    name == "cpu" || name == "memory" || is_huge_page(name)
}

pub fn is_integer(name: &str) -> bool {
    INTEGER.contains(&name) || is_extended(name)
}

/// Checks a name that any resource list may hold; says whether it is well formed.
pub fn name(errors: &mut Errors, name: &str) -> bool {
    let problems = content::label_key(name);
    let formed = problems.is_empty();
    report(errors, "", name, problems);
    if formed && !name.contains('/') && !is_standard(name) {
        errors.invalid("", name, "must be a standard resource type or fully qualified");
        return false;
    }
    formed
}

/// Checks the name of a container's resource.
pub fn container_name(errors: &mut Errors, resource: &str) {
    name(errors, resource);
    if !resource.contains('/') {
        if !CONTAINER.contains(&resource) && !is_huge_page(resource) {
            errors.invalid("", resource, "must be a standard resource for containers");
        }
    } else if !is_native(resource) && !is_extended(resource) {
        errors.invalid("", resource, "doesn't follow extended resource name standard");
    }
}

/// Checks the name of a resource at the level of a pod.
pub fn pod_name(errors: &mut Errors, resource: &str) {
    if name(errors, resource) && !is_pod_level(resource) {
        errors.not_supported("", resource, &["cpu", "hugepages-", "memory"]);
    }
}

/// Checks an amount: not negative, whole where parts make no sense.
pub fn quantity(errors: &mut Errors, resource: &str, quantity: &ApiQuantity) {
    let value = match Quantity::try_from(quantity) {
        Ok(value) => value,
        Err(error) => return errors.invalid("", &quantity.0, &error.to_string()),
    };
    if value < Quantity::ZERO {
        errors.invalid("", value.to_string(), NOT_NEGATIVE);
    }
    if is_integer(resource) && value.milli() % 1000 != 0 {
        errors.invalid("", value.to_string(), "must be an integer");
    }
}

/// Checks that huge pages are asked for in whole pages.
pub fn whole_pages(errors: &mut Errors, resource: &str, quantity: &ApiQuantity) {
    let Some(size) = resource.strip_prefix("hugepages-") else { return };
    let page = Quantity::parse(size).map(|page| page.value()).unwrap_or(0);
    let value = amount(quantity);
    if page <= 0 || value.value() % page != 0 {
        errors.invalid("", value.to_string(), &format!("{value} is not positive integer multiple of {resource}"));
    }
}
