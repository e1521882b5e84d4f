//! ServiceAccount: each pod runs as an account of its namespace, gets the account's pull secrets, and the account's token mounted
//! unless pod or account say no. Mirror pods get and may have nothing of this.
use super::object::{edit, view};
use super::{Context, Step, about, refuse};
use crate::authenticate::issuer::INJECTED_SECONDS;
use crate::authorize::node::graph::{Kind, references};
use crate::own_writes::find;
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, EnvFromSource, EnvVar, KeyToPath, LocalObjectReference,
    ObjectFieldSelector, Pod, PodSpec, ProjectedVolumeSource, ServiceAccount, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use machinery::object::AnyObject;
use machinery::status::Status;
use std::sync::Arc;
use std::time::Duration;

const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The default account of a new namespace is made by a controller a moment later: it is waited for.
const DEFAULT_ATTEMPTS: usize = 30;
const DEFAULT_WAIT: Duration = Duration::from_millis(50);

pub struct ServiceAccountStep {
    context: Context,
}

impl ServiceAccountStep {
    pub fn new(context: &Context) -> ServiceAccountStep {
        ServiceAccountStep { context: context.clone() }
    }

    async fn account(&self, request: &AdmissionRequest<'_>, pod: &dyn AnyObject, name: &str) -> Result<Arc<ServiceAccount>, Status> {
        let namespace = &request.attributes.namespace;
        let key = format!("/registry/serviceaccounts/{namespace}/{name}");
        let attempts = if name == "default" { DEFAULT_ATTEMPTS } else { 1 };
        for attempt in 0..attempts {
            if attempt > 0 {
                self.context.clock.sleep(DEFAULT_WAIT).await;
            }
            if let Some(account) = find::<ServiceAccount>(&*self.context.store, &key).await? {
                return Ok(account);
            }
        }
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        Err(refuse(request, Some(pod), why))
    }
}

#[async_trait]
impl Step for ServiceAccountStep {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        match request.operation {
            Operation::Create => about(request, "", "pods"),
            Operation::Update => about(request, "", "pods/ephemeralcontainers"),
            _ => false,
        }
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        let Some(pod) = view::<Pod>(&**object).filter(|_| request.operation == Operation::Create) else { return Ok(()) };
        if is_mirror(&pod) {
            return check_mirror(&pod).map_err(|why| refuse(request, Some(&**object), why));
        }
        let asked = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).filter(|name| !name.is_empty());
        let name = asked.unwrap_or_else(|| "default".into());
        let account = self.account(request, &**object, &name).await?;
        let volume = format!("{VOLUME_PREFIX}{}", self.context.random.name_suffix());
        edit::<Pod>(object, |pod| {
            let spec = pod.spec.get_or_insert_default();
            spec.service_account = Some(name.clone());
            spec.service_account_name = Some(name);
            if spec.automount_service_account_token.or(account.automount_service_account_token).unwrap_or(true) {
                mount_token(spec, volume);
            }
            let secrets = account.image_pull_secrets.clone().unwrap_or_default();
            if spec.image_pull_secrets.as_ref().is_none_or(Vec::is_empty) && !secrets.is_empty() {
                spec.image_pull_secrets = Some(secrets);
            }
            Ok(())
        })
    }

    async fn validate(&self, request: &AdmissionRequest<'_>, object: Option<&dyn AnyObject>) -> Result<(), Status> {
        let Some((object, pod)) = object.and_then(|object| Some((object, view::<Pod>(object)?))) else { return Ok(()) };
        let refused = |why: String| refuse(request, Some(object), why);
        if request.operation == Operation::Create && is_mirror(&pod) {
            return check_mirror(&pod).map_err(refused);
        }
        let name = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or_default();
        if name.is_empty() {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            return Err(refused(format!("no service account specified for pod {}/{name}", request.attributes.namespace)));
        }
        let account = self.account(request, object, name).await?;
        let annotations = account.metadata.annotations.as_ref();
        let limited = annotations.and_then(|all| all.get("kubernetes.io/enforce-mountable-secrets")).map(String::as_str);
        if !matches!(limited, Some("1" | "t" | "T" | "true" | "TRUE" | "True")) {
            return Ok(());
        }
        let spec = pod.spec.as_ref().expect("it has the account's name");
        check_secrets(spec, &account, request.operation == Operation::Update).map_err(refused)
    }
}

fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(MIRROR))
}

fn check_mirror(pod: &Pod) -> Result<(), String> {
    let spec = pod.spec.as_ref();
    if spec.and_then(|spec| spec.service_account_name.as_deref()).is_some_and(|name| !name.is_empty()) {
        return Err("a mirror pod may not reference service accounts".into());
    }
    if references(pod).iter().any(|(kind, _)| *kind == Kind::Secret) {
        return Err("a mirror pod may not reference secrets".into());
    }
    let volumes = spec.and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
    let mut sources = volumes.filter_map(|volume| volume.projected.as_ref()).flat_map(|source| source.sources.iter().flatten());
    match sources.any(|source| source.service_account_token.is_some()) {
        true => Err("a mirror pod may not use ServiceAccountToken volume projections".into()),
        false => Ok(()),
    }
}

