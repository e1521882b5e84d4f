//! Static pods: manifests in a directory become pods of this node, as the original defaults them. Reading only; pure but for that.
use crate::pod::view::{HASH_ANNOTATION, PodView, SEEN_ANNOTATION, SOURCE_ANNOTATION};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use std::fs;
use std::path::Path;

/// A manifest larger than this is not read.
const MAX_BYTES: u64 = 3 << 20;

/// All pods of the directory. A file that is no pod is named in the log and left out.
pub fn read(dir: &Path, node: &str, now: Timestamp) -> Vec<Pod> {
    let mut paths: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut pods = Vec::new();
    for path in paths {
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let fits = fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= MAX_BYTES);
        if hidden || !fits {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        match serde_saphyr::from_str::<Pod>(&text) {
            Ok(pod) => pods.push(complete(pod, &text, node, now)),
            Err(error) => tracing::warn!(path = %path.display(), %error, "not a pod"),
        }
    }
    pods
}

/// Name, uid, annotations and defaults of a static pod.
fn complete(mut pod: Pod, text: &str, node: &str, now: Timestamp) -> Pod {
    let uid = digest(&format!("{node}\n{text}"));
    let meta = &mut pod.metadata;
    meta.name = Some(format!("{}-{node}", meta.name.clone().unwrap_or_default().to_lowercase()));
    meta.namespace.get_or_insert_with(|| "default".into());
    let uid = meta.uid.clone().filter(|own| !own.is_empty()).unwrap_or(uid);
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(HASH_ANNOTATION.into(), uid.clone());
    annotations.insert(SOURCE_ANNOTATION.into(), "file".into());
    annotations.insert(SEEN_ANNOTATION.into(), now.to_string());
    meta.uid = Some(uid);
    let spec = pod.spec.get_or_insert_default();
    spec.node_name = Some(node.into());
    spec.restart_policy.get_or_insert_with(|| "Always".into());
    spec.dns_policy.get_or_insert_with(|| "ClusterFirst".into());
    spec.termination_grace_period_seconds.get_or_insert(crate::pod::view::DEFAULT_GRACE_SECONDS);
    spec.enable_service_links.get_or_insert(true);
    let everything = Toleration { operator: Some("Exists".into()), effect: Some("NoExecute".into()), ..Toleration::default() };
    spec.tolerations.get_or_insert_default().push(everything);
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        container.termination_message_path.get_or_insert_with(|| "/dev/termination-log".into());
        container.termination_message_policy.get_or_insert_with(|| "File".into());
        let image = container.image.clone().unwrap_or_default();
        let latest = crate::spec::container::tagged(&image).ends_with(":latest");
        container.image_pull_policy.get_or_insert_with(|| if latest { "Always".into() } else { "IfNotPresent".into() });
    }
    pod
}

/// 128 bits that differ when the text differs. Not for secrets.
fn digest(text: &str) -> String {
    let half = |seed: u64| text.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{:016x}{:016x}", half(0xcbf2_9ce4_8422_2325), half(0x8422_2325_cbf2_9ce4))
}

/// The object by which the API shows a static pod.
pub fn mirror(pod: &Pod, node_uid: Option<&str>) -> Pod {
    use crate::pod::view::MIRROR_ANNOTATION;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
    let mut annotations = pod.metadata.annotations.clone().unwrap_or_default();
    annotations.insert(MIRROR_ANNOTATION.into(), pod.annotation(HASH_ANNOTATION).unwrap_or_default().into());
    let owner = node_uid.map(|uid| OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: pod.pod_spec().node_name.clone().unwrap_or_default(),
        uid: uid.into(),
        controller: Some(true),
        ..OwnerReference::default()
    });
    let metadata = ObjectMeta {
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        labels: pod.metadata.labels.clone(),
        annotations: Some(annotations),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: pod.spec.clone(), status: None }
}
