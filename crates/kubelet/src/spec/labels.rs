//! Labels and annotations by which containers and sandboxes are found again after a restart, the same as the original's.
use crate::pod::view::PodView;
use k8s_openapi::api::core::v1::{Container, Lifecycle, LifecycleHandler, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};

pub const POD_NAME: &str = "io.kubernetes.pod.name";
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub const POD_UID: &str = "io.kubernetes.pod.uid";
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
pub const HASH: &str = "io.kubernetes.container.hash";
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
pub const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
const PORTS: &str = "io.kubernetes.container.ports";
const DELETION_GRACE: &str = "io.kubernetes.pod.deletionGracePeriod";
const TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

type Map = HashMap<String, String>;

pub fn pod_labels(pod: &Pod) -> Map {
    let own = pod.metadata.labels.iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
    own.chain(identity(pod)).collect()
}

pub fn container_labels(pod: &Pod, container: &Container) -> Map {
    identity(pod).chain([(CONTAINER_NAME.to_string(), container.name.clone())]).collect()
}

fn identity(pod: &Pod) -> impl Iterator<Item = (String, String)> {
    let pairs = [(POD_NAME, pod.pod_name()), (POD_NAMESPACE, pod.pod_namespace()), (POD_UID, pod.uid())];
    pairs.map(|(key, value)| (key.to_string(), value.to_string())).into_iter()
}

pub fn container_annotations(pod: &Pod, container: &Container, restart_count: u32) -> Map {
    let mut map = Map::from([
        (HASH.to_string(), hash(container)),
        (RESTART_COUNT.to_string(), restart_count.to_string()),
        (MESSAGE_PATH.to_string(), container.termination_message_path.clone().unwrap_or_default()),
        (MESSAGE_POLICY.to_string(), container.termination_message_policy.clone().unwrap_or_default()),
    ]);
    let mut put = |key: &str, value: Option<String>| value.map(|value| map.insert(key.into(), value));
    put(DELETION_GRACE, pod.metadata.deletion_grace_period_seconds.map(|seconds| seconds.to_string()));
    put(TERMINATION_GRACE, pod.pod_spec().termination_grace_period_seconds.map(|seconds| seconds.to_string()));
    let pre_stop = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    put(PRE_STOP, pre_stop.and_then(|handler| serde_json::to_string(handler).ok()));
    let ports = container.ports.as_ref().filter(|ports| !ports.is_empty());
    put(PORTS, ports.and_then(|ports| serde_json::to_string(ports).ok()));
    map
}

/// The hash by which a changed definition is noticed: FNV-1a over name and image, printed as the original prints it before hashing.
pub fn hash(container: &Container) -> String {
    let picked = json!({"image": container.image.as_deref().unwrap_or_default(), "name": container.name});
    let bytes: Vec<String> = picked.to_string().bytes().map(|byte| byte.to_string()).collect();
    let text = format!("([]uint8)[{}]", bytes.join(" "));
    let hash = text.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:x}")
}

/// As much of a pod as its containers remember: enough to end it in order when nobody else knows it any more.
pub fn remembered_pod<'a>(
    labels: &BTreeMap<String, String>,
    containers: impl Iterator<Item = (&'a str, &'a BTreeMap<String, String>)>,
) -> Pod {
    let label = |key: &str| labels.get(key).cloned();
    let metadata = ObjectMeta { name: label(POD_NAME), namespace: label(POD_NAMESPACE), uid: label(POD_UID), ..ObjectMeta::default() };
    let mut pod = Pod { metadata, spec: Some(PodSpec::default()), status: None };
    for (name, annotations) in containers {
        let number = |key: &str| annotations.get(key).and_then(|text| text.parse::<i64>().ok());
        let handler = annotations.get(PRE_STOP).and_then(|text| serde_json::from_str::<LifecycleHandler>(text).ok());
        let lifecycle = handler.map(|pre_stop| Lifecycle { pre_stop: Some(pre_stop), ..Lifecycle::default() });
        let spec = pod.spec.get_or_insert_default();
        spec.termination_grace_period_seconds = number(TERMINATION_GRACE).or(spec.termination_grace_period_seconds);
        pod.metadata.deletion_grace_period_seconds = number(DELETION_GRACE).or(pod.metadata.deletion_grace_period_seconds);
        let ports = annotations.get(PORTS).and_then(|text| serde_json::from_str(text).ok());
        spec.containers.push(Container { name: name.into(), lifecycle, ports, ..Container::default() });
    }
    pod
}
