//! PodSecurity: namespaces name a level of the Pod Security Standards by label; pods beyond it are refused (`enforce`), or their
//! makers warned (`warn`). Controllers' templates only warn. Namespaces that change their level are told about pods there.
mod baseline;
pub mod checks;
pub mod policy;
mod restricted;

use super::object::view;
use super::{Context, Step, refuse, writes};
use crate::own_writes::{find, list};
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use checks::Violations;
use k8s_openapi::api::core::v1::{Namespace, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::errors::Errors;
use machinery::object::AnyObject;
use machinery::status::Status;
use policy::{Level, LevelVersion, Policy};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Store;

/// Pods looked at when a namespace changes its level.
const MAX_PODS: usize = 3000;
const POD_SUBRESOURCES: [&str; 3] = ["", "ephemeralcontainers", "resize"];
const CONTROLLERS: [(&str, &str); 8] = [
    ("", "replicationcontrollers"),
    ("", "podtemplates"),
    ("apps", "replicasets"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("batch", "jobs"),
    ("batch", "cronjobs"),
];

pub struct PodSecurity {
    store: Arc<dyn Store>,
}

impl PodSecurity {
    pub fn new(context: &Context) -> PodSecurity {
        PodSecurity { store: context.store.clone() }
    }

    async fn labels(&self, namespace: &str) -> Result<Option<BTreeMap<String, String>>, Status> {
        let found = find::<Namespace>(&*self.store, &format!("/registry/namespaces/{namespace}")).await?;
        Ok(found.map(|namespace| namespace.metadata.labels.clone().unwrap_or_default()))
    }

    async fn check_pod(&self, request: &AdmissionRequest<'_>, object: &dyn AnyObject) -> Result<(), Status> {
        let Some(pod) = view::<Pod>(object) else { return Ok(()) };
        let namespace = &request.attributes.namespace;
        let missing = || Status::internal(format!("failed to lookup namespace {namespace:?}"));
        let (policy, _) = Policy::of(&self.labels(namespace).await?.ok_or_else(missing)?);
        let old = request.old.and_then(view::<Pod>);
        if policy.is_privileged() || (request.operation == Operation::Update && old.is_some_and(|old| !is_significant(&pod, &old))) {
            return Ok(());
        }
        let spec = pod.spec.clone().unwrap_or_default();
        let violations = checks::evaluate(policy.enforce, &pod.metadata, &spec);
        if !violations.is_empty() {
            let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, violations.detail());
            return Err(refuse(request, Some(object), why));
        }
        warn(request, policy.warn, &pod.metadata, &spec);
        Ok(())
    }

    async fn check_template(&self, request: &AdmissionRequest<'_>, object: &dyn AnyObject) -> Result<(), Status> {
        let Some(labels) = self.labels(&request.attributes.namespace).await? else { return Ok(()) };
        let (policy, _) = Policy::of(&labels);
        if policy.warn.level == Level::Privileged {
            return Ok(());
        }
        if let Some(template) = template_of(object) {
            warn(request, policy.warn, &template.metadata.unwrap_or_default(), &template.spec.unwrap_or_default());
        }
        Ok(())
    }

    async fn check_namespace(&self, request: &AdmissionRequest<'_>, object: &dyn AnyObject) -> Result<(), Status> {
        let labels = |object: &dyn AnyObject| object.meta().labels.clone().unwrap_or_default();
        let (new, wrong) = Policy::of(&labels(object));
        let old = request.old.map(|old| Policy::of(&labels(old)));
        let was_wrong = old.as_ref().map(|(_, wrong)| wrong.clone()).unwrap_or_default();
        let name = object.meta().name.clone().unwrap_or_default();
        if !wrong.is_empty() && wrong != was_wrong {
            let mut errors = Errors::default();
            for (label, value, detail) in wrong {
                errors.invalid(&format!("metadata.labels[{label}]"), value, detail);
            }
            return errors.into_result("", "Namespace", &name);
        }
        let Some((old, _)) = old else { return Ok(()) };
        let (new, old) = (new.enforce, old.enforce);
        let laxer = new.version == old.version && new.level <= old.level;
        if new != old && new.level != Level::Privileged && !laxer {
            for warning in self.existing(&name, new).await? {
                request.warnings.add(warning);
            }
        }
        Ok(())
    }

    /// Warnings about the pods that are there, those of one kind of violation together.
    async fn existing(&self, namespace: &str, enforce: LevelVersion) -> Result<Vec<String>, Status> {
        let pods = list::<Pod>(&*self.store, &format!("/registry/pods/{namespace}/")).await?;
        let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in pods.iter().take(MAX_PODS) {
            let violations = checks::evaluate(enforce, &pod.metadata, &pod.spec.clone().unwrap_or_default());
            if !violations.is_empty() {
                by_reason.entry(violations.reason()).or_default().push(pod.metadata.name.clone().unwrap_or_default());
            }
        }
        let mut warnings = Vec::new();
        if pods.len() > MAX_PODS {
            let total = pods.len();
            warnings.push(format!("new PodSecurity enforce level only checked against the first {MAX_PODS} of {total} existing pods"));
        }
        if !by_reason.is_empty() {
            warnings.push(format!("existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{enforce}\""));
        }
        let mut details: Vec<String> = by_reason.iter().map(|(reason, names)| counted(reason, names)).collect();
        details.sort();
        warnings.extend(details);
        Ok(warnings)
    }
}

fn counted(reason: &str, names: &[String]) -> String {
    let first = names.iter().min().cloned().unwrap_or_default();
    match names.len() {
        1 => format!("{first}: {reason}"),
        2 => format!("{first} (and 1 other pod): {reason}"),
        more => format!("{first} (and {} other pods): {reason}", more - 1),
    }
}

#[async_trait]
impl Step for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        let attributes = request.attributes;
        let (group, resource, subresource) = (attributes.group.as_str(), attributes.resource.as_str(), attributes.subresource.as_str());
        let wanted = match (group, resource) {
            ("", "pods") => POD_SUBRESOURCES.contains(&subresource),
            ("", "namespaces") => subresource.is_empty(),
            other => subresource.is_empty() && CONTROLLERS.contains(&other),
        };
        writes(request) && wanted
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        match request.attributes.resource.as_str() {
            "pods" => self.check_pod(request, object).await,
            "namespaces" => self.check_namespace(request, object).await,
            _ => self.check_template(request, object).await,
        }
    }
}

