//! Images for containers: present or pulled, by policy, with the pod's secrets. Back-off is decided by the record.
use super::super::images::auth::{self, Login};
use super::shared::Shared;
use crate::pod::effect::Waiting;
use crate::pod::view::PodView;
use crate::spec::container::tagged;
use crate::spec::security::ImageUser;
use cri::v1::{AuthConfig, Image, ImageSpec, ImageStatusRequest, PodSandboxConfig, PullImageRequest};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use std::sync::Arc;
use tokio::sync::Semaphore;

pub struct Puller {
    pub images: Arc<dyn cri::Images>,
    /// Pulls at the same time.
    pub slots: Arc<Semaphore>,
}

/// What a container is made from.
#[derive(Debug)]
pub struct Ready {
    pub image_ref: String,
    pub user: ImageUser,
    pub pinned: bool,
}

pub struct Request<'a> {
    pub pod: &'a Pod,
    pub container: &'a str,
    pub image: &'a str,
    pub policy: &'a str,
    pub sandbox: PodSandboxConfig,
    /// If it has to be pulled, not before this, and why.
    pub pull_after: Option<&'a (Timestamp, String)>,
}

impl Shared {
    /// The image of a container, or why the container waits.
    pub async fn image(&self, request: Request<'_>) -> Result<Ready, Waiting> {
        let (pod, image) = (request.pod, request.image);
        let tell = |warning, reason: &str, message: &str| self.event(pod, warning, reason, message, Some(request.container));
        let spec = ImageSpec { image: tagged(image), user_specified_image: image.into(), ..ImageSpec::default() };
        if image.is_empty() || image.contains(char::is_whitespace) {
            let message =
                format!("Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": invalid reference format");
            tell(true, "InspectFailed", &message);
            return Err(Waiting::new("InvalidImageName", message));
        }
        match self.present(&request, &spec).await? {
            Some(found) => {
                tell(false, "Pulled", &format!("Container image \"{image}\" already present on machine and can be accessed by the pod"));
                Ok(found)
            }
            None => self.pull(request, spec).await,
        }
    }

    /// The image, if it is there and the policy lets it be used as it is.
    async fn present(&self, request: &Request<'_>, spec: &ImageSpec) -> Result<Option<Ready>, Waiting> {
        let image = request.image;
        let failed = |event: &str, reason: &str, message: String| {
            self.event(request.pod, true, event, &message, Some(request.container));
            Err(Waiting::new(reason, message))
        };
        match (self.puller.find(spec).await, request.policy) {
            // What the node itself has put there (packed or imported, and pinned) no registry knows: there is nothing newer.
            (found, "Always") => Ok(found.ok().flatten().filter(|found| found.pinned)),
            (Ok(None), "Never") => failed(
                "ErrImageNeverPull",
                "ErrImageNeverPull",
                format!("Container image \"{image}\" is not present with pull policy of Never"),
            ),
            (Ok(found), _) => Ok(found),
            (Err(error), _) => {
                failed("InspectFailed", "ImageInspectError", format!("Failed to inspect image \"{image}\": {}", error.message()))
            }
        }
    }

    async fn pull(&self, request: Request<'_>, spec: ImageSpec) -> Result<Ready, Waiting> {
        let (pod, image) = (request.pod, request.image);
        let tell = |warning, reason: &str, message: &str| self.event(pod, warning, reason, message, Some(request.container));
        if let Some((_, before)) = request.pull_after {
            let message = format!("Back-off pulling image \"{image}\"");
            tell(false, "BackOff", &message);
            return Err(Waiting::new("ImagePullBackOff", format!("{message}: {before}")));
        }
        tell(false, "Pulling", &format!("Pulling image \"{image}\""));
        let begun = self.clock.instant();
        let logins = auth::for_image(&spec.image, &self.pull_secrets(pod).await);
        let slot = self.puller.slots.clone().acquire_owned().await;
        let pulling = self.clock.instant();
        let result = self.puller.pull(&spec, logins, request.sandbox).await;
        drop(slot);
        match result {
            Ok((ready, size)) => {
                let spans = (seconds(pulling.elapsed()), seconds(begun.elapsed()));
                let message = format!(
                    "Successfully pulled image \"{image}\" in {} ({} including waiting). Image size: {size} bytes.",
                    spans.0, spans.1
                );
                tell(false, "Pulled", &message);
                Ok(ready)
            }
            Err(error) => {
                tell(true, "Failed", &format!("Failed to pull image \"{image}\": {error}"));
                Err(pull_error(image, &error))
            }
        }
    }

    async fn pull_secrets(&self, pod: &Pod) -> Vec<Arc<Secret>> {
        let mut found = Vec::new();
        for reference in pod.pod_spec().image_pull_secrets.iter().flatten() {
            match self.client.get::<Secret>(pod.pod_namespace(), &reference.name).await {
                Ok(secret) => found.push(secret),
                Err(error) => {
                    let message = format!(
                        "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                        reference.name
                    );
                    tracing::debug!(%error, secret = reference.name, "pull secret");
                    self.event(pod, true, "FailedToRetrieveImagePullSecret", &message, None);
                }
            }
        }
        found
    }
}

fn pull_error(image: &str, error: &str) -> Waiting {
    for (reason, what) in
        [("RegistryUnavailable", "the registry is unavailable"), ("SignatureValidationFailed", "the signature validation failed")]
    {
        if let Some(rest) = error.strip_prefix(reason) {
            return Waiting::new(reason, format!("image pull failed for {image} because {what}{rest}"));
        }
    }
    Waiting::new("ErrImagePull", error)
}

/// As Go prints a span of milliseconds.
fn seconds(span: std::time::Duration) -> String {
    if span.as_secs() >= 1 { format!("{}s", (span.as_millis() as f64) / 1000.0) } else { format!("{}ms", span.as_millis()) }
}

impl Puller {
    pub async fn find(&self, spec: &ImageSpec) -> cri::Result<Option<Ready>> {
        let request = ImageStatusRequest { image: Some(spec.clone()), verbose: false };
        Ok(self.images.image_status(request).await?.image.map(ready))
    }

