//! What stands in the files of configMap, secret, downwardAPI and projected volumes. Pure: objects in, files out.
use crate::pod::view::PodView;
use crate::spec::fields::{self, Facts};
use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub mode: u32,
    pub user: Option<u32>,
    pub data: Vec<u8>,
}

/// By path below the volume.
pub type Files = BTreeMap<String, File>;

pub const DEFAULT_MODE: i32 = 0o644;

/// How the files of one source are made.
#[derive(Clone, Copy, Default)]
pub struct Shape<'a> {
    pub items: Option<&'a [KeyToPath]>,
    pub mode: Option<i32>,
    pub user: Option<i64>,
    pub optional: bool,
}

pub fn config_map(name: &str, object: Option<&ConfigMap>, shape: Shape) -> Result<Files, String> {
    let Some(object) = object else { return missing(shape.optional, || format!("configmap \"{name}\" not found")) };
    let text = object.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = object.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    keyed(text.chain(binary).collect(), shape, "config")
}

pub fn secret(name: &str, object: Option<&Secret>, shape: Shape) -> Result<Files, String> {
    let Some(object) = object else { return missing(shape.optional, || format!("secret \"{name}\" not found")) };
    keyed(object.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice())).collect(), shape, "secret")
}

fn missing(optional: bool, error: impl Fn() -> String) -> Result<Files, String> {
    if optional { Ok(Files::new()) } else { Err(error()) }
}

fn keyed(data: BTreeMap<&str, &[u8]>, shape: Shape, what: &str) -> Result<Files, String> {
    let file = |bytes: &[u8], mode: Option<i32>, user: Option<i64>| File {
        mode: mode.or(shape.mode).unwrap_or(DEFAULT_MODE) as u32,
        user: user.or(shape.user).map(|user| user as u32),
        data: bytes.to_vec(),
    };
    let Some(items) = shape.items.filter(|items| !items.is_empty()) else {
        return Ok(data.into_iter().map(|(key, bytes)| (key.to_string(), file(bytes, None, None))).collect());
    };
    let mut files = Files::new();
    for item in items {
        match data.get(item.key.as_str()) {
            Some(bytes) => drop(files.insert(item.path.clone(), file(bytes, item.mode, item.user))),
            None if shape.optional => {}
            None => return Err(format!("references non-existent {what} key: {}", item.key)),
        }
    }
    Ok(files)
}

pub fn downward(pod: &Pod, facts: &Facts, items: &[DownwardAPIVolumeFile], shape: Shape) -> Result<Files, String> {
    let mut files = Files::new();
    for item in items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(selector), _) => fields::field(pod, facts, selector)?,
            (None, Some(selector)) => fields::resource(pod, facts, None, selector)?,
            (None, None) => String::new(),
        };
        let mode = item.mode.or(shape.mode).unwrap_or(DEFAULT_MODE) as u32;
        files.insert(item.path.clone(), File { mode, user: item.user.or(shape.user).map(|user| user as u32), data: text.into_bytes() });
    }
    Ok(files)
}

/// The user that all containers of a pod run as, if it is one; its token files belong to it.
pub fn only_user(pod: &Pod) -> Option<i64> {
    let shared = pod.pod_spec().security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users =
        pod.every_container().into_iter().map(|(_, container)| container.security_context.and_then(|own| own.run_as_user).or(shared));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first)
}

pub fn fs_group(pod: &Pod) -> Option<i64> {
    pod.pod_spec().security_context.as_ref().and_then(|context| context.fs_group)
}