fn warn(request: &AdmissionRequest<'_>, level: LevelVersion, meta: &ObjectMeta, spec: &PodSpec) {
    let violations: Violations = checks::evaluate(level, meta, spec);
    if !violations.is_empty() {
        request.warnings.add(format!("would violate PodSecurity \"{level}\": {}", violations.detail()));
    }
}

/// Only what a policy looks at can change in a running pod: images, and ephemeral containers.
fn is_significant(new: &Pod, old: &Pod) -> bool {
    let spec = |pod: &Pod| pod.spec.clone().unwrap_or_default();
    let (new, old) = (spec(new), spec(old));
    let images = |containers: Option<&Vec<k8s_openapi::api::core::v1::Container>>| {
        containers.into_iter().flatten().map(|container| container.image.clone()).collect::<Vec<_>>()
    };
    let plain = images(Some(&new.containers)) != images(Some(&old.containers));
    let init = images(new.init_containers.as_ref()) != images(old.init_containers.as_ref());
    let known: BTreeMap<_, _> = old.ephemeral_containers.into_iter().flatten().map(|container| (container.name, container.image)).collect();
    let mut ephemeral = new.ephemeral_containers.into_iter().flatten();
    plain || init || ephemeral.any(|container| known.get(&container.name) != Some(&container.image))
}

/// Wherever the kind keeps it.
fn template_of(object: &dyn AnyObject) -> Option<PodTemplateSpec> {
    let mut value = object.to_value();
    let places = ["/spec/jobTemplate/spec/template", "/spec/template", "/template"];
    let place = places.into_iter().find(|place| value.pointer(place).is_some())?;
    serde_json::from_value(value.pointer_mut(place)?.take()).ok()
}