    /// Tries each login, or none if there is none; gives the image with its size.
    async fn pull(&self, spec: &ImageSpec, logins: Vec<Login>, sandbox: PodSandboxConfig) -> Result<(Ready, u64), String> {
        let logins: Vec<Option<Login>> = if logins.is_empty() { vec![None] } else { logins.into_iter().map(Some).collect() };
        let mut errors = Vec::new();
        for login in logins {
            let auth = login.map(|login| AuthConfig {
                username: login.user,
                password: login.password,
                identity_token: login.identity_token,
                server_address: login.server,
                ..AuthConfig::default()
            });
            let images = self.images.clone();
            let request = PullImageRequest { image: Some(spec.clone()), auth, sandbox_config: Some(sandbox.clone()) };
            match super::shared::to_the_end(async move { images.pull_image(request).await }).await {
                Ok(answer) => return self.pulled(spec, answer.image_ref).await,
                Err(status) => errors.push(status.message().to_string()),
            }
        }
        Err(errors.join(", "))
    }

    async fn pulled(&self, spec: &ImageSpec, image_ref: String) -> Result<(Ready, u64), String> {
        let by_ref = ImageSpec { image: image_ref.clone(), ..ImageSpec::default() };
        for spec in [&by_ref, spec] {
            let request = ImageStatusRequest { image: Some(spec.clone()), verbose: false };
            let found = self.images.image_status(request).await.map_err(|status| status.message().to_string())?.image;
            if let Some(image) = found {
                let size = image.size;
                return Ok((Ready { image_ref, ..ready(image) }, size));
            }
        }
        Ok((Ready { image_ref, user: ImageUser { uid: Some(0), name: String::new() }, pinned: false }, 0))
    }
}

fn ready(image: Image) -> Ready {
    let uid = image.uid.map(|uid| uid.value);
    let root = (uid.is_none() && image.username.is_empty()).then_some(0);
    Ready { image_ref: image.id, user: ImageUser { uid: uid.or(root), name: image.username }, pinned: image.pinned }
}