fn mount_token(spec: &mut PodSpec, fresh: String) {
    let existing = spec.volumes.iter().flatten().find(|volume| volume.name.starts_with(VOLUME_PREFIX)).map(|volume| volume.name.clone());
    let name = existing.clone().unwrap_or(fresh);
    let mut needed = false;
    let mut mount = |container: &mut Container| {
        let mounts = container.volume_mounts.get_or_insert_default();
        if mounts.iter().all(|mount| mount.mount_path != MOUNT_PATH) {
            let mount = VolumeMount { name: name.clone(), read_only: Some(true), mount_path: MOUNT_PATH.into(), ..VolumeMount::default() };
            mounts.push(mount);
            needed = true;
        }
    };
    spec.init_containers.iter_mut().flatten().for_each(&mut mount);
    spec.containers.iter_mut().for_each(&mut mount);
    if needed && existing.is_none() {
        spec.volumes.get_or_insert_default().push(Volume { name, projected: Some(token_source()), ..Volume::default() });
    }
}

fn token_source() -> ProjectedVolumeSource {
    let seconds = Some(INJECTED_SECONDS);
    let token = ServiceAccountTokenProjection { path: "token".into(), expiration_seconds: seconds, ..Default::default() };
    let ca = ConfigMapProjection {
        name: "kube-root-ca.crt".into(),
        items: Some(vec![KeyToPath { key: "ca.crt".into(), path: "ca.crt".into(), ..Default::default() }]),
        optional: None,
    };
    let field = ObjectFieldSelector { api_version: Some("v1".into()), field_path: "metadata.namespace".into() };
    let file = DownwardAPIVolumeFile { path: "namespace".into(), field_ref: Some(field), ..DownwardAPIVolumeFile::default() };
    let sources = vec![
        VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() },
        VolumeProjection { config_map: Some(ca), ..VolumeProjection::default() },
        VolumeProjection { downward_api: Some(DownwardAPIProjection { items: Some(vec![file]) }), ..VolumeProjection::default() },
    ];
    ProjectedVolumeSource { default_mode: Some(0o644), sources: Some(sources), ..Default::default() }
}

/// Accounts with the annotation `kubernetes.io/enforce-mountable-secrets` limit pods to the secrets that they list.
fn check_secrets(spec: &PodSpec, account: &ServiceAccount, only_ephemeral: bool) -> Result<(), String> {
    let name = account.metadata.name.as_deref().unwrap_or_default();
    let listed: Vec<&str> = account.secrets.iter().flatten().filter_map(|secret| secret.name.as_deref()).collect();
    if only_ephemeral {
        for container in spec.ephemeral_containers.iter().flatten() {
            check_environment("ephemeral container", &container.name, &container.env, &container.env_from, &listed, name)?;
        }
        return Ok(());
    }
    for secret in spec.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref()?.secret_name.as_deref()) {
        if !listed.contains(&secret) {
            return Err(format!("volume with secret.secretName=\"{secret}\" is not allowed because {}", not_listed(name)));
        }
    }
    let init = spec.init_containers.iter().flatten().map(|container| ("init container", container));
    for (kind, container) in init.chain(spec.containers.iter().map(|container| ("container", container))) {
        check_environment(kind, &container.name, &container.env, &container.env_from, &listed, name)?;
    }
    let pull = account.image_pull_secrets.as_deref().unwrap_or_default();
    for (index, LocalObjectReference { name: secret }) in spec.image_pull_secrets.iter().flatten().enumerate() {
        if pull.iter().all(|own| own.name != *secret) {
            let why = format!("service account {name} does not reference that imagePullSecret");
            return Err(format!("imagePullSecrets[{index}].name=\"{secret}\" is not allowed because {why}"));
        }
    }
    Ok(())
}

fn check_environment(
    kind: &str,
    container: &str,
    variables: &Option<Vec<EnvVar>>,
    sources: &Option<Vec<EnvFromSource>>,
    listed: &[&str],
    account: &str,
) -> Result<(), String> {
    for variable in variables.iter().flatten() {
        let secret = variable.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref()).map(|source| source.name.as_str());
        if let Some(secret) = secret.filter(|secret| !listed.contains(secret)) {
            let what = format!("{kind} {container} with envVar {} referencing secret.secretName=\"{secret}\"", variable.name);
            return Err(format!("{what} is not allowed because {}", not_listed(account)));
        }
    }
    for secret in sources.iter().flatten().filter_map(|source| source.secret_ref.as_ref()).map(|source| source.name.as_str()) {
        if !listed.contains(&secret) {
            let what = format!("{kind} {container} with envFrom referencing secret.secretName=\"{secret}\"");
            return Err(format!("{what} is not allowed because {}", not_listed(account)));
        }
    }
    Ok(())
}

fn not_listed(account: &str) -> String {
    format!("service account {account} does not reference that secret")
}
