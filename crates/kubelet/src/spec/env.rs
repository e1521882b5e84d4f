//! The environment of a container: services, config maps, secrets, fields, and values that refer to one another.
use crate::pod::view::PodView;
use crate::spec::expand::expand;
use crate::spec::fields::{self, Facts};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, EnvVarSource, Pod, Secret, Service};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The objects that a container's environment refers to, as far as they exist.
#[derive(Default)]
pub struct Objects {
    pub config_maps: BTreeMap<String, Arc<ConfigMap>>,
    pub secrets: BTreeMap<String, Arc<Secret>>,
    /// Services of the pod's namespace and `default/kubernetes`.
    pub services: Vec<Arc<Service>>,
}

/// Names of the config maps and secrets that a container needs.
pub fn needs(container: &Container) -> (Vec<String>, Vec<String>) {
    let (mut maps, mut secrets) = (Vec::new(), Vec::new());
    for source in container.env_from.iter().flatten() {
        maps.extend(source.config_map_ref.iter().map(|from| from.name.clone()));
        secrets.extend(source.secret_ref.iter().map(|from| from.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|env| env.value_from.as_ref()) {
        maps.extend(source.config_map_key_ref.iter().map(|from| from.name.clone()));
        secrets.extend(source.secret_key_ref.iter().map(|from| from.name.clone()));
    }
    (maps, secrets)
}

/// Later entries win; the order is the one in which they were said.
#[derive(Default)]
struct Environment {
    list: Vec<(String, String)>,
}

impl Environment {
    fn get(&self, name: &str) -> Option<String> {
        self.list.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }
    fn set(&mut self, name: String, value: String) {
        match self.list.iter_mut().find(|(key, _)| *key == name) {
            Some(entry) => entry.1 = value,
            None => self.list.push((name, value)),
        }
    }
}

pub fn env(pod: &Pod, container: &Container, facts: &Facts, objects: &Objects) -> Result<Vec<(String, String)>, String> {
    let services = service_env(pod, &objects.services);
    let mut all = Environment::default();
    env_from(container, objects, &mut all)?;
    for one in container.env.iter().flatten() {
        if let Some(value) = value(pod, container, facts, objects, one, &all, &services)? {
            all.set(one.name.clone(), value);
        }
    }
    let mut list: Vec<(String, String)> = services.list.into_iter().filter(|(name, _)| all.get(name).is_none()).collect();
    list.extend(all.list);
    Ok(list)
}

fn env_from(container: &Container, objects: &Objects, all: &mut Environment) -> Result<(), String> {
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let mut add = |key: &String, value: String| all.set(format!("{prefix}{key}"), value);
        if let Some(from) = &source.config_map_ref {
            match objects.config_maps.get(&from.name) {
                Some(map) => map.data.iter().flatten().for_each(|(key, value)| add(key, value.clone())),
                None if from.optional.unwrap_or(false) => {}
                None => return Err(format!("configmap \"{}\" not found", from.name)),
            }
        }
        if let Some(from) = &source.secret_ref {
            match objects.secrets.get(&from.name) {
                Some(secret) => secret.data.iter().flatten().for_each(|(key, value)| add(key, text(&value.0))),
                None if from.optional.unwrap_or(false) => {}
                None => return Err(format!("secret \"{}\" not found", from.name)),
            }
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn value(
    pod: &Pod,
    container: &Container,
    facts: &Facts,
    objects: &Objects,
    one: &EnvVar,
    all: &Environment,
    services: &Environment,
) -> Result<Option<String>, String> {
    if let Some(value) = one.value.as_ref().filter(|value| !value.is_empty()) {
        return Ok(Some(expand(value, |name| all.get(name).or_else(|| services.get(name)))));
    }
    match &one.value_from {
        Some(source) => from_source(pod, container, facts, objects, source),
        None => Ok(Some(String::new())),
    }
}

fn from_source(
    pod: &Pod,
    container: &Container,
    facts: &Facts,
    objects: &Objects,
    source: &EnvVarSource,
) -> Result<Option<String>, String> {
    let namespace = pod.pod_namespace();
    if let Some(selector) = &source.field_ref {
        return fields::field(pod, facts, selector).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        return fields::resource(pod, facts, Some(container), selector).map(Some);
    }
    if let Some(from) = &source.config_map_key_ref {
        let optional = from.optional.unwrap_or(false);
        let found = objects.config_maps.get(&from.name);
        let value = found.and_then(|map| map.data.as_ref()).and_then(|data| data.get(&from.key)).cloned();
        return match (value, found) {
            (None, _) if optional => Ok(None),
            (None, None) => Err(format!("configmap \"{}\" not found", from.name)),
            (None, Some(_)) => Err(format!("couldn't find key {} in ConfigMap {namespace}/{}", from.key, from.name)),
            (value, _) => Ok(value),
        };
    }
    if let Some(from) = &source.secret_key_ref {
        let optional = from.optional.unwrap_or(false);
        let found = objects.secrets.get(&from.name);
        let value = found.and_then(|secret| secret.data.as_ref()).and_then(|data| data.get(&from.key)).map(|value| text(&value.0));
        return match (value, found) {
            (None, _) if optional => Ok(None),
            (None, None) => Err(format!("secret \"{}\" not found", from.name)),
            (None, Some(_)) => Err(format!("couldn't find key {} in Secret {namespace}/{}", from.key, from.name)),
            (value, _) => Ok(value),
        };
    }
    Ok(Some(String::new()))
}

/// Variables that tell where services are; `kubernetes` always, the others unless the pod asks for none.
fn service_env(pod: &Pod, services: &[Arc<Service>]) -> Environment {
    let links = pod.pod_spec().enable_service_links.unwrap_or(true);
    let namespace = pod.pod_namespace();
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in services {
        let (name, of) = (service.metadata.name.as_deref().unwrap_or_default(), service.metadata.namespace.as_deref().unwrap_or_default());
        let ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
        if ip.is_empty() || ip == "None" {
            continue;
        }
        let root = of == "default" && name == "kubernetes";
        if of == namespace && (links || root) {
            chosen.insert(name, service);
        } else if root {
            chosen.entry(name).or_insert(service);
        }
    }
    let mut all = Environment::default();
    for (name, service) in chosen {
        tell_service(&mut all, &name.to_uppercase().replace('-', "_"), service);
    }
    all
}

fn tell_service(all: &mut Environment, name: &str, service: &Service) {
    let Some(spec) = &service.spec else { return };
    let ip = spec.cluster_ip.clone().unwrap_or_default();
    let shown = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    let ports = spec.ports.as_deref().unwrap_or_default();
    all.set(format!("{name}_SERVICE_HOST"), ip.clone());
    if let Some(first) = ports.first() {
        all.set(format!("{name}_SERVICE_PORT"), first.port.to_string());
    }
    for port in ports {
        if let Some(own) = port.name.as_ref().filter(|own| !own.is_empty()) {
            all.set(format!("{name}_SERVICE_PORT_{}", own.to_uppercase().replace('-', "_")), port.port.to_string());
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{shown}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            all.set(format!("{name}_PORT"), url.clone());
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_uppercase());
        all.set(prefix.clone(), url);
        all.set(format!("{prefix}_PROTO"), protocol.to_lowercase());
        all.set(format!("{prefix}_PORT"), port.port.to_string());
        all.set(format!("{prefix}_ADDR"), ip.clone());
    }
}
